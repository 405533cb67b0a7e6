#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace canopy {
void assert_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "canopy: assertion failed: %s (%s:%d)\n", what, file, line);
  std::abort();
}
}  // namespace canopy
