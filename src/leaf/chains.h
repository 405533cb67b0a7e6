// A leaf's deliveries. Their rows stand by position among those of all leaves of the bucket, and each
// links to the one before it in its leaf (store/deliveries.h): a leaf's list is a chain, newest first.
// Numbers descend along it. A row that was retracted stays as a dead link, until no way leads over it.
#pragma once

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/assert.h"
#include "base/types.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::leaf {

// Visits the rows of a leaf from the one at `at` on, descending, the dead ones too, until `visit` returns false.
template <class Visit>
void down_chain(BucketId bucket, LeafNo leaf, Position at, const store::Reader& reader, const Visit& visit) {
  while (!at.zero()) {
    const auto row = reader.delivery(bucket, at);
    if (!row || row->leaf != leaf) return;
    ASSERT(row->before < at);
    if (!visit(at, *row)) return;
    at = row->before;
  }
}

// Returns the position of the live row with that stream number, or nothing. Rows not above `above` do not
// count. `id` is the message's: its time says about where to look when the chain is long.
std::optional<Position> find_in_chain(BucketId bucket, LeafNo leaf, StreamNo no, MessageId id, Position above,
                                      const store::Reader& reader);

// Takes a row out for good, with its place and its body's reference. REQUIRES: nothing leads over it any more.
void forget_row(BucketId bucket, Position position, const store::DeliveryRow& row, store::Writes& writes);

// A live row is retracted: it dies, and its place goes. With `join` the dead rows below go for good, up to
// a bound, so that a leaf whose messages are all taken back is no long way to walk; and where the dead row
// at `newer` links here, so does this one. Returns where the dead link stands now, and how many rows went.
// REQUIRES of `join`: the leaf is not retired, and this is the first row of the bucket that dies in this step.
struct Died {
  Position link;
  size_t gone = 0;
};
Died retract_row(BucketId bucket, Position position, const store::DeliveryRow& row, bool join, Position newer,
                 const store::Reader& reader, store::Writes& writes);

// The walk over all rows of a bucket below a horizon: they go, but for those from the `newest_kept`th
// newest live one of each leaf on. In slices; a row that is kept is looked at once in a walk.
class Trim {
 public:
  bool active() const { return active_; }
  void begin(Position horizon) { *this = Trim(), horizon_ = horizon, active_ = true; }
  void stop() { *this = Trim(); }
  struct Slice {
    size_t gone = 0;
    bool elsewhere = false;  // a message with another way went: it stands there from now on
  };
  // Lets at most about `max` rows go. Afterwards active() says whether there is more to look at.
  Slice slice(BucketId bucket, size_t max, const store::Reader& reader, store::Writes& writes);

 private:
  Position next_, horizon_;
  bool active_ = false;
};
constexpr size_t newest_kept = 16;

}  // namespace canopy::leaf
