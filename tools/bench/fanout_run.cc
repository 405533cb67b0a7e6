#include "fanout_run.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>

#include "text.h"

namespace canopy::bench {
namespace {

using console::grouped;
using namespace std::chrono_literals;

constexpr double counters_renewed_s = 1.5;  // each second, and a loaded machine

class Fanout {
 public:
  Fanout(Bench& bench, const FanoutOptions& options, const Graph& graph, bool active, uint32_t nodes)
      : bench_(bench), options_(options), graph_(graph), active_(active), fabric_(fabric_options(bench, options, nodes)) {
    messages_.body = bench.options.body;
    messages_.authors = graph.authors();
    plan_.batch = options.batch ? options.batch : graph.edges() / graph.authors() > 5000 ? 10 : 100;
    plan_.in_flight = options.in_flight ? options.in_flight : 16;
  }

  FanoutRun measure() {
    load();
    warm_up();
    if (active_) activate();
    go();
    verify();
    return std::move(run_);
  }

 private:
  static FabricOptions fabric_options(const Bench& bench, const FanoutOptions& options, uint32_t nodes) {
    FabricOptions fabric = bench.options.fabric;
    fabric.nodes = nodes;
    // Appended is what is measured: nobody reads, so a leaf would soon be merged by itself.
    fabric.settings.insert(fabric.settings.begin(), {fmt::format("timeline.capacity={}", options.capacity), "timeline.mode=append"});
    return fabric;
  }
  uint32_t buckets() const { return fabric_.options().bucket_count; }

  void wait_for_all() { wait_delivered(fabric_, graph_, messages_, last_deliveries(graph_, messages_, buckets(), 100, bench_.options.seed)); }

  void load() {
    run_.empty = fabric_.usage();
    run_.edges = graph_.edges();
    bench_.step(fmt::format("{} follows: {} authors, {} users", grouped(run_.edges), grouped(graph_.authors()), grouped(graph_.users)));
    run_.load_s = load_follows(bench_, fabric_, graph_).seconds;
    run_.loaded = settle(fabric_);
    leaves_ = leaves_of_each(graph_, buckets());
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
    const uint64_t leaf_before = leaf_deliveries(leaves_, messages_, 0, messages_.published);
    await_counter(fabric_, "deliveries", leaf_before);
    if (active_) run_.entries_before = await_counter(fabric_, "timeline_entries", entries_held(graph_, messages_, options_.capacity));
    bench_.step("publishing");
    plan_.most = options_.messages ? options_.messages : UINT32_MAX;
    plan_.seconds = options_.messages ? 0 : options_.seconds;
    plan_.rate = options_.rate;
    const uint64_t followers = std::max<uint64_t>(1, graph_.edges() / graph_.authors());
    // What is shown last of a few authors says little of the others': not less than a few rounds of all.
    if (options_.ahead) plan_.ahead = std::max<uint64_t>(options_.ahead / followers, 4 * messages_.authors) + plan_.batch * plan_.in_flight;
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
    // The sample of the wait was there. The counters must say the same when they are renewed, which is each second; if
    // it takes longer, something was still under way, and the time ends only now.
    const auto sampled = Clock::now();
    run_.leaf_wanted = leaf_deliveries(leaves_, messages_, 0, messages_.published);
    run_.leaf = await_counter(fabric_, "deliveries", run_.leaf_wanted, 60s);
    if (active_) count_entries();
    if (const double late = seconds_since(sampled); late > counters_renewed_s) {
      run_.late_s = late;
      run_.delivered_s += late;
      run_.after = fabric_.usage();
    }
    run_.timelines = fabric_.shard_counter("materialised_timelines");
    run_.timeline_bytes = fabric_.shard_counter("timeline_bytes");
    run_.settled = settle(fabric_);
    run_.differs = compare_sample(fabric_, graph_, messages_, options_.sample, options_.capacity, bench_.options.seed);
  }

  // A full timeline may hold more than it shows, by what it drops at once.
  void count_entries() {
    run_.entries_least = entries_held(graph_, messages_, options_.capacity);
    run_.entries_most = deliveries(graph_, messages_, 0, messages_.published);
    run_.entries = fabric_.shard_counter("timeline_entries");
    if (run_.entries < run_.entries_least || run_.entries_least == run_.entries_most)
      run_.entries = await_counter(fabric_, "timeline_entries", run_.entries_least);
  }

  Bench& bench_;
  const FanoutOptions& options_;
  const Graph& graph_;
  const bool active_;
  Fabric fabric_;
  Messages messages_;
  std::vector<uint32_t> leaves_;
  PublishPlan plan_;
  FanoutRun run_;
};

}  // namespace

void add_fanout_options(CLI::App& command, FanoutOptions& options) {
  command.add_option("--messages", options.messages, "publish so many, instead of for some seconds");
  command.add_option("--seconds", options.seconds, "publish for so long")->check(CLI::PositiveNumber)->capture_default_str();
  command.add_option("--batch", options.batch, "messages in a request; 1: single ones (100; 10 with many followers)")->check(CLI::Range(1, 1000));
  command.add_option("--in-flight", options.in_flight, "requests at a time (16)")->check(CLI::Range(1, 10'000));
  command.add_option("--rate", options.rate, "messages a second at most")->check(CLI::NonNegativeNumber);
  command.add_option("--ahead", options.ahead, "deliveries that homes may be behind what is published, about; 0: no bound")->capture_default_str();
  command.add_option("--capacity", options.capacity, "of a timeline")->check(CLI::Range(1, 100'000))->capture_default_str();
  command.add_option("--sample", options.sample, "timelines to compare")->capture_default_str();
}

FanoutRun run_fanout(Bench& bench, const FanoutOptions& options, const Graph& graph, bool active, uint32_t nodes) {
  return Fanout(bench, options, graph, active, nodes).measure();
}

}  // namespace canopy::bench
