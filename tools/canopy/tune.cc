// canopy tune: what the ways of bringing messages into homes cost on this machine, for the settings file.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>

#include "args.h"
#include "base/limits.h"
#include "costs_table.h"
#include "json.h"
#include "leaf/costs.h"
#include "progress.h"
#include "text.h"
#include "tune_lab.h"

namespace canopy::console {
namespace {

struct TuneArgs {
  uint32_t followers = 16'000, rounds = 5, capacity = 800, stream = 10'000;
  std::string directory;
};

// Gone at the end, with all that is in it.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& in) : path_(in + "/canopy-tune-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error(in + ": a directory cannot be made there");
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

uint32_t median_ns(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return static_cast<uint32_t>(std::clamp(std::round(seconds[seconds.size() / 2] * 1e9), 1.0, 1e9));
}

constexpr uint32_t messages = 100, few_rows = 50, many_rows = 250;
constexpr uint32_t single_reads = 5;     // of a round, in each bucket
// What a reader has not seen of the authors that he follows fits in a timeline, and one fetch brings what is of one.
constexpr uint32_t fetched = leaf::messages_a_fetch;
static_assert(fetched * TuneLab::followed <= 800 && fetched <= limits::fetch_window_numbers);
constexpr uint32_t steps_before_rounds = 3;

// A read in the lazy lab is the same as in the merged one, with as many rows to take in, and the fetches besides.
std::vector<double> measure_fetch(TuneLab& lazy, TuneLab& merged, uint32_t rounds) {
  constexpr double fetches = double{single_reads} * TuneLab::buckets * TuneLab::followed;
  std::vector<double> fetch;
  lazy.read_singly(single_reads, fetched), merged.read_singly(single_reads, fetched);
  for (uint32_t round = 0; round < rounds; ++round)
    fetch.push_back((lazy.read_singly(single_reads, fetched) - merged.read_singly(single_reads, fetched)) / fetches);
  return fetch;
}

leaf::Costs measure(const TuneArgs& args, const std::string& directory, const std::function<void(uint32_t)>& step) {
  leaf::Costs costs;
  std::vector<double> append, deliver, look, merge;
  const double leaves = TuneLab::buckets, followers = args.followers;
  TuneLab appended(directory + "/append", leaf::Mode::append, args.followers);
  for (uint32_t round = 0; round < args.rounds; ++round) deliver.push_back(appended.deliver(messages) / messages / leaves);
  costs.deliver = median_ns(deliver);
  step(1);
  TuneLab merged(directory + "/merge", leaf::Mode::merge, args.followers);
  appended.read_all(), merged.read_all();
  step(2);
  {
    TuneLab lazy(directory + "/lazy", leaf::Mode::lazy, args.followers);
    lazy.read_all();
    costs.fetch = median_ns(measure_fetch(lazy, merged, args.rounds));
  }
  merged.read_all();
  step(steps_before_rounds);
  for (uint32_t round = 0; round < args.rounds; ++round) {
    append.push_back((appended.deliver(messages) / messages - costs.deliver * 1e-9 * leaves) / followers);
    const double base = appended.read_all() / followers;   // with all there
    merged.deliver_other(few_rows);
    look.push_back(merged.read_all() / followers - base);
    merged.deliver(few_rows);
    const double few = merged.read_all();
    merged.deliver(many_rows);
    merge.push_back((merged.read_all() - few) / followers / (many_rows - few_rows));
    step(steps_before_rounds + 1 + round);
  }
  costs.append = median_ns(append), costs.look = median_ns(look), costs.merge = median_ns(merge);
  return costs;
}

// From how many messages for a read on the leaf changes to that mode, of one follower in memory; none below a billion.
std::optional<uint64_t> begins(const leaf::Costs& costs, leaf::Mode mode, const leaf::Kept& kept) {
  leaf::Seen seen;
  seen.followers = seen.warm = 1;
  const auto better = [&](double per_read) {
    const auto of = leaf::message_costs(costs, seen, 1 / per_read, kept);
    if (mode == leaf::Mode::lazy) return of[2] * leaf::lazy_margin < std::min(of[0], of[1]);
    return (of[1] - costs.deliver) * leaf::clearly < of[0] - costs.deliver;
  };
  double low = 1, high = 1e9;
  if (!better(high)) return std::nullopt;
  while (high / low > 1.001) {
    const double middle = std::sqrt(low * high);
    (better(middle) ? high : low) = middle;
  }
  return static_cast<uint64_t>(high + 0.5);
}

std::string from_text(std::optional<uint64_t> from) { return from ? counted(*from, "message", "messages") : "never"; }

void tell(const Globals& globals, const TuneArgs& args, const leaf::Costs& costs) {
  const leaf::Kept kept{args.capacity, args.stream};
  const auto merged = begins(costs, leaf::Mode::merge, kept);
  const auto lazy = begins(costs, leaf::Mode::lazy, kept);
  if (globals.json) {
    say(json_object({{"append_ns", uint64_t{costs.append}}, {"deliver_ns", uint64_t{costs.deliver}}, {"look_ns", uint64_t{costs.look}},
                     {"merge_ns", uint64_t{costs.merge}}, {"fetch_ns", uint64_t{costs.fetch}},
                     {"merge_from", merged.value_or(0)}, {"lazy_from", lazy.value_or(0)}}));
    return;
  }
  Table table({{"COST"}, {"HERE", Align::right}, {"DEFAULT", Align::right}, {"OF"}});
  const leaf::Costs usual;
  table.add({"append", cost_text(costs.append), cost_text(usual.append), "a delivery written to one timeline in memory"});
  table.add({"deliver", cost_text(costs.deliver), cost_text(usual.deliver), "a message that comes to the followers of one bucket"});
  table.add({"look", cost_text(costs.look), cost_text(usual.look), "a read that asks one merged author for something new"});
  table.add({"merge", cost_text(costs.merge), cost_text(usual.merge), "one message that a read takes in"});
  table.add({"fetch", cost_text(costs.fetch), cost_text(usual.fetch), fmt::format("a fetch of {} messages from a lazy author", fetched)});
  say(table.render(globals.out));
  say("In deliver and fetch the way between nodes is left out: relay and sockets.\n");
  say(fmt::format("With timelines of {} entries and streams of {} an author's followers in a bucket are merged from\n"
                  "{} for a read of each on, lazy from {} on.\n",
                  grouped(args.capacity), grouped(args.stream), from_text(merged), from_text(lazy)));
  say(fmt::format("For the settings file:\n\n[costs]\nappend_ns = {}\ndeliver_ns = {}\nlook_ns = {}\nmerge_ns = {}\nfetch_ns = {}\n",
                  costs.append, costs.deliver, costs.look, costs.merge, costs.fetch));
}

int run_tune(const Globals& globals, const TuneArgs& args) {
  try {
    const TemporaryDirectory directory(args.directory);
    Progress progress(globals.err, globals.json || !globals.err.tty);
    const auto step = [&](uint32_t done) {
      ProgressState state;
      state.done = done;
      state.fraction = static_cast<double>(done) / (steps_before_rounds + args.rounds);
      state.unit = "steps";
      progress.show(state);
    };
    const leaf::Costs costs = measure(args, directory.path(), step);
    progress.clear();
    tell(globals, args, costs);
    return exit_ok;
  } catch (const std::exception& error) {
    return complain_usage(error.what());
  }
}

}  // namespace

void add_tune(CLI::App& app, Action& action) {
  auto args = std::make_shared<TuneArgs>();
  const char* tmp = std::getenv("TMPDIR");
  args->directory = tmp && *tmp ? tmp : "/tmp";
  CLI::App* command = app.add_subcommand("tune", "Measure what appending, merging and fetching cost on this machine");
  command->add_option("--followers", args->followers, "timelines to measure with")->check(CLI::Range(1'000u, 200'000u))->capture_default_str();
  command->add_option("--rounds", args->rounds, "the medians are of so many")->check(CLI::Range(1u, 100u))->capture_default_str();
  command->add_option("--capacity", args->capacity, "timeline.capacity of the fabric, for the cut-offs")->check(CLI::Range(1u, 100'000u))->capture_default_str();
  command->add_option("--stream", args->stream, "retention.stream of the fabric, for the cut-offs")->check(CLI::Range(1u, 1'000'000'000u))->capture_default_str();
  command->add_option("--dir", args->directory, "for three stores of some megabytes, removed at the end")->check(CLI::ExistingDirectory)->capture_default_str();
  command->footer(R"(Examples:
  canopy tune
  canopy tune --rounds 9 --capacity 200

Runs for some seconds, asks no node, and prints the lines for the settings file of the nodes on this machine.
It measures what a node's shards do: of messages and fetches that go from node to node, relay and sockets are left out.
By these costs a node with timeline.mode = "auto" chooses for each author (canopy tree --costs).)");
  command->callback([args, &action] { action = [args](const Globals& globals) { return run_tune(globals, *args); }; });
}

}  // namespace canopy::console
