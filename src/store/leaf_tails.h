// Where the leaves of a bucket stood at its checkpoint (LeafTail), 64 leaves in a row of the tables: a busy
// bucket moves thousands at once, and an idle one a few that lie anywhere.
// The bytes are on disk: never to change (README.md has the grammar).
#pragma once

#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "store/backend.h"
#include "store/deliveries.h"

namespace canopy::store {

// Returns what the tables say; zero when they say nothing.
LeafTail stored_tail(const Backend& backend, BucketId bucket, LeafNo leaf);

struct TailChange {
  LeafNo leaf;
  LeafTail tail;  // zero: the leaf has ended
};
// Puts changes into the open transaction. REQUIRES: ascending leaves.
Result<void> write_tails(Backend& backend, BucketId bucket, const std::vector<TailChange>& changes);

}  // namespace canopy::store
