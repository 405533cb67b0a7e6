// canopy-bench fanout: deliveries a second, with every timeline in memory (active) and none (inactive).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>

#include "fanout_run.h"
#include "stop.h"
#include "text.h"

namespace canopy::bench {
namespace {

using console::grouped;

void tell(Report& report, const FanoutOptions& options, const Graph& graph, const FanoutRun& run, bool active) {
  const auto number = [](uint64_t n) { return static_cast<double>(n); };
  const double count = number(run.deliveries);
  report.heading(active ? "active timelines" : "inactive timelines");
  report.number("deliveries/s", run.per_second(), "1/s",
                fmt::format("{} messages, {} deliveries, {:.2f} s", grouped(run.published.messages), grouped(run.deliveries), run.delivered_s));
  report.number("deliveries per CPU-second of the nodes", run.per_cpu_second(), "1/s", fmt::format("{:.2f} s of CPU", run.cpu_s()));
  report.number("cores that the nodes used", run.cpu_s() / run.delivered_s, "");
  report.number("cores that this load used", run.client_cpu_s / run.delivered_s, "");
  report.number("publishes/s", number(run.published.messages) / run.published.seconds, "1/s",
                run.published.again ? fmt::format("{} requests again after BUSY", run.published.again) : "");
  report.times("publish -> acknowledged, at this load", run.published.ms, "each request");
  report.number("written to disk per delivery", number(run.after.bytes_written - run.before.bytes_written) / count, "bytes", "when the last was there");
  report.number("... after the nodes came to rest", number(run.settled.bytes_written - run.before.bytes_written) / count, "bytes");
  report.number("... as the kernel counts it", number(run.settled.bytes_dirtied - run.before.bytes_dirtied) / count, "bytes",
                "write_bytes: with large folios more than what goes to the disk");
  if (active) {
    const double entries = std::max(1.0, number(run.entries - run.entries_before));
    const auto growth = [&](uint64_t Usage::*bytes) { return (number(run.settled.*bytes) - number(run.before.*bytes)) / entries; };
    report.number("RAM per entry", growth(&Usage::anonymous_bytes), "bytes",
                  fmt::format("growth of the nodes' memory; {:.0f} entries a timeline", number(run.entries) / graph.users));
    report.number("... with the store's mapped file", growth(&Usage::rss_bytes), "bytes", "growth of their RSS");
    report.number("... as the nodes count it", number(run.timeline_bytes) / std::max(1.0, number(run.entries)), "bytes", "timeline_bytes of STATUS");
    report.number("timelines read once", number(graph.users) / run.read_once_s, "1/s");
  }
  report.number("follows loaded", number(run.edges) / run.load_s, "1/s", grouped(run.edges));
  report.number("RAM per follow", (number(run.loaded.anonymous_bytes) - number(run.empty.anonymous_bytes)) / number(run.edges), "bytes", "growth of the nodes' memory");
  report.number("... with the store's mapped file", (number(run.loaded.rss_bytes) - number(run.empty.rss_bytes)) / number(run.edges), "bytes", "growth of their RSS");
  report.number("nodes' RSS at the end", number(run.settled.rss_bytes) / 1048576, "MiB");
  report.check("all deliveries counted", run.counted(),
               fmt::format("{} of {} to leaves{}", grouped(run.leaf), grouped(run.leaf_wanted),
                           run.late_s > 0 ? fmt::format("; the last {:.1f} s after the sample: in the time", run.late_s) : ""));
  if (active)
    report.check("appended in RAM = delivered", run.appended(graph),
                 fmt::format("{} of {} entries{}, {} of {} timelines",
                             grouped(run.entries), grouped(run.entries_least),
                             run.entries_most > run.entries_least ? ", full ones" : "",
                             grouped(run.timelines), grouped(graph.users)));
  report.check("timelines are exact", run.differs.empty(), run.differs.empty() ? fmt::format("{} drawn at random, compared", options.sample) : run.differs);
}

void measure(Bench& bench, const FanoutOptions& options) {
  const Graph graph = make_graph(options.graph, bench.options.seed);
  const auto follows = graph.follows();
  if (!graph.users || !graph.authors()) throw Stop("the graph has no follows");
  bench.report.number("followers of a message", static_cast<double>(graph.edges()) / static_cast<double>(graph.authors()), "",
                      fmt::format("{}: {} users, {} authors; timeline.mode = append", options.graph.file.empty() ? options.graph.shape : options.graph.file, grouped(graph.users), grouped(graph.authors())));
  bench.report.fact("mode", "append");
  bench.report.number("authors that a user follows, at least", *std::min_element(follows.begin(), follows.end()), "");
  for (const bool active : {true, false})
    if (active ? options.active : options.inactive) {
      bench.step(active ? "-- active timelines" : "-- inactive timelines");
      tell(bench.report, options, graph, run_fanout(bench, options, graph, active, bench.options.fabric.nodes), active);
    }
}

}  // namespace

void add_fanout(CLI::App& app, Action& action) {
  auto options = std::make_shared<FanoutOptions>();
  auto active_only = std::make_shared<bool>(false), no_active = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("fanout", "Deliveries a second, of a graph of follows");
  add_graph_options(*command, options->graph);
  add_fanout_options(*command, *options);
  auto* only = command->add_flag("--active-only", *active_only, "only with every timeline read before");
  command->add_flag("--no-active", *no_active, "only with no timeline read before")->excludes(only);
  command->callback([=, &action] {
    options->inactive = !*active_only, options->active = !*no_active;
    action = [=](Bench& bench) { measure(bench, *options); };
  });
}

}  // namespace canopy::bench
