// The progress of a long command: a bar on a terminal, now and then a plain line elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "table.h"

namespace canopy::console {

struct ProgressState {
  double fraction = -1;  // 0 to 1; negative: not known
  uint64_t done = 0;
  std::string unit;      // "follows"
  double rate = 0;       // per second
  double left_s = -1;    // negative: not known
  std::string note;      // what it waits for, or ""
};

// Returns the line, without its end. Pure.
std::string progress_line(const ProgressState& state, const Terminal& terminal);

// Writes to stderr, not more often than an eye or a log can use. On a terminal one line is drawn over
// again and is gone at the end.
class Progress {
 public:
  Progress(const Terminal& terminal, bool quiet) : terminal_(terminal), quiet_(quiet) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  bool due() const;  // whether show() would show
  void show(const ProgressState& state);
  void clear();      // before other output

 private:
  using Clock = std::chrono::steady_clock;
  Terminal terminal_;
  bool quiet_, drawn_ = false;
  Clock::time_point shown_ = Clock::now();
};

// A rate over the last seconds, smoothed.
class Rate {
 public:
  // REQUIRES: `at_s` is in seconds since the beginning and does not go back.
  void add(double at_s, uint64_t done);
  double now() const { return recent_; }

 private:
  double last_s_ = 0, recent_ = 0;
  uint64_t last_done_ = 0;
};

}  // namespace canopy::console
