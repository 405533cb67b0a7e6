#include "base/planted.h"

#ifdef CANOPY_PLANTED_BUGS
#include <string>

namespace canopy {
namespace {
std::string& current() {
  static std::string bug;
  return bug;
}
}  // namespace
void plant(std::string_view bug) { current() = bug; }
bool planted(std::string_view bug) { return current() == bug; }
}  // namespace canopy
#endif
