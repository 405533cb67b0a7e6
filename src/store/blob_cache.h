// Bodies read from the tables, for those who read them again. Two halves: what is used goes into the young one;
// when that is full it becomes the old one, and the old one goes. So what was not used for a while is let go
// without a list of who was used when.
#pragma once

#include <unordered_map>

#include "base/bytes.h"
#include "base/types.h"

namespace canopy::store {

struct BodyRefHash {
  size_t operator()(const BodyRef& ref) const {
    const uint64_t h = (ref.id.packed() ^ uint64_t{ref.hash} << 32) * 0x9e3779b97f4a7c15;
    return static_cast<size_t>(h ^ h >> 32);
  }
};

class BlobCache {
 public:
  explicit BlobCache(size_t bytes_max) : half_max_(bytes_max / 2) {}

  // Returns null when it is not here.
  Blob get(BodyRef ref) {
    if (const auto at = young_.find(ref); at != young_.end()) return at->second;
    const auto at = old_.find(ref);
    if (at == old_.end()) return nullptr;
    Blob blob = at->second;
    put(ref, blob);
    return blob;
  }
  void put(BodyRef ref, Blob blob) {
    const size_t bytes = blob->size() + entry_bytes;
    if (bytes > half_max_ / 16) return;  // one must not push out all others
    if (!young_.emplace(ref, std::move(blob)).second) return;
    bytes_ += bytes;
    if (bytes_ <= half_max_) return;
    old_ = std::move(young_);
    young_ = {};
    bytes_ = 0;
  }
  void erase(BodyRef ref) {
    if (const auto at = young_.find(ref); at != young_.end()) {
      bytes_ -= at->second->size() + entry_bytes;
      young_.erase(at);
    }
    old_.erase(ref);
  }

 private:
  static constexpr size_t entry_bytes = 120;  // a node of the map and what holds the bytes
  std::unordered_map<BodyRef, Blob, BodyRefHash> young_, old_;
  size_t bytes_ = 0;  // of the young
  size_t half_max_;
};

}  // namespace canopy::store
