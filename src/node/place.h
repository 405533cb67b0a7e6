// Where buckets are, as this node sees it: the formed map and which shard has which of its buckets.
#pragma once

#include <cstdint>
#include <vector>

#include "shard/seam.h"

namespace canopy::node {

// Owned by the node, read by its parts. Invariant: map is null (nothing is known) or formed; then
// shard_of has one element a bucket, of use for the node's own buckets only.
struct Place {
  shard::MapRef map;
  NodeIndex self;
  std::vector<uint32_t> shard_of;
  uint32_t shards = 1;

  bool known() const { return map != nullptr; }
  bool exists(BucketId bucket) const { return known() && bucket.value() < map->buckets.size(); }
  bool mine(BucketId bucket) const { return exists(bucket) && map->owner(bucket) == self; }
  uint32_t shard(BucketId bucket) const { return shard_of[bucket.value()]; }
  uint64_t version() const { return known() ? map->version.value() : 0; }
  std::vector<BucketId> buckets_of(uint32_t shard_number) const {
    std::vector<BucketId> out;
    for (size_t i = 0; known() && i < map->buckets.size(); ++i) {
      const BucketId bucket(static_cast<uint16_t>(i));
      if (mine(bucket) && shard(bucket) == shard_number) out.push_back(bucket);
    }
    return out;
  }
};

}  // namespace canopy::node
