// What arrived for the leaves of a bucket: one row for each (leaf, message), however many followers the
// leaf has. Rows stand in the order of their positions, packed, so that a busy bucket writes a few pages;
// each links to the one before it in its leaf, so that a leaf's list can be read newest first.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/types.h"

namespace canopy::store {

struct DeliveryRow {
  LeafNo leaf;
  StreamNo no;             // in the leaf's stream
  BodyRef ref;             // of a dead row: none
  Position before;         // of the leaf's row before this one; zero, or a position that has no row: none
  bool shared = false;     // the message may come by other ways too (places.h)
  bool dead = false;       // taken back; what is left is the link
  friend bool operator==(const DeliveryRow&, const DeliveryRow&) = default;
};
using VisitDelivery = std::function<bool(Position, const DeliveryRow&)>;

// Where a leaf stands: the last stream number applied, and its newest row.
struct LeafTail {
  StreamNo applied;
  Position newest;
  friend bool operator==(const LeafTail&, const LeafTail&) = default;
};

// A row of `applied`: applied be64, newest be64. Never to change.
inline std::string encode_tail(LeafTail tail) {
  std::string value;
  put_be64(value, tail.applied.packed());
  put_be64(value, tail.newest.packed());
  return value;
}
inline LeafTail decode_tail(std::string_view value) {
  Cursor in(value);
  LeafTail tail;
  tail.applied = StreamNo(in.be64());
  tail.newest = Position(in.be64());
  ASSERT(in.done());
  return tail;
}
// Returns the larger of each.
inline LeafTail further(LeafTail a, LeafTail b) { return {std::max(a.applied, b.applied), std::max(a.newest, b.newest)}; }

// One message for many leaves of a shard, each in a bucket of its own: the plain case, in one record.
struct DeliveryBatch {
  struct To {
    BucketId bucket;
    LeafNo leaf;
    Position position;     // the bucket's after this
    Position before;
  };
  StreamNo no;
  BodyRef ref;
  Blob body;               // null when the shard has it already
  bool shared = false;
  std::vector<To> to;      // each bucket once
};

}  // namespace canopy::store
