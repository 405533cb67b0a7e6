// Looks at every row of a store that may be damaged: for recovery and scrubs.
#pragma once

#include <cstdint>
#include <string>

#include "store/backend.h"

namespace canopy::store {

struct VerifyReport {
  uint64_t rows = 0;      // of the tables, read and right
  uint64_t replayed = 0;  // records of the journal that stand above the tables
  std::string damage;     // what is wrong, the first of it; "": nothing was found
};

// Reads all rows in order, compares their checksums, replays the journal. It sees what is torn, missing
// or foreign, not a whole page of an earlier time in its place. A damaged file may also end the
// process, so whoever does not know it gives it one of its own (daemon/recover.h).
VerifyReport verify(Backend& backend);

}  // namespace canopy::store
