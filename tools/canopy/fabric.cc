// canopy lookup, map, nodes, tree, status: how the fabric is built and how it is.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "args.h"
#include "costs_table.h"
#include "json.h"
#include "map_tables.h"
#include "text.h"
#include "tree_picture.h"

namespace canopy::console {
namespace {

using client::Client;

int run_lookup(const Globals& globals, const std::string& entity) {
  return with_client(globals, [&](Client& client) {
    const auto place = client.lookup(entity);
    if (!place) return complain(globals, place.error());
    if (globals.json) {
      say(json_of(*place));
      return exit_ok;
    }
    std::string backups;
    for (const std::string& backup : place->backups) {
      if (!backups.empty()) backups += ", ";
      backups += backup;
    }
    Table card({{"field"}, {"value"}});
    card.add({{"entity", Style::heading}, place->entity});
    card.add({{"bucket", Style::heading}, fmt::format("{} (epoch {})", place->bucket, place->epoch)});
    card.add({{"primary", Style::heading}, {place->primary.empty() ? "none" : place->primary, Style::accent}});
    card.add({{"backups", Style::heading}, backups.empty() ? "none" : backups});
    card.add({{"endpoint", Style::heading}, place->endpoint});
    say(card.render(globals.out, false));
    return exit_ok;
  });
}

int run_map(const Globals& globals, bool all) {
  return with_client(globals, [&](Client& client) {
    const auto map = client.map();
    if (!map) return complain(globals, map.error());
    if (globals.json)
      say(json_of(*map));
    else
      say(all ? buckets_table(*map, globals.out) : map_table(*map, globals.out));
    return exit_ok;
  });
}

int run_nodes(const Globals& globals) {
  return with_client(globals, [&](Client& client) {
    const auto map = client.map();
    if (!map) return complain(globals, map.error());
    say(globals.json ? json_of(map->nodes) : nodes_table(*map, globals.out));
    return exit_ok;
  });
}

struct TreeArgs {
  std::string entity;
  uint32_t depth = 0, fanout = 0;
  bool all = false, costs = false;
};

int run_tree(const Globals& globals, const TreeArgs& args) {
  return with_client(globals, [&](Client& client) {
    const auto tree = client.tree(args.entity, args.depth, args.fanout, args.costs);
    if (!tree) return complain(globals, tree.error());
    if (globals.json) say(json_of(*tree));
    else say(args.costs ? costs_table(*tree, globals.out, args.all) : tree_picture(*tree, globals.out, args.all));
    return exit_ok;
  });
}

int run_status(const Globals& globals, bool all) {
  return with_client(globals, [&](Client& client) {
    const auto status = client.status();
    if (!status) return complain(globals, status.error());
    say(globals.json ? json_of(*status) : status_tables(*status, globals.out, all));
    return exit_ok;
  });
}

void add_tree(CLI::App& app, Action& action) {
  auto args = std::make_shared<TreeArgs>();
  CLI::App* tree = app.add_subcommand("tree", "Draw the follower tree of an entity");
  tree->add_option("ENTITY", args->entity, "whose")->required();
  tree->add_option("--depth", args->depth, "only so many levels; 0: all")->capture_default_str();
  tree->add_option("--fanout", args->fanout, "as it would be with this fanout; 0: as it is")->capture_default_str();
  tree->add_flag("--all", args->all, "draw every leaf and branch instead of summing up");
  tree->add_flag("--costs", args->costs, "a table of its leaves: how messages come into homes there, and what each way costs");
  tree->footer(R"(Examples:
  canopy tree alice
  canopy tree --costs alice
  canopy tree '#news' --depth 2
  canopy tree '#news' --fanout 8      what if …

A root has branches when it is wide, and its leaves stand on the nodes that hold the followers.)");
  tree->callback([args, &action] { action = [args](const Globals& globals) { return run_tree(globals, *args); }; });
}

}  // namespace

void add_fabric(CLI::App& app, Action& action) {
  auto entity = std::make_shared<std::string>();
  CLI::App* lookup = app.add_subcommand("lookup", "Where an entity lives: its bucket and the bucket's nodes");
  lookup->add_option("ENTITY", *entity, "whose place")->required();
  lookup->footer("Example:\n  canopy lookup alice");
  lookup->callback([entity, &action] { action = [entity](const Globals& globals) { return run_lookup(globals, *entity); }; });

  auto all = std::make_shared<bool>(false);
  CLI::App* map = app.add_subcommand("map", "The bucket map: which node has which buckets");
  map->add_flag("--all", *all, "one line for each bucket");
  map->footer("Examples:\n  canopy map\n  canopy map --all\n  canopy map --json | jq '.buckets | length'");
  map->callback([all, &action] { action = [all](const Globals& globals) { return run_map(globals, *all); }; });

  CLI::App* nodes = app.add_subcommand("nodes", "The nodes of the fabric and their endpoints");
  nodes->footer("Examples:\n  canopy nodes\n  canopy nodes --json | jq -r '.[].client'");
  nodes->callback([&action] { action = [](const Globals& globals) { return run_nodes(globals); }; });

  add_tree(app, action);

  CLI::App* status = app.add_subcommand("status", "How a node is: its shards, rates, queues, memory");
  auto zeros = std::make_shared<bool>(false);
  status->add_flag("--all", *zeros, "also the counters at zero");
  status->footer("Examples:\n  canopy status\n  canopy status -e tcp://10.0.0.2:7700\n  watch canopy status");
  status->callback([zeros, &action] { action = [zeros](const Globals& globals) { return run_status(globals, *zeros); }; });
}

}  // namespace canopy::console
