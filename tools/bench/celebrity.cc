// canopy-bench celebrity: how long until the last of very many followers sees a message.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "stop.h"
#include "text.h"
#include "visible.h"

namespace canopy::bench {
namespace {

using console::grouped;

struct CelebrityOptions {
  uint32_t followers = 1'000'000, follows = 2, messages = 20, sample = 10'000;
  bool active = true;
};

void measure(Bench& bench, const CelebrityOptions& options) {
  Graph graph = celebrity_graph(options.followers, options.follows);
  FabricOptions fabric_options = bench.options.fabric;
  fabric_options.settings.insert(fabric_options.settings.begin(), "timeline.mode=append");  // as in fanout
  Fabric fabric(fabric_options);
  Report& report = bench.report;
  const Usage empty = fabric.usage();
  bench.step(fmt::format("{} follows", grouped(graph.edges())));
  const LoadResult loaded = load_follows(bench, fabric, graph);
  const Usage after_load = settle(fabric);
  report.number("followers", options.followers, "", fmt::format("{} authors, each followed by all; timeline.mode = append", options.follows));
  report.number("follows loaded", static_cast<double>(graph.edges()) / loaded.seconds, "1/s", fmt::format("{:.1f} s", loaded.seconds));
  const auto growth = [&](uint64_t Usage::*bytes) {
    return (static_cast<double>(after_load.*bytes) - static_cast<double>(empty.*bytes)) / static_cast<double>(graph.edges());
  };
  report.number("RAM per follow", growth(&Usage::anonymous_bytes), "bytes", "growth of the nodes' memory");
  report.number("... with the store's mapped file", growth(&Usage::rss_bytes), "bytes", "growth of their RSS");
  report.number("disk per follow", static_cast<double>(fabric.disk_bytes()) / static_cast<double>(graph.edges()), "bytes");

  Messages messages{.body = bench.options.body, .authors = graph.authors()};
  publish(bench, fabric, graph, messages, {.most = messages.authors, .batch = 1, .in_flight = 1});
  wait_delivered(fabric, graph, messages, last_deliveries(graph, messages, fabric.options().bucket_count, 100, 1), std::chrono::seconds(600));
  if (options.active) {
    bench.step(fmt::format("{} timelines, read once", grouped(graph.users)));
    report.number("timelines read once", graph.users / read_once(bench, fabric, graph), "1/s");
  }
  settle(fabric);

  bench.step("publishing, one at a time");
  Dice dice(bench.options.seed);
  std::vector<uint32_t> sample;
  for (uint32_t i = 0; i < options.sample; ++i) sample.push_back(dice.below(graph.users));
  const auto each_bucket = one_in_each_bucket(graph, 0, fabric.options().bucket_count);
  Watcher watcher(fabric, graph, messages);
  Samples acknowledged, bucketwise, all;
  Bar bar(bench, "messages", options.messages);
  for (uint32_t i = 0; i < options.messages; ++i) {
    const auto sent = watcher.publish();
    acknowledged.add(sent.acknowledged_ms);
    bucketwise.add(watcher.visible_ms(sent, each_bucket));
    all.add(watcher.visible_ms(sent, sample));
    bar.show(i);
  }
  report.times("publish -> acknowledged", acknowledged);
  report.times("publish -> visible in every bucket", bucketwise, "the one of each that followed last, read in one READ");
  report.times("publish -> visible to a sample, read after that", all,
               fmt::format("{} drawn at random: the time to read them is in it", grouped(sample.size())));

  report.number("deliveries/s of one message", options.followers / bucketwise.median() * 1000, "1/s", "followers / the median until visible in every bucket");
  const Usage end = settle(fabric);
  report.number("nodes' RSS at the end", static_cast<double>(end.rss_bytes) / 1048576, "MiB");
  report.number("nodes' RSS at most", static_cast<double>(end.rss_peak_bytes) / 1048576, "MiB");
  report.number("disk", static_cast<double>(fabric.disk_bytes()) / 1048576, "MiB");
  const uint64_t wanted = leaf_deliveries(leaves_of_each(graph, fabric.options().bucket_count), messages, 0, messages.published);
  const uint64_t counted = await_counter(fabric, "deliveries", wanted);
  report.check("all deliveries counted", counted == wanted, fmt::format("{} of {} to leaves", grouped(counted), grouped(wanted)));
  if (options.active) {
    const uint64_t entries = entries_held(graph, messages, 800), held = await_counter(fabric, "timeline_entries", entries);
    report.check("appended in RAM = delivered", entries == held, fmt::format("{} of {} entries", grouped(held), grouped(entries)));
  }
  const std::string differs = compare_sample(fabric, graph, messages, 100, 800, bench.options.seed);
  report.check("timelines are exact", differs.empty(), differs.empty() ? "100 drawn at random, compared" : differs);
}

}  // namespace

void add_celebrity(CLI::App& app, Action& action) {
  auto options = std::make_shared<CelebrityOptions>();
  auto no_active = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("celebrity", "Publish to visible to the last of very many followers");
  command->add_option("--followers", options->followers, "of each author")->check(CLI::Range(1u, 1'000'000'000u))->capture_default_str();
  command->add_option("--follows", options->follows, "authors, each followed by all")->check(CLI::Range(1u, 100u))->capture_default_str();
  command->add_option("--messages", options->messages, "so many")->check(CLI::Range(1u, 700u))->capture_default_str();
  command->add_option("--sample", options->sample, "timelines to read for each message, drawn at random")->check(CLI::Range(1u, 10'000'000u))->capture_default_str();
  command->add_flag("--no-active", *no_active, "timelines not read before, but for those that are read here");
  command->callback([=, &action] {
    options->active = !*no_active;
    action = [=](Bench& bench) { measure(bench, *options); };
  });
}

}  // namespace canopy::bench
