// The ids of retracted messages that a bucket remembers, so that what comes later by another way is
// dropped: the newest limits::dead_ids_max. A forgotten one does no harm that lasts: each way brings a
// retraction of its own.
#pragma once

#include <cstddef>
#include <string>

#include "base/types.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::bucket {

class Dead {
 public:
  explicit Dead(BucketId bucket) : bucket_(bucket) {}
  void open(const store::Reader& reader);

  bool has(MessageId id, const store::Reader& reader) const;
  // REQUIRES: !has(id), also not added in this step. Forgets at most two of the oldest.
  void add(MessageId id, Position position, const store::Reader& reader, store::Writes& writes);

 private:
  BucketId bucket_;
  size_t count_ = 0;
  MessageId newest_;     // none that is remembered is above it: what is new needs no look-up
  std::string oldest_;   // behind what was forgotten: a step that adds several does not see what it erases
};

}  // namespace canopy::bucket
