// canopy-bench fairness: what an ordinary author notices of a celebrity, and of a million retractions.
#include <CLI/CLI.hpp>
#include <atomic>
#include <exception>
#include <fmt/format.h>
#include <thread>

#include "stop.h"
#include "text.h"
#include "visible.h"

namespace canopy::bench {
namespace {

using console::grouped;

struct FairnessOptions {
  uint32_t followers = 1'000'000;       // of the celebrity
  uint32_t authors = 100, each = 400;   // ordinary ones, their followers
  uint32_t messages = 500;              // of an ordinary author on an idle node
  uint32_t retractions = 1'000'000, celebrity_retractions = 100;
  uint32_t retract_followers = 10;      // of the authors whose messages are retracted
  double seconds = 15;                  // that the celebrity publishes
  uint64_t ahead = 16;                  // of its messages that homes may be behind
  size_t in_flight = 64;                // retractions
  bool heavy = true;
};

// A group of authors and followers of its own: who follows one follows nobody of another.
struct Group {
  Graph graph;
  Messages messages;
  std::vector<uint32_t> leaves;         // of each author
  std::vector<MessageId> ids;           // of the messages that are to be retracted
};

// Work beside what is measured, in a thread of its own.
class Beside {
 public:
  explicit Beside(std::function<void()> work)
      : thread_([this, work = std::move(work)] {
          try {
            work();
          } catch (...) {
            thrown_ = std::current_exception();
          }
          done_ = true;
        }) {}
  ~Beside() { if (thread_.joinable()) thread_.join(); }
  bool done() const { return done_; }
  void join() {
    thread_.join();
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  std::exception_ptr thrown_;
  std::atomic<bool> done_{false};
  std::thread thread_;  // last: it uses the others
};

class Fairness {
 public:
  Fairness(Bench& bench, const FairnessOptions& options) : bench_(bench), options_(options), fabric_(appending(bench.options.fabric)) {
    quiet_.options = bench.options;
    quiet_.options.quiet = true;
  }

  void measure() {
    prepare();
    idle();
    if (options_.seconds > 0) beside_celebrity(false);
    if (options_.retractions > 0) beside_retractions();
    if (options_.celebrity_retractions > 0) beside_celebrity_retractions();
    if (options_.heavy && options_.seconds > 0) beside_celebrity(true);
    verify();
  }

 private:
  struct Seen {
    Samples acknowledged, visible;
  };

  // Every delivery is written to every timeline in memory, unless --set says something else.
  static FabricOptions appending(FabricOptions fabric) {
    fabric.settings.insert(fabric.settings.begin(), "timeline.mode=append");
    return fabric;
  }

  Group group(Graph graph, const char* letter) {
    for (uint32_t i = 0; i < graph.users; ++i) graph.user_names.push_back(fmt::format("{}u{}", letter, i));
    for (size_t i = 0; i < graph.authors(); ++i) graph.author_names.push_back(fmt::format("{}a{}", letter, i));
    bench_.step(fmt::format("{} follows", grouped(graph.edges())));
    load_follows(bench_, fabric_, graph);
    Messages messages{.body = bench_.options.body, .authors = graph.authors()};
    std::vector<uint32_t> leaves = leaves_of_each(graph, fabric_.options().bucket_count);
    return {std::move(graph), messages, std::move(leaves), {}};
  }

  // One message of each author, then every timeline is read: all are in memory and of more than one author.
  void activate(Group& group) {
    publish(bench_, fabric_, group.graph, group.messages, {.most = group.messages.authors, .batch = 100, .in_flight = 4});
    await(group);
    read_once(bench_, fabric_, group.graph);
  }
  void await(const Group& group) {
    wait_delivered(fabric_, group.graph, group.messages, last_deliveries(group.graph, group.messages, fabric_.options().bucket_count, 100, 1));
  }

  void prepare() {
    celebrity_ = group(celebrity_graph(options_.followers, 2), "c");
    ordinary_ = group(uniform_graph(options_.authors * options_.each / 2, options_.each, 2, bench_.options.seed), "o");
    if (options_.heavy) crowd_ = group(uniform_graph(20'000, 400, 2, bench_.options.seed + 1), "h");
    if (options_.retractions > 0) retracted_ = group(uniform_graph(2'000 * options_.retract_followers, options_.retract_followers, 2, bench_.options.seed + 2), "r");
    bench_.step("reading all timelines");
    for (Group* one : {&celebrity_, &ordinary_, &crowd_, &retracted_})
      if (one->graph.users > 0) activate(*one);
    settle(fabric_);
  }

  // Ordinary authors publish one message at a time until `enough` says so.
  Seen watch(const std::function<bool(size_t)>& enough) {
    Seen seen;
    Watcher watcher(fabric_, ordinary_.graph, ordinary_.messages);
    Dice dice(bench_.options.seed + ordinary_.messages.published);
    while (!enough(seen.visible.count())) {
      stop_if_interrupted();
      const auto sent = watcher.publish();
      seen.acknowledged.add(sent.acknowledged_ms);
      seen.visible.add(watcher.visible_ms(sent, ordinary_.graph.followers[ordinary_.messages.author_of(sent.number)]));
      std::this_thread::sleep_for(std::chrono::microseconds(dice.below(10'000)));  // at any place of a cycle
    }
    return seen;
  }
  void tell(const std::string& when, const Seen& seen) {
    Report& report = bench_.report;
    const auto to_idle = [](const Samples& now, const Samples& idle) { return fmt::format("p99 is {:.1f} x the idle one; of {}", now.at(0.99) / idle.at(0.99), grouped(now.count())); };
    report.heading("an ordinary author " + when);
    report.times("publish -> acknowledged", seen.acknowledged, to_idle(seen.acknowledged, idle_.acknowledged));
    report.times("publish -> visible to all followers", seen.visible, to_idle(seen.visible, idle_.visible));
  }

  void idle() {
    bench_.step("ordinary authors, on an idle node");
    idle_ = watch([this](size_t count) { return count >= options_.messages; });
    bench_.report.heading("an ordinary author, with nothing else to do");
    bench_.report.times("publish -> acknowledged", idle_.acknowledged, fmt::format("{} authors with {} followers each", options_.authors, options_.each));
    bench_.report.times("publish -> visible to all followers", idle_.visible, "read by all, in one READ, again and again until all show it");
  }

  void beside_celebrity(bool crowd) {
    const char* when = crowd ? "while one with a million followers publishes, and a hundred others as much as goes" : "while one with a million followers publishes without pause";
    bench_.step(fmt::format("ordinary authors, {}", when));
    const uint64_t before = celebrity_.messages.published, crowd_before = crowd_.messages.published;
    const PublishPlan plan{.most = UINT32_MAX, .seconds = options_.seconds, .batch = 1, .in_flight = 4, .ahead = options_.ahead};
    const PublishPlan crowd_plan{.most = UINT32_MAX, .seconds = options_.seconds, .batch = 10, .in_flight = 8, .ahead = 2'000};
    const Usage usage = fabric_.usage();
    const auto begin = Clock::now();
    Beside load([&] { publish(quiet_, fabric_, celebrity_.graph, celebrity_.messages, plan); });
    Beside others([&] { if (crowd) publish(quiet_, fabric_, crowd_.graph, crowd_.messages, crowd_plan); });
    const Seen seen = watch([&](size_t) { return load.done(); });
    load.join(), others.join();
    await(celebrity_);
    if (crowd) await(crowd_);
    const double seconds = seconds_since(begin);
    tell(when, seen);
    const auto rate = [&](const Group& group, uint64_t from) {
      return static_cast<double>(deliveries(group.graph, group.messages, from, group.messages.published)) / seconds;
    };
    Report& report = bench_.report;
    report.number("deliveries/s of the celebrity", rate(celebrity_, before), "1/s",
                  fmt::format("{} messages to {} followers, at most {} ahead of homes; {:.2f} cores of the nodes", grouped(celebrity_.messages.published - before),
                              grouped(options_.followers), options_.ahead, (fabric_.usage().cpu_s - usage.cpu_s) / seconds));
    if (crowd) report.number("deliveries/s of the hundred", rate(crowd_, crowd_before), "1/s", "400 followers each");
  }

  void beside_retractions() {
    const std::string when = fmt::format("while {} messages are retracted", grouped(options_.retractions));
    bench_.step(fmt::format("publishing {} messages that are to be retracted", grouped(options_.retractions)));
    const uint64_t before = retracted_.messages.published;
    publish(bench_, fabric_, retracted_.graph, retracted_.messages, {.most = options_.retractions, .batch = 100, .in_flight = 16, .ahead = 50'000, .ids = &retracted_.ids});
    await(retracted_);
    settle(fabric_);
    bench_.step("ordinary authors, " + when);
    retract_beside(retracted_, before, when, fmt::format("{} authors with {} followers each", grouped(retracted_.graph.authors()), options_.retract_followers));
  }

  void beside_celebrity_retractions() {
    const std::string when = fmt::format("while one with a million followers retracts {} messages", grouped(options_.celebrity_retractions));
    bench_.step("ordinary authors, " + when);
    const uint64_t before = celebrity_.messages.published;
    publish(bench_, fabric_, celebrity_.graph, celebrity_.messages, {.most = options_.celebrity_retractions, .batch = 1, .in_flight = 4, .ahead = options_.ahead, .ids = &celebrity_.ids});
    await(celebrity_);
    settle(fabric_);
    retract_beside(celebrity_, before, when, fmt::format("from {} timelines each", grouped(options_.followers)));
  }

  void retract_beside(Group& group, uint64_t from, const std::string& when, const std::string& remark) {
    const uint64_t wanted = fabric_.shard_counter("retracted") + leaf_deliveries(group.leaves, group.messages, from, group.messages.published);
    const auto count = static_cast<double>(group.messages.published - from);
    const auto begin = Clock::now();
    RetractResult result;
    double seconds = 0;
    Beside load([&] { result = retract(quiet_, fabric_, group.graph, group.messages, from, group.ids, options_.in_flight); });
    // Answered is not arrived: it is over when the leaves have them all.
    auto asked = Clock::now();
    const Seen seen = watch([&](size_t) {
      if (!load.done() || ms_since(asked) < 200) return false;
      asked = Clock::now();
      if (fabric_.shard_counter("retracted") < wanted && seconds_since(begin) < 600) return false;
      seconds = seconds_since(begin);
      return true;
    });
    load.join();
    tell(when, seen);
    Report& report = bench_.report;
    report.number("retractions/s", count / result.seconds, "1/s", remark);
    report.number("... until they have arrived in all homes", count / seconds, "1/s", fmt::format("{:.1f} s in all; counters are renewed once a second", seconds));
    const uint64_t counted = await_counter(fabric_, "retracted", wanted);
    report.check("all retractions counted", counted == wanted, fmt::format("{} of {} at leaves", grouped(counted), grouped(wanted)));
  }

  void verify() {
    bench_.step("counting and comparing");
    bench_.report.heading("what is there at the end");
    for (const auto& [group, what] : {std::pair{&celebrity_, "the celebrity's"}, {&ordinary_, "the ordinary authors'"}, {&crowd_, "the hundred others'"}, {&retracted_, "those of what was retracted"}}) {
      if (group->graph.users == 0) continue;
      const std::string differs = compare_sample(fabric_, group->graph, group->messages, 100, 800, bench_.options.seed);
      bench_.report.check(fmt::format("timelines are exact: {}", what), differs.empty(), differs.empty() ? "100 drawn at random, compared" : differs);
    }
  }

  Bench& bench_;
  const FairnessOptions& options_;
  Bench quiet_;                          // for what goes on beside: no bars
  Fabric fabric_;
  Group celebrity_, ordinary_, crowd_, retracted_;
  Seen idle_;
};

}  // namespace

void add_fairness(CLI::App& app, Action& action) {
  auto options = std::make_shared<FairnessOptions>();
  auto alone = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("fairness", "What an ordinary author notices of a celebrity, and of a million retractions");
  command->add_option("--followers", options->followers, "of the celebrity")->check(CLI::Range(1000u, 100'000'000u))->capture_default_str();
  command->add_option("--messages", options->messages, "of ordinary authors while nothing else goes on")->check(CLI::Range(10u, 1'000'000u))->capture_default_str();
  command->add_option("--seconds", options->seconds, "that the celebrity publishes; 0: not at all")->check(CLI::NonNegativeNumber)->capture_default_str();
  command->add_option("--ahead", options->ahead, "messages of the celebrity that homes may be behind; 0: no bound")->capture_default_str();
  command->add_option("--retractions", options->retractions, "messages that are published and retracted")->capture_default_str();
  command->add_option("--retract-followers", options->retract_followers, "of each author of these")->check(CLI::Range(1u, 10'000u))->capture_default_str();
  command->add_option("--celebrity-retractions", options->celebrity_retractions, "messages of the celebrity that are retracted")->check(CLI::Range(0u, 700u))->capture_default_str();
  command->add_option("--in-flight", options->in_flight, "retractions at a time")->check(CLI::Range(1, 10'000))->capture_default_str();
  command->add_flag("--no-heavy", *alone, "leave out the celebrity beside heavy ordinary load");
  command->callback([=, &action] {
    options->heavy = !*alone;
    action = [=](Bench& bench) { Fairness(bench, *options).measure(); };
  });
}

}  // namespace canopy::bench
