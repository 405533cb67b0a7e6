// The deliveries of a shard's buckets: chunks in the tables, what was changed in them since, and a log of
// the rows above each bucket's checkpointed position. Owned by the store, one thread.
//
// Invariant: rows of the log are above the bucket's checkpointed position, rows of chunks at or below it;
// an edit is of a row that stands in a chunk.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/result.h"
#include "base/types.h"
#include "store/backend.h"
#include "store/deliveries.h"
#include "store/delivery_chunk.h"
#include "store/delivery_edits.h"
#include "store/delivery_log.h"
#include "store/leaf_tails.h"

namespace canopy::store {

class DeliveryRows {
 public:
  // `chunk_bytes`: of a chunk, at most chunk_bytes_max.
  DeliveryRows(Backend& backend, size_t chunk_bytes) : backend_(backend), chunk_bytes_(chunk_bytes) { ASSERT(chunk_bytes <= chunk_bytes_max); }

  // ── reads: as in reader.h ──
  std::optional<DeliveryRow> at(BucketId bucket, Position position) const;
  void visit(BucketId bucket, Position from, Position to, const VisitDelivery& visit) const;
  void visit_back(BucketId bucket, Position from, Position to, const VisitDelivery& visit) const;
  // Returns where a leaf stands by the log alone: zero without a row there.
  LeafTail tail(BucketId bucket, LeafNo leaf) const;

  // ── changes ──
  void append(BucketId bucket, Position position, const DeliveryRow& row);
  void prefetch(BucketId bucket) const;
  // Return whether the row's reference of its body goes. REQUIRES: `ref` is the body's, or the row is dead.
  bool die(BucketId bucket, Position position, BodyRef ref);
  bool forget(BucketId bucket, Position position, BodyRef ref);
  void relink(BucketId bucket, Position position, Position before);
  void settle();
  void rollback();

  size_t bytes() const { return bytes_; }
  size_t bytes(BucketId bucket) const;

  // ── checkpoint ──
  // Writes a bucket's edits and log into the open transaction. Changes nothing in RAM.
  Result<void> write(BucketId bucket) const;
  // Where the leaves stand that were delivered to since the last checkpoint, by ascending leaf.
  std::vector<TailChange> tails(BucketId bucket) const;
  // The bucket's rows are in the tables. REQUIRES: settled.
  void clear(BucketId bucket);

 private:
  using Edits = DeliveryEdits;
  using Edit = DeliveryEdits::Edit;
  using Chunk = std::shared_ptr<const std::vector<PlacedRow>>;
  struct Bucket {
    DeliveryLog log;
    Edits edits;
    size_t settled = 0;  // rows of the log at the last commit
    mutable Chunk seen;  // that was looked into last: retention goes row by row
  };
  // Of what stood before the batch; rows that the batch itself appended go as a whole.
  struct LogUndo {
    BucketId bucket;
    size_t index;
    DeliveryLog::Row before;
  };
  struct EditUndo {
    BucketId bucket;
    Position position;
    Edit before;
  };
  using ChunkId = std::pair<BucketId, Position>;

  Bucket& bucket_at(BucketId bucket);
  const Bucket* find_bucket(BucketId bucket) const;
  static bool edit_row(const Edits& edits, PlacedRow& placed);
  Chunk chunk_of(BucketId bucket, Position position) const;
  std::optional<PlacedRow> in_chunk(BucketId bucket, Position position) const;
  DeliveryLog::Row& change_log(BucketId bucket, Bucket& b, size_t index);
  void change_edit(BucketId bucket, Bucket& b, Position position, Edit edit);

  Backend& backend_;
  size_t chunk_bytes_;
  std::vector<Bucket> buckets_;         // by id, as far as any was used
  std::vector<BucketId> appended_;      // in this batch
  std::vector<LogUndo> log_undo_;
  std::vector<EditUndo> edit_undo_;
  size_t bytes_ = 0;
  // Unpacked chunks, as the tables have them.
  mutable std::map<ChunkId, Chunk> cache_;
  mutable std::deque<ChunkId> cache_order_;
};

}  // namespace canopy::store
