// home(u): the newest messages of those whom u follows, a function of the leaves, of u's edges and of what
// was sent to u directly, and the materialised timelines, its cache in RAM.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "store/places.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::leaf {

struct HomeEntry {
  Position position;
  BodyRef ref;
  bool backfilled = false;        // shown with a follow: it is not unread
  friend bool operator==(const HomeEntry&, const HomeEntry&) = default;
};

struct Home {
  std::deque<HomeEntry> entries;  // ascending by position, at most `capacity`
  Position left;                  // of the newest entry that has left it (perhaps the leaves too, trimmed since); zero: none
  Instant last_read;
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
// positions; of these the `capacity` newest. Opens the leaves in the order of their last position.
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

// The materialised timelines of one bucket: appended to while they are read or tailed, dropped when
// unused for `window` or, least recently read first, beyond `bytes_max` bytes.
class Timelines {
 public:
  Timelines(BucketId bucket) : bucket_(bucket) {}
  void limit(size_t capacity, size_t bytes_max, Duration window);

  bool empty() const { return homes_.empty(); }
  bool contains(EntityNo follower) const { return homes_.contains(follower); }
  // Returns the materialised timeline, made now if there is none. Valid until the next call.
  const Home& open(EntityNo follower, Now now, const store::Reader& reader);
  // Returns the position of the entry before the new one (zero for none). REQUIRES: contains(follower).
  Position append(EntityNo follower, const HomeEntry& entry);
  // A message is retracted. Returns whether it was in the timeline, which is dropped when an older entry is
  // to fill it again.
  bool retract(EntityNo follower, Position position);
  bool holds(EntityNo follower, Position position) const;
  void drop(EntityNo follower);
  void drop_with_entries_below(Position horizon);
  void drop_all();
  // Drops what was not read within the window; `keep` says what must stay (somebody tails it).
  void drop_unused(Now now, const std::function<bool(EntityNo)>& keep);

  size_t size() const { return homes_.size(); }
  size_t entries() const { return entries_; }
  size_t bytes() const { return entries_ * entry_bytes + homes_.size() * home_bytes; }  // about
  // Invariant: each has the entries of read_home() of now ("cold equals warm"), and a `left`
  // that is not below its.
  void check(const store::Reader& reader) const;

 private:
  static constexpr size_t entry_bytes = sizeof(HomeEntry);
  static constexpr size_t home_bytes = 700;  // an empty deque, its place in the map
  void make_room(EntityNo but);

  BucketId bucket_;
  size_t capacity_ = 800, bytes_max_ = 64u << 20;
  Duration window_ = Duration::of_s(24 * 3600);
  std::map<EntityNo, Home> homes_;
  size_t entries_ = 0;
};

}  // namespace canopy::leaf
