// One run of fan-out: load a graph, publish, wait until all is delivered, prove it.
#pragma once

#include <cstdint>
#include <string>

#include "graph_options.h"
#include "stages.h"

namespace CLI {
class App;
}

namespace canopy::bench {

struct FanoutOptions {
  GraphOptions graph;
  uint64_t messages = 0;
  double seconds = 5;
  size_t batch = 0;        // 0: by the number of followers
  size_t in_flight = 0;    // 0: 16
  double rate = 0;         // messages a second at most; 0: as fast as it goes
  uint64_t ahead = 20'000'000;  // deliveries that homes may be behind; 0: no bound
  uint64_t capacity = 800; // of timelines
  size_t sample = 100;     // timelines compared
  bool active = true, inactive = true;
};

// What one run has found, before it is told.
struct FanoutRun {
  uint64_t edges = 0, warm = 0;
  double load_s = 0, read_once_s = 0;
  PublishResult published;
  double delivered_s = 0, late_s = 0;
  uint64_t deliveries = 0;
  Usage empty, loaded, before, after, settled;
  double client_cpu_s = 0;
  uint64_t entries_before = 0, entries = 0, entries_least = 0, entries_most = 0, timelines = 0, timeline_bytes = 0;
  uint64_t leaf = 0, leaf_wanted = 0;
  std::string differs;

  double per_second() const { return static_cast<double>(deliveries) / delivered_s; }
  double cpu_s() const { return after.cpu_s - before.cpu_s; }
  double per_cpu_second() const { return static_cast<double>(deliveries) / (cpu_s() > 0.01 ? cpu_s() : 0.01); }
  bool counted() const { return leaf == leaf_wanted; }
  // As long as no timeline is full, least and most are the same. REQUIRES: the run was active.
  bool appended(const Graph& graph) const { return entries >= entries_least && entries <= entries_most && timelines == graph.users; }
};

// The options of what is published; those of the graph are add_graph_options().
void add_fanout_options(CLI::App& command, FanoutOptions& options);

// Makes a fabric of so many nodes and ends it. `active`: every timeline is read before. Throws Stop.
FanoutRun run_fanout(Bench& bench, const FanoutOptions& options, const Graph& graph, bool active, uint32_t nodes);

}  // namespace canopy::bench
