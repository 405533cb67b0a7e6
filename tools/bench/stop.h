// What ends a measurement early: every figure after it would be worth nothing. Caught in main.cc; on the way the
// processes that were started are ended and their directories removed.
#pragma once

#include <stdexcept>

namespace canopy::bench {

struct Stop : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Ctrl-C or SIGTERM came. armed by main.cc.
bool interrupted();
inline void stop_if_interrupted() {
  if (interrupted()) throw Stop("interrupted");
}

}  // namespace canopy::bench
