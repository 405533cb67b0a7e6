// Many requests in flight over one DEALER to each node, in one thread: what loads the fabric in a measurement.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "dealer.h"
#include "samples.h"

namespace canopy::bench {

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }
inline double ms_since(Clock::time_point begin) { return seconds_since(begin) * 1e3; }

enum class Next : uint8_t { request, later, end };

// What a run sends, and hears.
class Source {
 public:
  virtual ~Source() = default;
  // Makes the next request in `frames`, which is cleared; or says that it is to be asked again soon, or no more.
  virtual Next next(Frames& frames) = 0;
  // The reply to `frames`. Returns none when that is done with; else after how long it goes again, as it is now.
  virtual std::optional<std::chrono::milliseconds> on_reply(Frames& frames, bool ok, std::string_view result) = 0;
};

struct DriverOptions {
  size_t in_flight = 64;                      // requests, on all nodes together
  std::function<void()> tick = [] {};         // called often, from the loop
  std::chrono::seconds patience{60};          // without any reply while some are due; then Stop
};

struct DriverResult {
  Samples ms;             // from each sending to its reply; what had to go again counts each time
  uint64_t requests = 0;  // answered and done with
  uint64_t again = 0;     // sent once more, because the fabric was busy
};

class Driver {
 public:
  explicit Driver(const std::vector<std::string>& endpoints);
  // Returns when the source is at its end and everything is answered. Throws Stop.
  DriverResult run(Source& source, const DriverOptions& options);

 private:
  struct Slot {
    Frames frames;
    Clock::time_point sent;
    bool in_flight = false;
  };
  struct Rest {
    Clock::time_point until;
    uint32_t slot;
    bool operator>(const Rest& other) const { return until > other.until; }
  };
  void send(uint32_t slot);
  bool take(Dealer& dealer, Source& source, DriverResult& result);
  void wait(std::chrono::milliseconds most);

  std::vector<std::unique_ptr<Dealer>> dealers_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::priority_queue<Rest, std::vector<Rest>, std::greater<>> resting_;
  size_t in_flight_ = 0;
};

}  // namespace canopy::bench
