// Rows of a bucket's leaves that were written to no timeline: those of leaves that are merged at a read (modes.h).
// A timeline takes them in before anybody looks at it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/number_map.h"
#include "base/types.h"
#include "store/reader.h"

namespace canopy::leaf {

// Knows of each leaf from where to where its rows may be missing, never which timelines lack them: that follows
// from how far each was brought up (Timelines). In RAM only: what is in memory is built from the store.
//
// A row between a leaf's bounds may be in a timeline all the same: the leaf was switched to and fro, or somebody
// tailed it. So a switch costs nothing; who takes rows in skips those that are there.
class Deferred {
 public:
  struct Late {
    Position since;    // rows above it may be missing …
    Position newest;   // … up to this one: it was deferred
  };
  explicit Deferred(BucketId bucket) : bucket_(bucket) {}

  bool empty() const { return leaves_.empty(); }
  size_t size() const { return leaves_.size(); }
  // Returns the newest row of all that was deferred; zero: none. A timeline brought up to there lacks nothing.
  Position newest() const { return newest_; }

  Late* find(LeafNo leaf) const { return leaves_.find(leaf.value()); }
  // Returns null when there are as many leaves as there may be. REQUIRES: !find(leaf). Valid until it is erased.
  Late* add(LeafNo leaf, Position at);
  void defer(Late& late, Position at) { late.newest = newest_ = at; }
  void erase(LeafNo leaf);
  void clear();
  // Every timeline was brought up to there: forgets the leaves that have nothing above.
  void settle(Position upto);

  // Adds the positions of the rows that a timeline brought up to `synced` may lack, ascending: live rows of
  // leaves that the follower follows, after his follow, by the lowest way to him. Returns false when there are more than
  // `max`, or about that many links to walk: then the store had better be read.
  bool collect(EntityNo follower, Position synced, size_t max, const store::Reader& reader, std::vector<Position>& rows) const;

 private:
  struct Walk;
  BucketId bucket_;
  mutable NumberMap<Late> leaves_;   // by leaf. Its find() gives what may be changed
  Position newest_;
};

}  // namespace canopy::leaf
