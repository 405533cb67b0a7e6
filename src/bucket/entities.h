// The entities of one bucket: their numbers and names, and the counters that the bucket gives out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::bucket {

// The bucket's own record. Kept in RAM, written with the step that changed it.
struct BucketRecord {
  EntityNo last_entity;
  LeafNo last_leaf;
  MessageId last_message;
  Position horizon;          // deliveries below it are trimmed (but the newest of each leaf)
  uint64_t deliveries = 0;   // delivery records, about: written now and then
  friend bool operator==(const BucketRecord&, const BucketRecord&) = default;
};
std::string encode_bucket_record(const BucketRecord& record);
BucketRecord decode_bucket_record(std::string_view value);

class Entities {
 public:
  explicit Entities(BucketId bucket) : bucket_(bucket) {}
  std::optional<EntityNo> find(std::string_view name, const store::Reader& reader) const;
  // Returns the entity's number, given out now if it has none. At most one name per step.
  EntityNo obtain(std::string_view name, BucketRecord& record, const store::Reader& reader, store::Writes& writes) const;
  std::string name_of(EntityNo entity, const store::Reader& reader) const;

 private:
  BucketId bucket_;
};

}  // namespace canopy::bucket
