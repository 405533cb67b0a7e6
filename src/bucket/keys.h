// The keys of PUBLISH: a repeat with the same author and key gives the first answer, for an hour or
// for limits::keys_per_bucket_max keys, whichever ends first.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "base/types.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::bucket {

struct KeyRecord {
  uint64_t content = 0;      // hash of what was published
  MessageId id;
  uint64_t time_ms = 0;
};

class Keys {
 public:
  explicit Keys(BucketId bucket) : bucket_(bucket) {}
  void open(const store::Reader& reader);

  // Returns what was published under that key, unless it is older than an hour.
  std::optional<KeyRecord> find(EntityNo author, std::string_view key, uint64_t wall_ms, const store::Reader& reader) const;
  // Remembers it, and forgets at most two that are too old or too many.
  void save(EntityNo author, std::string_view key, const KeyRecord& record, Position position, uint64_t wall_ms,
            const store::Reader& reader, store::Writes& writes);

 private:
  void forget_oldest(const std::function<bool(uint64_t)>& may_stay, const store::Reader& reader, store::Writes& writes);

  BucketId bucket_;
  size_t count_ = 0;
  std::string oldest_;   // behind what was forgotten, which is not walked again
  std::optional<uint64_t> oldest_time_ms_;  // of the first key behind it, once it was looked at
};

}  // namespace canopy::bucket
