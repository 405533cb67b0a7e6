// Virtual time: what is to happen when. Things of the same instant happen in the order in which they
// were put here, so a run is a function of its seed.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "base/time.h"

namespace canopy::sim {

class Schedule {
 public:
  using Action = std::function<void()>;

  Instant now() const { return now_; }
  void at(Instant when, Action action) {
    events_.push(Event{when < now_ ? now_ : when, ++last_, std::move(action)});
  }
  void after(Duration wait, Action action) { at(now_ + wait, std::move(action)); }

  // Runs the next thing. Returns false when there is none.
  bool step() {
    if (events_.empty()) return false;
    Event event = std::move(const_cast<Event&>(events_.top()));
    events_.pop();
    now_ = event.when;
    event.action();
    return true;
  }
  void run_until(Instant end) {
    while (!events_.empty() && events_.top().when <= end) step();
    now_ = end;
  }

 private:
  struct Event {
    Instant when;
    uint64_t number;
    Action action;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : number > other.number;
    }
  };
  std::priority_queue<Event> events_;
  uint64_t last_ = 0;
  Instant now_;
};

}  // namespace canopy::sim
