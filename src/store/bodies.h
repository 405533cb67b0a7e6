// The bodies of a shard: each stands once under (id, hash), however many lists of however many
// buckets point at it, as long as anything does.
//
// A body's count = the count in the tables + what changed since the bodies were moved there last. They are
// moved all at once, by a checkpoint of their own: a message of the moment is counted up and down in RAM, and
// the bytes of one that nothing points at any more by then are never written. In RAM only bodies with changes
// are known. Bytes are readable while the count is above zero, and until the commit of the batch that took the
// last reference. One thread.
//
// Invariant: a body with a count above zero has its bytes in the tables, or in RAM and in the journal at or
// above the sequence from which the bodies still need it.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "store/backend.h"
#include "store/blob_cache.h"

namespace canopy::store {

class Bodies {
 public:
  // `cache_bytes`: of RAM for bodies that were read, or are new, beside what bytes() tells.
  Bodies(Backend& backend, size_t cache_bytes) : backend_(backend), cache_(cache_bytes) {}

  Blob get(BodyRef ref) const;
  int64_t references(BodyRef ref) const;
  uint64_t size() const { return size_; }   // bodies with a count above zero
  size_t bytes() const { return bytes_; }   // in RAM
  bool changed() const { return !undo_.empty(); }  // in this batch

  // Counts `change` pointers more or less. Returns whether the bytes must travel in the journal: nobody
  // could read the body until now. REQUIRES: then `body` is not null. The count may be below zero only
  // within a batch.
  bool change(BodyRef ref, int64_t change, const Blob& body);
  void settle();
  void rollback();

  // Replay: begins with what the tables count, then repeats each change and commit. Returns unavailable for what
  // cannot be.
  Result<void> replay(BodyRef ref, int64_t change, const Blob& body);
  Result<void> settle_replay();
  void begin_replay(uint64_t size_in_tables) { size_ = size_in_tables; }

  // A checkpoint: write() puts all changes into the open transaction, clear() is told when that is durable.
  // Between them nothing is changed in RAM, so that an abort has nothing to undo.
  Result<void> write() const;
  void clear();

 private:
  struct Row {
    int64_t count = 0;
    uint64_t size = 0;
    bool there = false;
  };
  struct Entry {
    Row row;                // as the tables have it
    int64_t count = 0;      // with the batch
    int64_t settled = 0;    // at the last commit
    uint64_t batch = 0;     // that changed it last: it is in the undo log once a batch
    Blob bytes;             // while it is readable and the tables do not have them
    bool readable() const { return count > 0 || settled > 0; }
  };
  using Entries = std::unordered_map<BodyRef, Entry, BodyRefHash>;
  struct Undo {
    Entries::value_type* at;
    bool added;
  };

  Row row_of(BodyRef ref) const;
  Blob read(BodyRef ref) const;      // from the cache, or from the tables
  Entries::value_type& entry_of(BodyRef ref);
  void count(Entry& entry, int64_t count);
  void keep_bytes(Entry& entry, Blob bytes);   // null: lets them go
  Result<void> write_one(BodyRef ref, const Entry& entry) const;

  Backend& backend_;
  Entries entries_;
  std::vector<Undo> undo_;
  mutable BlobCache cache_;  // nothing that is not readable
  uint64_t batch_ = 1;
  uint64_t size_ = 0;
  size_t bytes_ = 0;
};

}  // namespace canopy::store
