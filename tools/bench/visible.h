// How long until a message is read in the homes of its followers.
#pragma once

#include <cstdint>
#include <vector>

#include "stages.h"

namespace canopy::bench {

// Publishes singly to one node and reads, with nothing else in flight: a client by itself.
class Watcher {
 public:
  Watcher(Fabric& fabric, const Graph& graph, Messages& messages) : fabric_(fabric), graph_(graph), messages_(messages) {}

  struct Sent {
    uint64_t number = 0;
    Clock::time_point at;
    double acknowledged_ms = 0;
  };
  // Publishes the next message and waits for its answer. Throws Stop for another one than OK.
  Sent publish();
  // Reads the newest entry of each of these users, and again of those where it is older, until all show the message.
  // Returns the milliseconds from its sending until the answer that showed the last one came.
  double visible_ms(const Sent& sent, const std::vector<uint32_t>& users);

 private:
  void send_reads(const std::vector<uint32_t>& users);
  Fabric& fabric_;
  const Graph& graph_;
  Messages& messages_;
};

// Of an author's followers: in each bucket the one that followed last.
std::vector<uint32_t> one_in_each_bucket(const Graph& graph, size_t author, uint32_t bucket_count);

}  // namespace canopy::bench
