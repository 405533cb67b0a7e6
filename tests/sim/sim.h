// One run: a fabric is born, works under faults, is healed, drains and is judged, some rounds of it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/checker.h"
#include "sim/clients.h"
#include "sim/listeners.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/workload.h"

namespace canopy::sim {

// What really happened, over one run or many: the faults must have had their effects.
struct Totals {
  uint64_t runs = 0, events = 0;
  Machine::Counters machines;
  Network::Counters network;
  Clients::Counters clients;
  uint64_t publishes = 0, homes_checked = 0, entries_checked = 0, feed_entries = 0, feed_beats = 0, trees_deep = 0;
  uint64_t lists_checked = 0, threads_checked = 0, markers_checked = 0, feed_retractions = 0;
  Workload::GraphCounters graph;
  void add(const Totals& other);
  // Returns the names of what never happened.
  std::vector<std::string> missing() const;
  std::string describe() const;
};

class Simulation {
 public:
  explicit Simulation(const Scenario& scenario, std::FILE* live_trace = nullptr);
  // Throws a Violation.
  void run();
  const Trace& trace() const { return trace_; }
  Totals totals() const;

 private:
  void birth();
  void round();
  void drain(const char* when);
  void wait_until(const char* rule, Duration at_most, const std::function<std::string()>& why_not);

  // faults.cc
  void start_faults();
  void stop_faults();
  void fault_now_and_then(Duration every, void (Simulation::*fault)());
  void crash_one();
  void cut_one();
  void stall_one();
  void disk_one();
  void turn_one();
  void on_ended(size_t machine);
  Machine& any() { return *machines_[random_.below(machines_.size())]; }
  Duration between_ms(uint64_t least, uint64_t most) { return Duration::of_ms(static_cast<int64_t>(least + random_.below(most - least + 1))); }

  // judge.cc: in calm weather. An error of a code in `refusals`, or NOT_FOUND, is an answer.
  wire::Reply ask(const wire::Request& request, const std::vector<Code>& refusals = {});
  // A READ again and again until no author is missing.
  wire::TimelinePage calm_page(const wire::Read& request);
  std::vector<Seen> read_all(wire::Timeline timeline, Entity entity, bool& truncated, const std::string& alias = "");
  std::vector<std::string> names_all(Entity entity, bool followers, uint64_t& count);
  void judge();
  void judge_leaves() const;
  void let_lazy_leaves_fetch();
  void judge_entity(Entity entity);
  void judge_lists(Entity entity);
  void judge_threads(Entity author, const std::vector<Seen>& replies);
  void judge_messages();
  void judge_markers();
  void judge_marker(const Model::MarkerKey& key, Position position);
  void judge_alias(const AliasName& alias);
  void judge_tree(Entity author);
  void judge_stores(bool nobody_follows) const;
  void judge_nothing_left();

  const Scenario scenario_;
  Random random_;
  Schedule schedule_;
  Trace trace_;
  Network network_;
  std::vector<std::unique_ptr<Machine>> machines_;
  Model model_;
  Checker checker_;
  Clients clients_;
  Workload workload_;
  Tails tails_;
  Feeds feeds_;
  bool faults_ = false;
  uint64_t fault_period_ = 0;
  uint64_t homes_checked_ = 0, entries_checked_ = 0, trees_deep_ = 0;
  uint64_t lists_checked_ = 0, threads_checked_ = 0, markers_checked_ = 0;
};

}  // namespace canopy::sim
