// A leaf's followers: entity numbers in chunks of at most `chunk_members`, under (leaf, first number
// of the chunk's range). The first chunk's range begins at 0, so each number has one place.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/types.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::leaf {

constexpr size_t chunk_members = 500;  // 2,000 bytes: about half a page, so that LMDB never needs an overflow page

class Followers {
 public:
  Followers(BucketId bucket, LeafNo leaf, const store::Reader& reader)
      : bucket_(bucket), leaf_(leaf), reader_(reader) {}

  bool contains(EntityNo follower) const;
  // REQUIRES: !contains(follower) / contains(follower). One change per step: reads do not see writes.
  void insert(EntityNo follower, store::Writes& writes) const;
  void remove(EntityNo follower, store::Writes& writes) const;
  // Many at once. REQUIRES: none is contained; ascending.
  void insert_all(const std::vector<EntityNo>& followers, store::Writes& writes) const;
  void clear(store::Writes& writes) const;
  bool only(EntityNo follower) const;  // it is the one and only follower
  uint64_t count() const;
  // Gives all their numbers, ascending, a chunk at a time, until `visit` returns false.
  void visit_chunks(const std::function<bool(const uint32_t* numbers, size_t n)>& visit) const;
  // Visits followers above `after`, ascending, until `visit` returns false.
  void visit(EntityNo after, const std::function<bool(EntityNo)>& visit) const;

 private:
  struct Chunk {
    std::string key;
    std::string members;  // a packed set
  };
  Chunk chunk_of(EntityNo follower) const;  // the chunk with its range; empty members when there is none yet

  BucketId bucket_;
  LeafNo leaf_;
  const store::Reader& reader_;
};

}  // namespace canopy::leaf
