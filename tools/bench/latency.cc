// canopy-bench latency: one client, one request in flight, a node that has nothing else to do.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bare.h"
#include "graph_options.h"
#include "stop.h"
#include "text.h"
#include "visible.h"

namespace canopy::bench {
namespace {

struct LatencyOptions {
  GraphOptions graph{.users = 4000};
  uint32_t messages = 500;
};

void measure(Bench& bench, const LatencyOptions& options) {
  const Graph graph = make_graph(options.graph, bench.options.seed);
  Fabric fabric(bench.options.fabric);
  bench.step(fmt::format("{} follows", graph.edges()));
  load_follows(bench, fabric, graph);
  Messages messages{.body = bench.options.body, .authors = graph.authors()};
  publish(bench, fabric, graph, messages, {.most = messages.authors, .batch = 100, .in_flight = 4});
  wait_delivered(fabric, graph, messages, last_deliveries(graph, messages, fabric.options().bucket_count, 100, 1));
  read_once(bench, fabric, graph);
  settle(fabric);

  bench.step("publishing, one at a time");
  CommitProbe probe(bench.options.fabric.directory);
  Watcher watcher(fabric, graph, messages);
  Samples commit, acknowledged, over, bucketwise, all;
  Bar bar(bench, "messages", options.messages);
  for (uint32_t i = 0; i < options.messages; ++i) {
    // By turns, so that both meet the same disk.
    const double commit_ms = probe.commit_ms(1, bench.options.body);
    const auto sent = watcher.publish();
    commit.add(commit_ms), acknowledged.add(sent.acknowledged_ms);
    const size_t author = messages.author_of(sent.number);
    bucketwise.add(watcher.visible_ms(sent, one_in_each_bucket(graph, author, fabric.options().bucket_count)));
    all.add(watcher.visible_ms(sent, graph.followers[author]));
    bar.show(i);
  }
  Report& report = bench.report;
  report.times("one LMDB commit with fsync", commit, "of 200 bytes, by turns with the publishes");
  report.times("publish -> acknowledged", acknowledged, fmt::format("{} authors with {} followers each", graph.authors(), options.graph.followers));
  report.number("... above one commit, by the medians", (acknowledged.median() - commit.median()) * 1000, "us");
  report.times("publish -> visible in every bucket", bucketwise, "read there, in one READ of a follower in each");
  report.times("publish -> visible to all followers", all, "then read by all, in one READ");
  const std::string differs = compare_sample(fabric, graph, messages, 50, 800, bench.options.seed);
  report.check("timelines are exact", differs.empty(), differs.empty() ? "50 drawn at random, compared" : differs);
}

}  // namespace

void add_latency(CLI::App& app, Action& action) {
  auto options = std::make_shared<LatencyOptions>();
  CLI::App* command = app.add_subcommand("latency", "Publish to acknowledged and to visible, on an idle node");
  add_graph_options(*command, options->graph);
  command->add_option("--messages", options->messages, "so many")->check(CLI::Range(1u, 1'000'000u))->capture_default_str();
  command->callback([=, &action] { action = [=](Bench& bench) { measure(bench, *options); }; });
}

}  // namespace canopy::bench
