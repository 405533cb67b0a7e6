// canopy read, get
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "args.h"
#include "entries.h"
#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

struct ReadArgs {
  std::string entity, timeline = "home", wait, consumer;
  uint32_t limit = 50;
  std::optional<uint64_t> before, after;
  bool stale_ok = false;
};

std::string empty_remark(const ReadArgs& args) {
  if (args.timeline == "topic" && !args.entity.starts_with('#'))
    return fmt::format("(empty; the name of a topic begins with '#': '#{}'?)", args.entity);
  return "(empty)";
}

int run_read(const Globals& globals, const ReadArgs& args) {
  client::Read read;
  read.entity = args.entity;
  read.limit = args.limit;
  read.before = args.before;
  read.after = args.after;
  read.stale_ok = args.stale_ok;
  read.consumer = args.consumer;
  parse_timeline(args.timeline, read.timeline);
  if (!args.wait.empty()) {
    if (!args.after && args.consumer.empty()) return complain_usage("--wait needs --after or --consumer");
    const auto wait = parse_duration(args.wait);
    if (!wait) return complain_usage(fmt::format("--wait '{}': give a time like 500ms or 5s", args.wait));
    read.wait = *wait;
  }
  return with_client(globals, [&](client::Client& client) {
    const auto page = client.read(read);
    if (!page) return complain(globals, page.error());
    if (globals.json) {
      say(json_of(*page));
      return exit_ok;
    }
    if (!page->entries.empty())
      say(entries_table(page->entries, globals.out));
    else
      remark(globals, empty_remark(args));
    // After the last entry there is nothing yet, but a position to go on from.
    const bool forward = args.after || !args.consumer.empty();
    if (page->next && globals.out.tty && (!forward || page->entries.size() == args.limit))
      say(paint(globals.out, Style::dim, fmt::format("more: --{} {}", forward ? "after" : "before", *page->next)));
    if (page->unread && globals.out.tty) say(paint(globals.out, Style::dim, unread_text(*page->unread)));
    if (page->truncated) warn(globals, "older entries have left this timeline");
    for (const std::string& author : page->incomplete) warn(globals, "not reached just now: " + author);
    return exit_ok;
  });
}

int run_get(const Globals& globals, uint64_t id) {
  return with_client(globals, [&](client::Client& client) {
    const auto entry = client.get(id);
    if (!entry) return complain(globals, entry.error());
    say(globals.json ? json_of(*entry) : entry_card(*entry, globals.out));
    return exit_ok;
  });
}

}  // namespace

void add_read(CLI::App& app, Action& action) {
  auto args = std::make_shared<ReadArgs>();
  CLI::App* read = app.add_subcommand("read", "Show a timeline, newest first");
  read->add_option("ENTITY", args->entity, "whose")->required();
  read->add_option("--timeline", args->timeline, timelines_help)
      ->check(CLI::IsMember(timeline_names()))
      ->capture_default_str();
  read->add_option("-n,--limit", args->limit, "how many entries at most")->check(CLI::Range(1u, 1000u))->capture_default_str();
  auto* before = read->add_option("--before", args->before, "only older than this position");
  auto* after = read->add_option("--after", args->after, "only newer than this position, oldest first");
  before->excludes(after);
  read->add_option("--consumer", args->consumer, "go on after this consumer's marker, oldest first; canopy mark moves it")
      ->type_name("NAME")
      ->excludes(before)
      ->excludes(after);
  read->add_option("--wait", args->wait, "with --after or --consumer: wait so long for something new")->type_name("TIME");
  read->add_flag("--stale-ok", args->stale_ok, "a backup may answer (there are none yet)");
  read->footer(R"(Examples:
  canopy read bob
  canopy read alice --timeline sent -n 5
  canopy read bob --timeline mentions
  canopy read '#news' --timeline topic
  canopy read bob --after 0 --wait 5s
  canopy read bob --consumer printer
  canopy read bob --json | jq -r '.entries[].body')");
  read->callback([args, &action] { action = [args](const Globals& globals) { return run_read(globals, *args); }; });

  auto id = std::make_shared<uint64_t>(0);
  CLI::App* get = app.add_subcommand("get", "Show one message");
  get->add_option("ID", *id, "the message's id, as publish printed it")->required();
  get->footer("Examples:\n  canopy get 29374283745298374\n  canopy get 29374283745298374 --json");
  get->callback([id, &action] { action = [id](const Globals& globals) { return run_get(globals, *id); }; });
}

}  // namespace canopy::console
