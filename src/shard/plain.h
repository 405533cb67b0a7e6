// Plain deliveries: a stream letter for many leaves of a shard, those for which nothing but the ordinary
// happens. The work is a few memory accesses for each leaf, far apart: so it goes in passes over all leaves,
// each asking for the memory of the next.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "bucket/bucket.h"
#include "store/store.h"

namespace canopy::shard {

// The buckets of a shard by number; null where it has none.
using BucketTable = std::vector<bucket::Bucket*>;

class PlainDeliveries {
 public:
  struct Result {
    std::vector<BucketId> delivered, others;   // the others need a step each, or have no bucket here
    size_t next = 0;                           // leaves[next…] were not looked at: there was enough to do
    uint64_t timeline_writes = 0;
  };
  // Delivers to those of `leaves` for which it is the plain case, in one batch of the store; stops when
  // about `writes_max` timelines were written to. `leaves` are ascending, each once.
  // The result is valid until the next call.
  const Result& deliver(const std::string& reflector, const wire::StreamItem& item, const std::vector<BucketId>& leaves,
                        uint64_t writes_max, const BucketTable& buckets, store::Store& store);

 private:
  // The leaves of a reflector, as they were when it was last delivered to.
  struct Known {
    std::vector<BucketId> ids;
    std::vector<bucket::LeafHandle> handles;   // beside them
  };
  Known& known(const leaf::ReflectorName& reflector, const std::vector<BucketId>& leaves, const BucketTable& buckets);

  std::unordered_map<std::string, Known, leaf::ReflectorHash, leaf::ReflectorEqual> known_;
  size_t handles_ = 0;                         // in all of them, with what holds them
  // Of one letter, kept for their memory.
  Result result_;
  store::DeliveryBatch batch_;
  std::vector<bucket::TimelineWrite> writes_;
};

}  // namespace canopy::shard
