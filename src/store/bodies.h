// The bodies of a shard: each stands once under (id, hash), however many lists of however many
// buckets point at it, as long as anything does.
//
// A body's count = the count in the tables + the deltas of every bucket above its checkpointed
// position. Its bytes are readable while the count is above zero, and until the commit of the batch
// that took the last reference. In RAM only bodies with deltas are known. One thread.
//
// Invariant: a body with a count above zero has its bytes in the tables, or in RAM and in a journal
// record of a bucket that has a delta for it.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "store/backend.h"

namespace canopy::store {

class Bodies {
 public:
  explicit Bodies(Backend& backend) : backend_(backend) {}

  Blob get(BodyRef ref) const;
  int64_t references(BodyRef ref) const;
  uint64_t size() const { return size_; }   // bodies with a count above zero
  size_t bytes() const { return bytes_; }   // in RAM
  size_t bytes(BucketId bucket) const;      // of the bodies that this bucket has deltas for

  // Counts one pointer more or less. Returns whether the bytes must travel in the journal: nobody
  // could read the body until now. REQUIRES: then `body` is not null; unref: the count is above zero.
  bool ref(BucketId bucket, BodyRef ref, const Blob& body);
  void unref(BucketId bucket, BodyRef ref) { change(bucket, ref, -1); }
  void settle();
  void rollback();

  // Replay: counts only, in any order of buckets; then the bytes of what is still referred to, from
  // all that the journal holds. Returns unavailable when a body has references and no bytes.
  void replay(BucketId bucket, BodyRef ref, int change) { this->change(bucket, ref, change); }
  Result<void> finish_replay(const std::map<BodyRef, Blob>& offered, uint64_t size_in_tables);

  // A checkpoint: move() writes a bucket's deltas into the open transaction, moved() is told when
  // that is durable. Between them nothing is changed in RAM, so that an abort has nothing to undo.
  struct Slice {
    struct Row {
      int64_t count = 0;
      uint64_t size = 0;
      bool has_bytes = false;
    };
    std::map<BodyRef, Row> rows;
    uint64_t size_in_tables = 0;
  };
  Slice begin_slice() const { return {{}, size_in_tables_}; }
  Result<void> move(BucketId bucket, Slice& slice);
  void moved(BucketId bucket);
  void finish_slice(const Slice& slice);

 private:
  using Row = Slice::Row;
  struct Entry {
    Row row;                // as the tables have it
    int64_t delta = 0;      // of all buckets, with the batch
    int64_t settled = 0;    // the count at the last commit
    uint32_t holders = 0;   // buckets with a delta, also one of zero
    Blob bytes;             // in RAM while they are not in the tables
    int64_t count() const { return row.count + delta; }
    bool readable() const { return count() > 0 || settled > 0; }
  };
  using Entries = std::map<BodyRef, Entry>;
  using Deltas = std::map<BodyRef, int64_t>;
  struct Undo {
    BucketId bucket;
    Entries::iterator at;
    int change;
    bool new_delta;
    bool new_bytes;
  };

  Row row_of(BodyRef ref) const;
  Blob read(BodyRef ref, const Row& row) const;
  Result<void> write_bytes(BodyRef ref, const std::string& bytes);
  Result<void> erase_bytes(BodyRef ref, uint64_t size);
  Deltas& deltas(BucketId bucket);
  Entry& change(BucketId bucket, BodyRef ref, int change);
  void count(Entry& entry, int change);
  void keep_bytes(Entry& entry, Blob bytes);   // null: lets them go
  void release(Entries::iterator at);          // one holder less

  Backend& backend_;
  Entries entries_;
  std::vector<Deltas> deltas_;  // by bucket
  std::vector<Undo> undo_;
  uint64_t size_ = 0;
  uint64_t size_in_tables_ = 0;
  size_t bytes_ = 0;
};

}  // namespace canopy::store
