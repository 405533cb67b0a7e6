// home(u): the newest messages of those whom u follows, a function of the leaves, of u's edges and of what
// was sent to u directly. Its cache in RAM: timelines.h.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "store/places.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::leaf {

struct HomeEntry {
  Position position;
  BodyRef ref;
  bool backfilled = false;        // shown with a follow: it is not unread
  bool direct = false;            // of the direct list
  friend bool operator==(const HomeEntry&, const HomeEntry&) = default;
};

struct Home {
  std::deque<HomeEntry> entries;  // ascending by position, at most `capacity`
  Position left;                  // of the newest entry that has left it; zero: none
};

// An edge: since when, and for how many earlier messages there are positions below.
struct Edge {
  Position since;
  uint32_t backfill = 0;
  Position begin() const { return Position(since.packed() - backfill); }
};
std::string encode_edge(const Edge& edge);
Edge decode_edge(std::string_view value);

// Returns home(follower) from the store alone: of each leaf followed, what was delivered after the
// follow and what the follow brought with it, and the direct list; each message at the lowest of its
// positions; of these the `capacity` newest. Walks the leaves together, newest first.
Home read_home(BucketId bucket, EntityNo follower, size_t capacity, const store::Reader& reader);

// The ways by which a shared message reaches the timelines of a bucket, but for one just being written.
class Ways {
 public:
  explicit Ways(BucketId bucket) : bucket_(bucket) {}   // none
  Ways(BucketId bucket, MessageId id, const store::Reader& reader);
  bool none() const { return places_.empty(); }
  bool single() const { return places_.size() <= 1; }
  // Returns whether one of them, below `position`, leads to the follower: then it is shown there.
  bool lower(EntityNo follower, Position position, const store::Reader& reader) const;

 private:
  BucketId bucket_;
  std::vector<store::Place> places_;
};

// Takes out what a follow brought with it that is no more, or was before the present one: at most `max`.
// Returns how much that was.
size_t erase_backfill(BucketId bucket, EntityNo follower, LeafNo leaf, size_t max, const store::Reader& reader, store::Writes& writes);

}  // namespace canopy::leaf
