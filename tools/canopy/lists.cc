// canopy mark, retain: what belongs to one list of an entity.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "args.h"
#include "entries.h"
#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

using client::Client;

struct MarkArgs {
  std::string entity, timeline = "home", consumer;
  std::optional<uint64_t> position;
  bool newest = false;
};

int run_mark(const Globals& globals, const MarkArgs& args) {
  if (args.newest == args.position.has_value()) return complain_usage("mark: give either a position or --newest");
  client::Mark mark{args.entity, client::Timeline::home, args.position.value_or(0), args.consumer};
  parse_timeline(args.timeline, mark.timeline);
  return with_client(globals, [&](Client& client) {
    if (args.newest) {
      client::Read newest{args.entity, mark.timeline, 1};
      const auto page = client.read(newest);
      if (!page) return complain(globals, page.error());
      if (!page->entries.empty()) mark.position = page->entries.front().position;
    }
    const auto marked = client.mark(mark);
    if (!marked) return complain(globals, marked.error());
    if (globals.json)
      say(json_object({{"position", mark.position}, {"unread", marked->unread}}));
    else
      say(fmt::format("{} of {} is read up to {}: {}", args.timeline, printable(args.entity), mark.position,
                      unread_text(marked->unread)));
    return exit_ok;
  });
}

struct RetainArgs {
  std::string entity, timeline, age;
  std::optional<uint64_t> count;
};

int run_retain(const Globals& globals, const RetainArgs& args) {
  client::Retain retain{args.entity, client::Timeline::sent, args.count, {}};
  parse_timeline(args.timeline, retain.timeline);
  if (!args.age.empty()) {
    retain.age = parse_age(args.age);
    if (!retain.age) return complain_usage(fmt::format("--age '{}': give an age like 12h, 30d or 8w; 0 for no bound", args.age));
  }
  return with_client(globals, [&](Client& client) {
    const auto holds = client.retain(retain);
    if (!holds) return complain(globals, holds.error());
    if (globals.json) {
      say(json_of(*holds));
      return exit_ok;
    }
    std::string bounds;
    if (holds->count) bounds = fmt::format("the newest {}", counted(holds->count, "entry", "entries"));
    if (holds->age.count()) bounds += fmt::format("{} not older than {}", bounds.empty() ? "what is" : ",", age_text(holds->age));
    say(fmt::format("{} of {} keeps {}", args.timeline, printable(args.entity), bounds.empty() ? "everything" : bounds));
    return exit_ok;
  });
}

}  // namespace

void add_lists(CLI::App& app, Action& action) {
  auto marked = std::make_shared<MarkArgs>();
  CLI::App* mark = app.add_subcommand("mark", "Say up to where a timeline was read");
  mark->add_option("ENTITY", marked->entity, "whose")->required();
  auto* position = mark->add_option("POSITION", marked->position, "of the last entry that was read");
  mark->add_flag("--newest", marked->newest, "everything that is there now")->excludes(position);
  mark->add_option("--timeline", marked->timeline, timelines_help)->check(CLI::IsMember(timeline_names()))->capture_default_str();
  mark->add_option("--consumer", marked->consumer, "whose marker; without it the reader's, which 'unread' goes by")->type_name("NAME");
  mark->footer(R"(Examples:
  canopy mark bob --newest
  canopy mark bob 4294967301 --timeline mentions
  canopy mark bob 4294967301 --consumer printer

What a program has read it marks by the last position of that page, so that what came meanwhile is not marked.)");
  mark->callback([marked, &action] { action = [marked](const Globals& globals) { return run_mark(globals, *marked); }; });

  auto kept = std::make_shared<RetainArgs>();
  CLI::App* retain = app.add_subcommand("retain", "Bound how much of an entity's list is kept");
  retain->add_option("ENTITY", kept->entity, "whose")->required();
  retain->add_option("TIMELINE", kept->timeline, "which of its lists")
      ->check(CLI::IsMember({"sent", "mentions", "replies", "topic"}))
      ->required();
  retain->add_option("--count", kept->count, "the newest so many entries; 0: no bound");
  retain->add_option("--age", kept->age, "not older than this: 12h, 30d, 8w; 0: no bound")->type_name("AGE");
  retain->footer(R"(Examples:
  canopy retain '#news' topic --count 1000
  canopy retain alice sent --age 30d --count 100000
  canopy retain alice sent --age 0         only the count is left
  canopy retain alice sent                 what holds

What is not given stays as it is; without both it only says what holds. home is bounded by the fabric's capacity.)");
  retain->callback([kept, &action] { action = [kept](const Globals& globals) { return run_retain(globals, *kept); }; });
}

}  // namespace canopy::console
