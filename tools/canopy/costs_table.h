// What the leaves of a follower tree cost in each mode, as a table. Pure.
#pragma once

#include <string>

#include "canopy/message.h"
#include "table.h"

namespace canopy::console {

// The leaves with the most followers, and a line for the others, unless `all`; below them their sum.
// REQUIRES: the tree was asked for with costs.
std::string costs_table(const client::Tree& tree, const Terminal& terminal, bool all);

// Returns a time of a few digits: 850 ns, 92.8 µs, 1.24 ms, 12.0 s.
std::string cost_text(uint64_t ns);

}  // namespace canopy::console
