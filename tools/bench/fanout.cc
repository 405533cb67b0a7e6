// canopy-bench fanout: deliveries a second, with every timeline in memory (active) and none (inactive).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>

#include "graph_options.h"
#include "stages.h"
#include "stop.h"
#include "text.h"

namespace canopy::bench {
namespace {

using console::grouped;

struct FanoutOptions {
  GraphOptions graph;
  uint64_t messages = 0;
  double seconds = 5;
  size_t batch = 0;        // 0: by the number of followers
  size_t in_flight = 0;    // 0: 16
  uint64_t capacity = 800; // of timelines
  size_t sample = 100;     // timelines compared
  bool active = true, inactive = true;
};

// What one run has found, before it is told.
struct Run {
  uint64_t edges = 0, warm = 0;
  double load_s = 0, read_once_s = 0;
  PublishResult published;
  double delivered_s = 0, late_s = 0;
  uint64_t deliveries = 0;
  Usage empty, loaded, before, after, settled;
  double client_cpu_s = 0;
  uint64_t entries_before = 0, entries = 0, entries_wanted = 0, timelines = 0, timeline_bytes = 0;
  uint64_t leaf = 0, leaf_wanted = 0;
  std::string differs;
};

class Fanout {
 public:
  Fanout(Bench& bench, const FanoutOptions& options, const Graph& graph, bool active)
      : bench_(bench), options_(options), graph_(graph), active_(active), fabric_(fabric_options(bench, options)) {
    messages_.body = bench.options.body;
    messages_.authors = graph.authors();
    plan_.batch = options.batch ? options.batch : graph.edges() / graph.authors() > 5000 ? 10 : 100;
    plan_.in_flight = options.in_flight ? options.in_flight : 16;
  }

  Run measure() {
    load();
    warm_up();
    if (active_) activate();
    go();
    verify();
    return std::move(run_);
  }

 private:
  static FabricOptions fabric_options(const Bench& bench, const FanoutOptions& options) {
    FabricOptions fabric = bench.options.fabric;
    fabric.settings.insert(fabric.settings.begin(), fmt::format("timeline.capacity={}", options.capacity));
    return fabric;
  }
  uint32_t buckets() const { return fabric_.options().bucket_count; }

  // The newest entries of a home among which the last message must stand: as many as can overtake it.
  size_t newest() const {
    const double share = static_cast<double>(graph_.edges()) / static_cast<double>(graph_.authors()) / graph_.users;
    return std::min<size_t>(1000, 20 + static_cast<size_t>(3 * share * static_cast<double>(plan_.batch * plan_.in_flight)));
  }
  void wait_for_all() { wait_delivered(fabric_, graph_, messages_, last_deliveries(graph_, messages_, buckets(), 300, bench_.options.seed), newest()); }

  void load() {
    run_.empty = fabric_.usage();
    run_.edges = graph_.edges();
    bench_.step(fmt::format("{} follows: {} authors, {} users", grouped(run_.edges), grouped(graph_.authors()), grouped(graph_.users)));
    run_.load_s = load_follows(bench_, fabric_, graph_).seconds;
    run_.loaded = settle(fabric_);
  }

  // One message of each author, so that each timeline has entries of all that its user follows.
  void warm_up() {
    publish(bench_, fabric_, graph_, messages_, {.most = messages_.authors, .batch = plan_.batch, .in_flight = plan_.in_flight});
    run_.warm = messages_.published;
    wait_for_all();
    settle(fabric_);
  }

  void activate() {
    bench_.step(fmt::format("{} timelines, read once", grouped(graph_.users)));
    run_.read_once_s = read_once(bench_, fabric_, graph_);
    settle(fabric_);
  }

  void go() {
    const uint64_t leaf_before = leaf_deliveries(graph_, messages_, 0, messages_.published, buckets());
    await_counter(fabric_, "deliveries", leaf_before);
    if (active_) run_.entries_before = await_counter(fabric_, "timeline_entries", entries_held(graph_, messages_, options_.capacity));
    bench_.step("publishing");
    plan_.most = options_.messages ? options_.messages : UINT32_MAX;
    plan_.seconds = options_.messages ? 0 : options_.seconds;
    const double client_before = own_usage().cpu_s;
    run_.before = fabric_.usage();
    const auto begin = Clock::now();
    run_.published = publish(bench_, fabric_, graph_, messages_, plan_);
    wait_for_all();
    run_.delivered_s = seconds_since(begin);
    run_.after = fabric_.usage();
    run_.client_cpu_s = own_usage().cpu_s - client_before;
    run_.deliveries = deliveries(graph_, messages_, run_.warm, messages_.published);
  }

  void verify() {
    bench_.step("counting and comparing");
    // The sample of the wait was there; all must be counted as soon as the counters are renewed (each second).
    const auto begin = Clock::now();
    run_.leaf_wanted = leaf_deliveries(graph_, messages_, 0, messages_.published, buckets());
    run_.leaf = await_counter(fabric_, "deliveries", run_.leaf_wanted);
    run_.entries_wanted = entries_held(graph_, messages_, options_.capacity);
    run_.entries = active_ ? await_counter(fabric_, "timeline_entries", run_.entries_wanted) : 0;
    run_.late_s = std::max(0.0, seconds_since(begin) - 2.5);
    run_.timelines = fabric_.shard_counter("materialised_timelines");
    run_.timeline_bytes = fabric_.shard_counter("timeline_bytes");
    run_.settled = settle(fabric_);
    run_.differs = compare_sample(fabric_, graph_, messages_, options_.sample, options_.capacity, bench_.options.seed);
  }

  Bench& bench_;
  const FanoutOptions& options_;
  const Graph& graph_;
  const bool active_;
  Fabric fabric_;
  Messages messages_;
  PublishPlan plan_;
  Run run_;
};

void tell(Report& report, const FanoutOptions& options, const Graph& graph, const Run& run, bool active) {
  const auto number = [](uint64_t n) { return static_cast<double>(n); };
  const double count = number(run.deliveries), cpu_s = run.after.cpu_s - run.before.cpu_s;
  report.heading(active ? "active timelines" : "inactive timelines");
  report.number("deliveries/s", count / run.delivered_s, "1/s",
                fmt::format("{} messages, {} deliveries, {:.2f} s", grouped(run.published.messages), grouped(run.deliveries), run.delivered_s));
  report.number("deliveries per CPU-second of the nodes", count / std::max(cpu_s, 0.01), "1/s", fmt::format("{:.2f} s of CPU", cpu_s));
  report.number("cores that the nodes used", cpu_s / run.delivered_s, "");
  report.number("cores that this load used", run.client_cpu_s / run.delivered_s, "");
  report.number("publishes/s", number(run.published.messages) / run.published.seconds, "1/s",
                run.published.again ? fmt::format("{} requests again after BUSY", run.published.again) : "");
  report.times("publish -> acknowledged, at this load", run.published.ms, "each request");
  report.number("written to disk per delivery", number(run.after.bytes_written - run.before.bytes_written) / count, "bytes", "when the last was there");
  report.number("... after the nodes came to rest", number(run.settled.bytes_written - run.before.bytes_written) / count, "bytes");
  if (active) {
    const double entries = std::max(1.0, number(run.entries - run.entries_before));
    report.number("RAM per entry", (number(run.settled.rss_bytes) - number(run.before.rss_bytes)) / entries, "bytes",
                  fmt::format("growth of the nodes' RSS; {:.0f} entries a timeline", number(run.entries) / graph.users));
    report.number("... as the nodes count it", number(run.timeline_bytes) / std::max(1.0, number(run.entries)), "bytes", "timeline_bytes of STATUS");
    report.number("timelines read once", number(graph.users) / run.read_once_s, "1/s");
  }
  report.number("follows loaded", number(run.edges) / run.load_s, "1/s", grouped(run.edges));
  report.number("RAM per follow", (number(run.loaded.rss_bytes) - number(run.empty.rss_bytes)) / number(run.edges), "bytes", "growth of the nodes' RSS");
  report.number("nodes' RSS at the end", number(run.settled.rss_bytes) / 1048576, "MiB");
  report.check("all deliveries counted", run.leaf == run.leaf_wanted && run.late_s == 0,
               fmt::format("{} of {} to leaves{}", grouped(run.leaf), grouped(run.leaf_wanted),
                           run.late_s > 0 ? fmt::format("; the last {:.1f} s late", run.late_s) : ""));
  if (active)
    report.check("appended in RAM = delivered", run.entries == run.entries_wanted && run.timelines == graph.users,
                 fmt::format("{} of {} entries, {} of {} timelines", grouped(run.entries), grouped(run.entries_wanted), grouped(run.timelines), grouped(graph.users)));
  report.check("timelines are exact", run.differs.empty(), run.differs.empty() ? fmt::format("{} drawn at random, compared", options.sample) : run.differs);
}

void measure(Bench& bench, const FanoutOptions& options) {
  const Graph graph = make_graph(options.graph, bench.options.seed);
  const auto follows = graph.follows();
  if (!graph.users || !graph.authors()) throw Stop("the graph has no follows");
  bench.report.number("followers of a message", static_cast<double>(graph.edges()) / static_cast<double>(graph.authors()), "",
                      fmt::format("{}: {} users, {} authors", options.graph.shape, grouped(graph.users), grouped(graph.authors())));
  bench.report.number("authors that a user follows, at least", *std::min_element(follows.begin(), follows.end()), "");
  for (const bool active : {true, false})
    if (active ? options.active : options.inactive) {
      bench.step(active ? "-- active timelines" : "-- inactive timelines");
      tell(bench.report, options, graph, Fanout(bench, options, graph, active).measure(), active);
    }
}

}  // namespace

void add_fanout(CLI::App& app, Action& action) {
  auto options = std::make_shared<FanoutOptions>();
  auto active_only = std::make_shared<bool>(false), no_active = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("fanout", "Deliveries a second, of a graph of follows");
  add_graph_options(*command, options->graph);
  command->add_option("--messages", options->messages, "publish so many, instead of for some seconds");
  command->add_option("--seconds", options->seconds, "publish for so long")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--batch", options->batch, "messages in a request; 1: single ones (100; 10 with many followers)")->check(CLI::Range(1, 1000));
  command->add_option("--in-flight", options->in_flight, "requests at a time (16)")->check(CLI::Range(1, 10'000));
  command->add_option("--capacity", options->capacity, "of a timeline")->check(CLI::Range(1, 100'000))->capture_default_str();
  command->add_option("--sample", options->sample, "timelines to compare")->capture_default_str();
  auto* only = command->add_flag("--active-only", *active_only, "only with every timeline read before");
  command->add_flag("--no-active", *no_active, "only with no timeline read before")->excludes(only);
  command->callback([=, &action] {
    options->inactive = !*active_only, options->active = !*no_active;
    action = [=](Bench& bench) { measure(bench, *options); };
  });
}

}  // namespace canopy::bench
