// The links between nodes: frames that are lost, repeated, late and out of order, ways that are cut
// in one direction, seeded. Never altered, never split.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "sim/scenario.h"
#include "sim/schedule.h"
#include "sim/trace.h"

namespace canopy::sim {

std::string link_endpoint(size_t machine);

class Network {
 public:
  using Deliver = std::function<void(size_t to, const std::string& bytes)>;
  struct Counters {
    uint64_t sent = 0, dropped = 0, repeated = 0, late = 0, cut = 0, held = 0;
  };

  Network(Schedule& schedule, Trace& trace, uint64_t seed, Deliver deliver)
      : schedule_(schedule), trace_(trace), random_(seed), deliver_(std::move(deliver)) {}

  void send(size_t from, const std::string& endpoint, std::string bytes);

  void set_faults(LinkFaults faults) { faults_ = faults; }
  // Nothing passes from one to the other. `hold`: it waits at the sender, as ZeroMQ keeps it for a
  // peer that is away, and all of it arrives when the way is open again.
  void cut(size_t from, size_t to, bool hold);
  void open(size_t from, size_t to);
  void heal();
  void forget(size_t from);   // its process has ended: what waited in it is gone
  const Counters& counters() const { return counters_; }

 private:
  struct Cut {
    bool hold = false;
    std::vector<std::string> held;
  };
  void carry(size_t from, size_t to, std::string bytes);

  Schedule& schedule_;
  Trace& trace_;
  Random random_;
  Deliver deliver_;
  LinkFaults faults_;
  std::map<std::pair<size_t, size_t>, Cut> cuts_;
  Counters counters_;
};

}  // namespace canopy::sim
