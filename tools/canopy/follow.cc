// canopy follow, unfollow, followers, following
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "args.h"
#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

using client::Client;
using client::Cursor;
using client::Names;
using client::Result;

struct EdgeArgs {
  std::string follower, author, wait = "1s";
  uint32_t backfill = 0;
};

int run_follow(const Globals& globals, const EdgeArgs& args) {
  const auto wait = parse_duration(args.wait);
  if (!wait) return complain_usage(fmt::format("--wait '{}': give a time like 500ms or 5s", args.wait));
  return with_client(globals, [&](Client& client) {
    const auto state = client.follow(args.follower, args.author, *wait, args.backfill);
    if (!state) return complain(globals, state.error());
    const bool active = *state == client::FollowState::active;
    if (globals.json) {
      say(json_object({{"state", std::string(active ? "active" : "pending")}}));
    } else if (active) {
      say(fmt::format("{} follows {}", printable(args.follower), printable(args.author)));
    } else {
      say(fmt::format("{} follows {}: {}; repeat the command to see it become active", printable(args.follower),
                      printable(args.author), paint(globals.out, Style::warn, "pending")));
    }
    return exit_ok;
  });
}

int run_unfollow(const Globals& globals, const EdgeArgs& args) {
  return with_client(globals, [&](Client& client) {
    const auto removed = client.unfollow(args.follower, args.author);
    if (!removed) return complain(globals, removed.error());
    if (globals.json)
      say(json_object({{"removed", *removed}}));
    else
      say(fmt::format("{} {} {}", printable(args.follower), *removed ? "no longer follows" : "did not follow",
                      printable(args.author)));
    return exit_ok;
  });
}

struct NamesArgs {
  std::string entity;
  uint64_t count = 50;
  Cursor after = 0;
  bool all = false;
};

using Ask = Result<Names> (Client::*)(std::string, uint32_t, Cursor);

// Asks page by page; what people see and what programs see is the list of all pages.
int run_names(const Globals& globals, const NamesArgs& args, Ask ask, std::string_view one, std::string_view many) {
  constexpr uint64_t page_max = 1000;
  return with_client(globals, [&](Client& client) {
    Names list;
    list.next = args.after;
    do {
      const uint64_t left = args.all ? page_max : args.count - list.names.size();
      auto page = (client.*ask)(args.entity, static_cast<uint32_t>(std::min(left, page_max)), *list.next);
      if (!page) return complain(globals, page.error());
      list.next = page->next;
      list.count = page->count;
      if (!globals.json)
        for (const std::string& name : page->names) say(printable(name));
      // With --all nothing is gathered that is printed already.
      if (globals.json || !args.all)
        list.names.insert(list.names.end(), page->names.begin(), page->names.end());
    } while (list.next && (args.all || list.names.size() < args.count));
    if (globals.json) {
      say(json_of(list));
    } else if (globals.out.tty) {
      std::string line = counted(list.count, one, many);
      if (list.next) line += fmt::format("; the next: --after {}, everything: --all", *list.next);
      say(paint(globals.out, Style::dim, line));
    }
    return exit_ok;
  });
}

void add_names(CLI::App& app, Action& action, const char* name, const char* about, const char* examples, Ask ask,
               std::string_view one, std::string_view many) {
  auto args = std::make_shared<NamesArgs>();
  CLI::App* command = app.add_subcommand(name, about);
  command->add_option("ENTITY", args->entity, "whose")->required();
  command->add_option("-n,--limit", args->count, "how many names at most")->check(CLI::Range(uint64_t{1}, uint64_t{100'000'000}))->capture_default_str();
  command->add_option("--after", args->after, "go on after this cursor");
  command->add_flag("--all", args->all, "every name");
  command->footer(examples);
  command->callback([=, &action] {
    action = [=](const Globals& globals) { return run_names(globals, *args, ask, one, many); };
  });
}

}  // namespace

void add_follow(CLI::App& app, Action& action) {
  auto args = std::make_shared<EdgeArgs>();
  CLI::App* follow = app.add_subcommand("follow", "Let an entity follow an author");
  follow->add_option("FOLLOWER", args->follower, "who reads")->required();
  follow->add_option("AUTHOR", args->author, "who is read")->required();
  follow->add_option("--wait", args->wait, "how long to wait until it is active")->type_name("TIME")->capture_default_str();
  follow->add_option("--backfill", args->backfill, "so many earlier messages come into home, too")
      ->check(CLI::Range(0u, 1000u))
      ->capture_default_str();
  follow->footer(R"(Examples:
  canopy follow bob alice
  canopy follow bob alice --backfill 20
  canopy follow bob '#news' --wait 5s

Safe to repeat. Many at once: canopy load)");
  follow->callback([args, &action] { action = [args](const Globals& globals) { return run_follow(globals, *args); }; });

  CLI::App* unfollow = app.add_subcommand("unfollow", "End a follow");
  unfollow->add_option("FOLLOWER", args->follower, "who reads")->required();
  unfollow->add_option("AUTHOR", args->author, "who is read")->required();
  unfollow->footer("Example:\n  canopy unfollow bob alice");
  unfollow->callback([args, &action] { action = [args](const Globals& globals) { return run_unfollow(globals, *args); }; });

  add_names(app, action, "followers", "Who follows an entity", R"(Examples:
  canopy followers alice
  canopy followers alice --all | wc -l
  canopy followers alice --json)", &Client::followers, "follower", "followers");
  add_names(app, action, "following", "Whom an entity follows", R"(Examples:
  canopy following bob
  canopy following bob --all | sort)", &Client::following, "author", "authors");
}

}  // namespace canopy::console
