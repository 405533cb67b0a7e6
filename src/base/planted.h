// Planted bugs: mistakes that the simulator must find (build option planted_bugs). Without the
// option planted() is the constant false and leaves no trace in the program.
#pragma once

#include <string_view>

namespace canopy {

#ifdef CANOPY_PLANTED_BUGS
void plant(std::string_view bug);     // one at a time; "" for none
bool planted(std::string_view bug);
#else
constexpr bool planted(std::string_view) { return false; }
#endif

}  // namespace canopy
