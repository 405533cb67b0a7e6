// canopy-bench scale: fan-out of several nodes beside one node, by turns. All are on this machine, so what tells is the work that a
// delivery takes: deliveries for a second of CPU time.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "fanout_run.h"

namespace canopy::bench {
namespace {

struct ScaleOptions {
  FanoutOptions fanout;
  uint32_t rounds = 3;
};

void measure(Bench& bench, const ScaleOptions& options) {
  const Graph graph = make_graph(options.fanout.graph, bench.options.seed);
  const uint32_t many = bench.options.fabric.nodes > 1 ? bench.options.fabric.nodes : 3;
  Samples share, clock_share, one_rate, many_rate;
  bool proved = true;
  std::string rounds;
  for (uint32_t round = 0; round < options.rounds; ++round) {
    bench.step(fmt::format("-- round {} of {}", round + 1, options.rounds));
    const FanoutRun one = run_fanout(bench, options.fanout, graph, true, 1), several = run_fanout(bench, options.fanout, graph, true, many);
    for (const FanoutRun* run : {&one, &several}) proved = proved && run->counted() && run->appended(graph) && run->differs.empty();
    one_rate.add(one.per_cpu_second()), many_rate.add(several.per_cpu_second());
    share.add(100 * several.per_cpu_second() / one.per_cpu_second());
    clock_share.add(100 * several.per_second() / one.per_second());
    rounds += fmt::format("{}{:.0f}", round ? ", " : "each round: ", 100 * several.per_cpu_second() / one.per_cpu_second());
  }
  Report& report = bench.report;
  report.number("deliveries per CPU-second, one node", one_rate.median(), "1/s", "median of the rounds");
  report.number(fmt::format("deliveries per CPU-second, {} nodes", many), many_rate.median(), "1/s", "of all nodes together; median");
  report.number("... as a share of one node's", share.median(), "%", rounds);
  report.number("deliveries/s, as a share of one node's", clock_share.median(), "%", "on the same cores");
  report.check("all deliveries are there", proved, "counted, appended and compared in every round");
}

}  // namespace

void add_scale(CLI::App& app, Action& action) {
  auto options = std::make_shared<ScaleOptions>();
  CLI::App* command = app.add_subcommand("scale", "Fan-out of three nodes beside one, for a second of CPU time");
  add_graph_options(*command, options->fanout.graph);
  add_fanout_options(*command, options->fanout);
  command->add_option("--rounds", options->rounds, "of both")->check(CLI::Range(1u, 1000u))->capture_default_str();
  command->callback([=, &action] { action = [=](Bench& bench) { measure(bench, *options); }; });
}

}  // namespace canopy::bench
