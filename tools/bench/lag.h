// How far the homes are behind what is published, from READs of a few followers while it goes on.
#pragma once

#include <cstdint>
#include <vector>

#include "stages.h"

namespace canopy::bench {

// Publishing is answered before the followers have the message. A load that only waits for answers may run ahead for many
// seconds, past what a stream keeps for a follower that is behind (retention.stream); real publishers are slower.
class Lag {
 public:
  Lag(Fabric& fabric, const Graph& graph, const Messages& messages);
  // Returns about which message the slowest of these homes shows; asks again when it is time. Cheap.
  uint64_t shown();

 private:
  void take(std::string_view result);
  Dealer dealer_;
  Frames read_;
  uint32_t asked_ = 0;
  bool waiting_ = false;
  Clock::time_point next_;
  uint64_t shown_;
};

}  // namespace canopy::bench
