// A shard's store: journal, overlay and tables over a Backend (see README.md). One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "store/backend.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::store {

struct StoreOptions {
  size_t journal_value_bytes = 2000;       // of one journal value; fixed per store
  size_t overlay_bytes_max = 64u << 20;    // above it every batch brings a checkpoint slice
  size_t journal_bytes_max = 256u << 20;   // likewise: rewriting one key grows only the journal
  size_t slice_bytes = 1u << 20;           // of overlay that one slice moves, at least one bucket's
  size_t bodies_bytes_max = 2u << 20;      // the bodies' part of it; a slice moves all of them above it
  size_t trim_values_max = 4096;           // journal values that one transaction erases
  size_t body_cache_bytes = 64u << 20;     // of RAM, for bodies that are read again
  size_t chunk_bytes = 4080;               // of a chunk of deliveries: 64 to delivery_chunk.h's bound, which is the default
};

struct StoreStatus {
  uint64_t overlay_bytes = 0, journal_bytes = 0, batches = 0, slices = 0, bodies = 0, replayed = 0;
  uint64_t bytes_free = 0, bytes_total = 0;  // of the backend
};

class Store : public Reader {
 public:
  // Opens and replays the journal. Refuses (code unavailable, naming what) a store of a newer format
  // or a damaged record that is not the torn end. `backend` outlives the store.
  static Result<std::unique_ptr<Store>> open(Backend& backend, StoreOptions options);

  // A step's writes, seen by every read from now on, durable after commit(). `upto` is the bucket's
  // position after the step. REQUIRES: upto > position(bucket) unless `writes` is empty.
  virtual void apply(BucketId bucket, Position upto, const Writes& writes) = 0;

  // The plain case of many steps of many buckets at once: each bucket of the batch gets one row and stands at
  // its position. REQUIRES: as for apply().
  virtual void deliver(const DeliveryBatch& batch) = 0;

  // Makes all that was applied since the last commit durable, in one transaction, together with a
  // checkpoint slice when one is due. Without anything applied it does nothing.
  // An error of code busy: nothing of the batch happened, the store is as after the last commit
  // (whoever keeps state in RAM must build it again). After any other error the process must end.
  virtual Result<void> commit() = 0;
  virtual bool dirty() const = 0;   // something was applied since the last commit

  // Moves some settled writes to the tables and trims the journal, in a transaction of its own.
  // Returns whether there is more to move. REQUIRES: !dirty().
  virtual Result<bool> checkpoint() = 0;

  // For tests and scrubs: the references to a body that the store counts, in tables and overlay.
  virtual int64_t body_references(BodyRef ref) const = 0;
  virtual StoreStatus status() const = 0;
};

}  // namespace canopy::store
