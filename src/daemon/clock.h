// The two clocks of the daemon; the pure side gets them as values.
#pragma once

#include <time.h>

#include "base/time.h"

namespace canopy::daemon {

// Goes on while the machine is suspended, so that a lease or a time-out is over when it wakes.
inline Instant instant_now() {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return {t.tv_sec * 1'000'000 + t.tv_nsec / 1000};
}

inline Now now() {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return {instant_now(), static_cast<uint64_t>(t.tv_sec) * 1000 + static_cast<uint64_t>(t.tv_nsec) / 1'000'000};
}

// Returns how long it is from `from` to `until`, at most `most`; zero when it is past.
inline Duration time_left(Instant from, Instant until, Duration most) {
  if (until <= from) return {};
  return until == Instant::never() || until - from > most ? most : until - from;
}

}  // namespace canopy::daemon
