// canopy alias, forward, delete: an entity as a whole.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <iostream>
#include <unistd.h>

#include "args.h"
#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

using client::Client;

int run_alias(const Globals& globals, const std::string& entity, const std::string& alias) {
  return with_client(globals, [&](Client& client) {
    const auto aliased = client.alias(entity, alias);
    if (!aliased) return complain(globals, aliased.error());
    if (globals.json)
      say(json_object({{"entity", aliased->entity}, {"alias", aliased->alias}}));
    else
      say(fmt::format("{} is {}", printable(aliased->alias), printable(aliased->entity)));
    return exit_ok;
  });
}

struct ForwardArgs {
  std::string from, to;
  bool off = false;
};

int run_forward(const Globals& globals, const ForwardArgs& args) {
  return with_client(globals, [&](Client& client) {
    const auto forwarding = client.forward(args.from, args.to, args.off);
    if (!forwarding) return complain(globals, forwarding.error());
    const bool active = forwarding->state == client::FollowState::active;
    if (globals.json) {
      say(json_of(*forwarding));
      return exit_ok;
    }
    const std::string from = printable(args.from), to = printable(args.to);
    if (forwarding->off)
      say(fmt::format("{} no longer forwards to {}", from, to));
    else if (active)
      say(fmt::format("{} forwards to {}", from, to));
    else
      say(fmt::format("{} forwards to {}: {}; repeat the command to see it become active", from, to,
                      paint(globals.out, Style::warn, "pending")));
    return exit_ok;
  });
}

// Returns whether the person at the terminal means it.
bool confirmed(const std::string& entity) {
  fmt::print(stderr, "Delete {} with its messages, lists, follows and followers? Nothing brings it back. [y/N] ", printable(entity));
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

int run_delete(const Globals& globals, const std::string& entity, bool yes) {
  if (!yes) {
    if (!isatty(STDIN_FILENO)) return complain_usage("delete asks on a terminal; without one say --yes");
    if (!confirmed(entity)) {
      remark(globals, "nothing was done");
      return exit_usage;
    }
  }
  return with_client(globals, [&](Client& client) {
    const auto deleted = client.delete_entity(entity);
    if (!deleted) return complain(globals, deleted.error());
    say(globals.json ? json_object({{"deleted", true}}) : fmt::format("{} is deleted", printable(entity)));
    return exit_ok;
  });
}

}  // namespace

void add_entity(CLI::App& app, Action& action) {
  auto entity = std::make_shared<std::string>(), name = std::make_shared<std::string>();
  CLI::App* alias = app.add_subcommand("alias", "Give an entity another name");
  alias->add_option("ENTITY", *entity, "who")->required();
  alias->add_option("ALIAS", *name, "the other name; not one that was used already")->required();
  alias->footer(R"(Examples:
  canopy alias alice alice@example.org
  canopy lookup alice@example.org

Both names lead to the same entity, its followers, timelines and positions.)");
  alias->callback([=, &action] { action = [=](const Globals& globals) { return run_alias(globals, *entity, *name); }; });

  auto args = std::make_shared<ForwardArgs>();
  CLI::App* forward = app.add_subcommand("forward", "Let the followers of one entity have what another one's get");
  forward->add_option("FROM", args->from, "whose messages: a person, a topic, a team")->required();
  forward->add_option("TO", args->to, "whose followers get them, too")->required();
  forward->add_flag("--off", args->off, "no longer");
  forward->footer(R"(Examples:
  canopy forward alice team-red
  canopy forward team-red '#all'
  canopy forward alice team-red --off

A message reaches each follower once, by however many ways it comes; loops end.)");
  forward->callback([args, &action] { action = [args](const Globals& globals) { return run_forward(globals, *args); }; });

  auto doomed = std::make_shared<std::string>();
  auto yes = std::make_shared<bool>(false);
  CLI::App* remove = app.add_subcommand("delete", "Delete an entity: its messages, lists, follows and followers");
  remove->add_option("ENTITY", *doomed, "who")->required();
  remove->add_flag("-y,--yes", *yes, "do not ask");
  remove->footer(R"(Examples:
  canopy delete alice
  canopy export alice alice.jsonl && canopy delete alice --yes

Its messages leave every list that they reached, as by retract.)");
  remove->callback([=, &action] { action = [=](const Globals& globals) { return run_delete(globals, *doomed, *yes); }; });
}

}  // namespace canopy::console
