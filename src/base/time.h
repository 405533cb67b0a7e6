// Time as pure code sees it: handed in, never fetched.
#pragma once

#include <compare>
#include <cstdint>

namespace canopy {

// Microseconds. Bounds: about ±292,000 years.
struct Duration {
  int64_t us = 0;
  static constexpr Duration of_ms(int64_t ms) { return {ms * 1000}; }
  static constexpr Duration of_s(int64_t s) { return {s * 1'000'000}; }
  constexpr int64_t ms() const { return us / 1000; }
  friend constexpr auto operator<=>(Duration, Duration) = default;
  friend constexpr Duration operator+(Duration a, Duration b) { return {a.us + b.us}; }
  friend constexpr Duration operator-(Duration a, Duration b) { return {a.us - b.us}; }
  friend constexpr Duration operator*(Duration a, int64_t k) { return {a.us * k}; }
};

// A point on a clock that never goes back (CLOCK_BOOTTIME in the daemon), in microseconds.
struct Instant {
  int64_t us = 0;
  static constexpr Instant never() { return {INT64_MAX}; }
  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant a, Duration b) { return {a.us + b.us}; }
  friend constexpr Duration operator-(Instant a, Instant b) { return {a.us - b.us}; }
};

// Both clocks at the start of a cycle. The wall clock labels messages and decides nothing.
struct Now {
  Instant instant;
  uint64_t wall_ms = 0;  // since 1970
};

}  // namespace canopy
