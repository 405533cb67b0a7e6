// The lazy leaves of one bucket: their roots send them no letters, so they fetch before what they have is read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/types.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::leaf {

// One of them. It stands among the lazy ones until it is sure that its root sends it what comes.
struct LazyLeaf {
  std::string reflector;
  bool leaving = false;         // it has asked for letters again
  LetterNo asked;               // with this one
  // In RAM only. A fetch of at least this round was sent after the root had that letter; zero: not known yet.
  uint64_t pushed_from = 0;
};

class LazyLeaves {
 public:
  explicit LazyLeaves(BucketId bucket) : bucket_(bucket) {}

  void open(const store::Reader& reader);  // forgets RAM
  bool empty() const { return all_.empty(); }
  size_t size() const { return all_.size(); }
  // Null: it gets letters.
  LazyLeaf* find(LeafNo leaf);
  bool contains(LeafNo leaf) const { return all_.contains(leaf); }
  bool lazy(LeafNo leaf) const;            // and is not leaving

  void put(LeafNo leaf, std::string_view reflector, store::Writes& writes);
  void leave(LeafNo leaf, LetterNo asked, store::Writes& writes);  // REQUIRES: it is one
  void erase(LeafNo leaf, store::Writes& writes);                  // if it is one
  // Those that the entity follows.
  void followed_by(EntityNo follower, const store::Reader& reader,
                   const std::function<void(LeafNo, const LazyLeaf&)>& visit) const;
  // Those behind `after`, ascending, until `visit` returns false. REQUIRES: it changes none of them.
  void visit(LeafNo after, const std::function<bool(LeafNo, const LazyLeaf&)>& visit) const;

 private:
  void save(LeafNo leaf, const LazyLeaf& lazy, store::Writes& writes) const;

  BucketId bucket_;
  std::map<LeafNo, LazyLeaf> all_;   // a row each
};

}  // namespace canopy::leaf
