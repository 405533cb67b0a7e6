// canopy-bench startup: how long a node with a large store takes until it is ready.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "graph_options.h"
#include "stages.h"
#include "text.h"

namespace canopy::bench {
namespace {

using console::grouped;

struct StartupOptions {
  GraphOptions graph;
  uint64_t messages = 20'000;
  uint32_t rounds = 3;
};

void measure(Bench& bench, const StartupOptions& options) {
  const Graph graph = make_graph(options.graph, bench.options.seed);
  Fabric fabric(bench.options.fabric);
  Messages messages{.body = bench.options.body, .authors = graph.authors()};
  bench.step(fmt::format("{} follows, {} messages", grouped(graph.edges()), grouped(options.messages)));
  load_follows(bench, fabric, graph);
  publish(bench, fabric, graph, messages, {.most = options.messages, .batch = 100, .in_flight = 8});
  wait_delivered(fabric, graph, messages, last_deliveries(graph, messages, fabric.options().bucket_count, 100, 1));
  settle(fabric);
  Samples stop, ready, read;
  for (uint32_t round = 0; round < options.rounds; ++round) {
    bench.step("stopping and starting");
    auto begin = Clock::now();
    fabric.stop();
    stop.add(ms_since(begin));
    begin = Clock::now();
    fabric.start();
    ready.add(ms_since(begin));
    wire::Read first;
    first.entities = {graph.user(0)};
    fabric.dealer().call(first);
    read.add(ms_since(begin));
  }
  Report& report = bench.report;
  report.number("follows", static_cast<double>(graph.edges()), "");
  report.number("messages", static_cast<double>(messages.published), "", fmt::format("{} deliveries", grouped(deliveries(graph, messages, 0, messages.published))));
  report.number("data on the disk", static_cast<double>(fabric.disk_bytes()) / 1048576, "MiB");
  report.times("SIGTERM until ended", stop);
  report.times("start until ready", ready, "the kernel has the file in its cache");
  report.times("start until the first READ is answered", read);
  report.number("nodes' RSS then", static_cast<double>(fabric.usage().rss_bytes) / 1048576, "MiB");
  const std::string differs = compare_sample(fabric, graph, messages, 50, 800, bench.options.seed);
  report.check("timelines are exact", differs.empty(), differs.empty() ? "50 drawn at random, compared" : differs);
}

}  // namespace

void add_startup(CLI::App& app, Action& action) {
  auto options = std::make_shared<StartupOptions>();
  CLI::App* command = app.add_subcommand("startup", "Start until ready, with a large store");
  add_graph_options(*command, options->graph);
  command->add_option("--messages", options->messages, "so many before")->check(CLI::Range(1u, 1'000'000'000u))->capture_default_str();
  command->add_option("--rounds", options->rounds, "starts")->check(CLI::Range(1u, 1000u))->capture_default_str();
  command->callback([=, &action] { action = [=](Bench& bench) { measure(bench, *options); }; });
}

}  // namespace canopy::bench
