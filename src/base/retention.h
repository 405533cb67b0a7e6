// How much of a list is kept.
#pragma once

#include <cstdint>

namespace canopy {

struct Retention {
  uint64_t count = 0;   // entries, newest first; 0: no bound
  uint64_t age_s = 0;   // by the message's time; 0: no bound
  bool operator==(const Retention&) const = default;
};

}  // namespace canopy
