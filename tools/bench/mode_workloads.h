// Who follows, publishes and reads in `canopy-bench modes`. Pure: the same seed gives the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "follow_graph.h"

namespace canopy::bench {

struct Workload {
  std::string name, what;
  Graph graph;
  std::vector<uint32_t> turns;   // authors, one for each message of a round
  uint64_t messages = 0, reads = 0;
  uint32_t readers = 0;          // users below it read nearly always …
  uint32_t others_in = 0;        // … one read in so many is of one of the others; 0: none is

  uint32_t reader(Dice& dice) const {
    const bool other = others_in > 0 && readers < graph.users && dice.below(others_in) == 0;
    return other ? readers + dice.below(graph.users - readers) : dice.below(readers);
  }
};

// "read-heavy", "publish-heavy", "mixed"; REQUIRES one of these.
Workload make_workload(const std::string& name, uint64_t seed);

}  // namespace canopy::bench
