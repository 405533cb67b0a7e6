// canopy-bench modes: what the ways of bringing messages into homes cost, each forced by the setting, and what the
// choice for each leaf costs. The same follows, messages and reads in each, and the nodes' CPU time for them.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <numeric>
#include <thread>

#include "mode_workloads.h"
#include "packer.h"
#include "stages.h"
#include "stop.h"
#include "text.h"

namespace canopy::bench {
namespace {

using console::grouped;
using namespace std::chrono_literals;

struct ModesOptions {
  std::vector<std::string> workloads{"read-heavy", "publish-heavy", "mixed"}, modes{"append", "merge", "auto"};
  uint32_t rounds = 3;
  double scale = 1, warm_up = 0.25;
  size_t in_flight = 8, body = 100, sample = 100;
  uint32_t bucket_count = 16, limit = 50;
};

constexpr uint64_t messages_in_a_request = 50, reads_in_a_request = 50;

// PUBLISH and READ by turns, so that both are through at the same time; the same ones for the same seed.
class Operations final : public Source {
 public:
  Operations(const Workload& workload, const Messages& messages, uint32_t limit, uint64_t seed)
      : workload_(workload), messages_(messages), limit_(limit), dice_(seed), filler_(messages.body_of(0)), published_(messages.published) {}

  // The next part of the script ends there.
  void until(uint64_t messages, uint64_t reads) { messages_end_ = messages_first_ + messages, reads_end_ = reads_first_ + reads; }
  void part_done() { messages_first_ = messages_end_, reads_first_ = reads_end_; }
  uint64_t done() const { return done_; }
  uint64_t published() const { return published_; }

  Next next(Frames& frames) override {
    const uint64_t messages = messages_end_ - messages_at_, reads = reads_end_ - reads_at_;
    if (messages == 0 && reads == 0) return Next::end;
    const bool publish = messages * (reads_end_ - reads_first_) >= reads * (messages_end_ - messages_first_) && messages > 0;
    if (publish) publish_some(frames, std::min(messages, messages_in_a_request));
    else read_some(frames, std::min(reads, reads_in_a_request));
    return Next::request;
  }

  std::optional<std::chrono::milliseconds> on_reply(Frames& frames, bool ok, std::string_view result) override {
    static constexpr std::string_view code_key = "\xa4" "code";
    if (ok && memmem(result.data(), result.size(), code_key.data(), code_key.size()) == nullptr) {
      done_ += frames.about.at(0);
      return std::nullopt;
    }
    throw Stop(fmt::format("{}: an operation was refused: each mode is to do the same", frames.verb));
  }

 private:
  void publish_some(Frames& frames, uint64_t count) {
    frames.verb = "PUBLISH";
    frames.about = {count};
    Packer args(frames.args);
    args.map(1);
    args.text("messages"), args.array(static_cast<uint32_t>(count));
    for (uint64_t i = 0; i < count; ++i, ++published_) {
      std::string body = fmt::format("{:016x}", published_);
      filler_.replace(0, body.size(), body);
      args.map(2);
      args.text("author"), args.text(workload_.graph.author(messages_.author_of(published_)));
      args.text("body"), args.bytes(filler_);
    }
    messages_at_ += count;
  }
  void read_some(Frames& frames, uint64_t count) {
    frames.verb = "READ";
    frames.about = {count};
    Packer args(frames.args);
    args.map(2);
    args.text("limit"), args.number(limit_);
    args.text("entities"), args.array(static_cast<uint32_t>(count));
    for (uint64_t i = 0; i < count; ++i) args.text(workload_.graph.user(workload_.reader(dice_)));
    reads_at_ += count;
  }

  const Workload& workload_;
  const Messages& messages_;
  const uint32_t limit_;
  Dice dice_;
  std::string filler_;
  uint64_t published_, done_ = 0;
  uint64_t messages_first_ = 0, messages_at_ = 0, messages_end_ = 0, reads_first_ = 0, reads_at_ = 0, reads_end_ = 0;
};

struct Run {
  double cpu_s = 0, wall_s = 0, begin_cpu_s = 0, ram_mib = 0;
  uint64_t timeline_writes = 0, rows_merged = 0;
  std::map<std::string, uint64_t> leaves;   // by mode, at the end
  std::string differs;
};

class Trial {
 public:
  Trial(Bench& bench, const ModesOptions& options, const Workload& workload, const std::string& mode)
      : bench_(bench), options_(options), workload_(workload), fabric_(fabric_options(bench, options, mode)) {
    messages_.body = options.body;
    messages_.authors = workload.graph.authors();
    messages_.turns = workload.turns;
  }

  Run measure() {
    load_follows(bench_, fabric_, workload_.graph);
    publish(bench_, fabric_, workload_.graph, messages_, {.most = messages_.round(), .batch = 100, .in_flight = 4});
    wait_delivered(fabric_, workload_.graph, messages_, last_deliveries(workload_.graph, messages_, options_.bucket_count, 100, bench_.options.seed));
    read_once(bench_, fabric_, workload_.graph);
    at_rest();

    Operations operations(workload_, messages_, options_.limit, bench_.options.seed);
    const double begin = part(operations, options_.warm_up).first;
    const uint64_t writes = fabric_.shard_counter("timeline_writes"), merged = counter("rows_merged");
    std::tie(run_.cpu_s, run_.wall_s) = part(operations, 1);
    run_.begin_cpu_s = begin;
    run_.timeline_writes = fabric_.shard_counter("timeline_writes") - writes;
    run_.rows_merged = counter("rows_merged") - merged;
    messages_.published = operations.published();
    run_.ram_mib = static_cast<double>(fabric_.usage().anonymous_bytes) / 1048576;
    ask_modes();
    run_.differs = compare_sample(fabric_, workload_.graph, messages_, options_.sample, 800, bench_.options.seed);
    return std::move(run_);
  }

 private:
  static FabricOptions fabric_options(const Bench& bench, const ModesOptions& options, const std::string& mode) {
    FabricOptions fabric = bench.options.fabric;
    fabric.bucket_count = options.bucket_count;
    fabric.settings.push_back("timeline.mode=" + mode);
    return fabric;
  }

  // Returns the nodes' CPU time of this share of the script, until they are at rest, and the time until its last reply.
  std::pair<double, double> part(Operations& operations, double share) {
    if (share == 0) return {};
    const auto of = [&](uint64_t all) { return static_cast<uint64_t>(static_cast<double>(all) * share * options_.scale); };
    operations.until(of(workload_.messages), of(workload_.reads));
    const double before = fabric_.usage().cpu_s;
    const auto begin = Clock::now();
    Bar bar(bench_, "operations", operations.done() + of(workload_.messages) + of(workload_.reads));
    Driver driver(fabric_.endpoints());
    driver.run(operations, {.in_flight = options_.in_flight, .tick = [&] { bar.show(operations.done()); }});
    const double wall = seconds_since(begin);
    operations.part_done();
    return {at_rest() - before, wall};
  }

  // Returns the nodes' CPU time when they use next to none.
  double at_rest() {
    double last = fabric_.usage().cpu_s;
    for (const auto begin = Clock::now(); Clock::now() - begin < 60s;) {
      std::this_thread::sleep_for(1s);
      stop_if_interrupted();
      fabric_.stop_if_ended();
      const double now = fabric_.usage().cpu_s;
      if (now - last < 0.05) return now;
      last = now;
    }
    return last;
  }

  uint64_t counter(std::string_view field) { return fabric_.shard_counter(field); }

  void ask_modes() {
    for (size_t author = 0; author < workload_.graph.authors(); ++author) {
      const wire::Reply reply = fabric_.dealer().call(wire::Tree{workload_.graph.author(author), 0, 0, true});
      const auto* tree = std::get_if<wire::TreeResult>(&reply);
      if (!tree) continue;
      for (const wire::TreeReflector& reflector : tree->reflectors)
        if (reflector.costs) ++run_.leaves[reflector.costs->mode];
    }
  }

  Bench& bench_;
  const ModesOptions& options_;
  const Workload& workload_;
  Fabric fabric_;
  Messages messages_;
  Run run_;
};

std::string leaves_text(const Run& run) {
  std::string text;
  for (const auto& [mode, count] : run.leaves) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", grouped(count), mode);
  return text;
}

void tell(Report& report, const ModesOptions& options, const Workload& workload, const std::map<std::string, std::vector<Run>>& runs) {
  const auto count = [&](uint64_t all) { return grouped(static_cast<uint64_t>(static_cast<double>(all) * options.scale)); };
  report.heading(fmt::format("{}: {} messages, {} reads; {}", workload.name, count(workload.messages), count(workload.reads), workload.what));
  const auto median = [](const std::vector<Run>& of, auto field) {
    Samples samples;
    for (const Run& run : of) samples.add(field(run));
    return samples.median();
  };
  std::string differs;
  for (const std::string& mode : options.modes) {
    const auto& of = runs.at(mode);
    report.number(mode + ": CPU time of the nodes", median(of, [](const Run& r) { return r.cpu_s; }), "s",
                  fmt::format("begun with {:.2f} s; leaves at the end: {}", median(of, [](const Run& r) { return r.begin_cpu_s; }), leaves_text(of.back())));
    report.number("... time", median(of, [](const Run& r) { return r.wall_s; }), "s", "until the last reply");
    report.number("... written to timelines", median(of, [](const Run& r) { return static_cast<double>(r.timeline_writes); }), "",
                  fmt::format("{} taken in at reads", grouped(static_cast<uint64_t>(median(of, [](const Run& r) { return static_cast<double>(r.rows_merged); })))));
    report.number("... memory of the nodes", median(of, [](const Run& r) { return r.ram_mib; }), "MiB");
    for (const Run& run : of)
      if (differs.empty() && !run.differs.empty()) differs = mode + ": " + run.differs;
  }
  // Auto beside the better of the others, of the same round.
  if (runs.contains("auto") && runs.size() > 1) {
    Samples ratios;
    std::string rounds;
    for (size_t round = 0; round < runs.at("auto").size(); ++round) {
      double better = 0;
      for (const auto& [mode, of] : runs)
        if (mode != "auto" && (better == 0 || of[round].cpu_s < better)) better = of[round].cpu_s;
      const double ratio = runs.at("auto")[round].cpu_s / std::max(better, 0.01);
      ratios.add(ratio);
      rounds += fmt::format("{}{:.2f}", round ? ", " : "each round: ", ratio);
    }
    report.number("auto ÷ the better of the others", ratios.median(), "", rounds);
  }
  report.check("timelines are exact", differs.empty(),
               differs.empty() ? fmt::format("{} drawn at random, compared, in each mode and round", options.sample) : differs);
}

void measure(Bench& bench, const ModesOptions& options) {
  for (const std::string& name : options.workloads) {
    const Workload workload = make_workload(name, bench.options.seed);
    std::map<std::string, std::vector<Run>> runs;
    for (uint32_t round = 0; round < options.rounds; ++round) {
      for (size_t i = 0; i < options.modes.size(); ++i) {
        const std::string& mode = options.modes[(round + i) % options.modes.size()];
        bench.step(fmt::format("-- {}, {}, round {} of {}", name, mode, round + 1, options.rounds));
        runs[mode].push_back(Trial(bench, options, workload, mode).measure());
      }
    }
    tell(bench.report, options, workload, runs);
  }
}

}  // namespace

void add_modes(CLI::App& app, Action& action) {
  auto options = std::make_shared<ModesOptions>();
  CLI::App* command = app.add_subcommand("modes", "What appending, merging and fetching cost, and the choice between them");
  const auto names = [](std::vector<std::string> all) { return CLI::IsMember(std::move(all)); };
  command->add_option("--workload", options->workloads, "read-heavy, publish-heavy, mixed: all")->delimiter(',')->check(names({"read-heavy", "publish-heavy", "mixed"}));
  command->add_option("--mode", options->modes, "append, merge, lazy, auto")->delimiter(',')->check(names({"append", "merge", "lazy", "auto"}))->capture_default_str();
  command->add_option("--rounds", options->rounds, "of all modes by turns")->check(CLI::Range(1u, 1000u))->capture_default_str();
  command->add_option("--scale", options->scale, "times as many messages and reads")->check(CLI::Range(0.001, 1000.0))->capture_default_str();
  command->add_option("--warm-up", options->warm_up, "of them go before, not in the figures: the leaves are watched")->check(CLI::Range(0.0, 10.0))->capture_default_str();
  command->add_option("--buckets", options->bucket_count, "of the fabric")->check(CLI::Range(1u, 4096u))->capture_default_str();
  command->add_option("--in-flight", options->in_flight, "requests at a time")->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_option("--limit", options->limit, "entries of a READ")->check(CLI::Range(1u, 800u))->capture_default_str();
  command->add_option("--sample", options->sample, "timelines to compare")->capture_default_str();
  command->callback([=, &action] { action = [=](Bench& bench) { measure(bench, *options); }; });
}

}  // namespace canopy::bench
