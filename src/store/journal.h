// The journal's records: one batch of several buckets' writes as a run of bytes (README.md has the
// grammar), cut into values of one fixed size. Pure; the store puts and gets the values.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "store/deliveries.h"
#include "store/writes.h"

namespace canopy::store {

constexpr uint8_t journal_version = 2;
// checksum 8, version 1, length of the records 4, sequence of the first value 8
constexpr size_t run_head_bytes = 8 + 1 + 4 + 8;

std::string journal_key(uint64_t sequence);

// The last position of each bucket in a run, so that one behind it takes a byte: the first is written whole,
// the others as what they are above the one before.
class RunPositions {
 public:
  void clear() { ++run_; }
  uint64_t encode(BucketId bucket, Position position);
  Position decode(BucketId bucket, uint64_t coded);

 private:
  struct Last {
    uint64_t position = 0;
    uint64_t run = 0;
  };
  Last& last_of(BucketId bucket);
  std::vector<Last> last_;  // by bucket
  uint64_t run_ = 1;
};

// The bodies that a run named last, so that naming one again takes two bytes: a message is delivered in many
// buckets, and retention forgets it in as many.
class RunRefs {
 public:
  void clear() { ++run_; }
  void put(std::string& out, BodyRef ref);
  // Sets `in` to not ok when nothing was named there.
  BodyRef take(Cursor& in);

 private:
  struct Slot {
    BodyRef ref;
    uint64_t run = 0;
  };
  std::array<Slot, 256> slots_;
  uint64_t run_ = 1;
};

// How many references a body got (or lost) by a record, and its bytes when they travelled with it.
struct BodyChange {
  BodyRef ref;
  int64_t change = 0;
  Blob body;
};

// Collects one batch. The steps' writes are encoded as they are applied, so nothing else holds them.
class RunWriter {
 public:
  RunWriter() { clear(); }
  void begin_record(BucketId bucket, Position upto, size_t writes);
  // `with_body`: of ref and deliver: the bytes go along, because they are not in the shard yet.
  // `took`: of die and forget: a reference goes. Replay counts bodies without looking at rows.
  // REQUIRES: positions are not above the record's.
  void add(const Write& write, bool with_body_or_took);
  void add(const DeliveryBatch& batch, bool with_body);
  bool empty() const { return run_.size() == run_head_bytes; }
  size_t bytes() const { return run_.size(); }
  void clear();
  // Returns the whole run, which stands from `sequence` on. Valid until the next change.
  std::string_view finish(uint64_t sequence);

 private:
  std::string run_;
  std::vector<char> tos_;  // of one batch: kept for its memory, which need not be zeroed each time
  Position upto_;  // of the open record
  RunPositions positions_;
  RunRefs refs_;
};

// Collects one run from its values and checks it.
class RunReader {
 public:
  class Visitor {
   public:
    virtual ~Visitor() = default;
    // `bodies` has what all the writes change; what die and forget took is only there.
    virtual Result<void> on_record(BucketId bucket, Position upto, const Writes& writes,
                                   const std::vector<BodyChange>& bodies) = 0;
    virtual Result<void> on_deliver(const DeliveryBatch& batch) = 0;
    virtual Result<void> on_run_end() = 0;
  };

  // Takes the value under `sequence`; calls `visitor` for each record when the run is complete.
  // Returns unavailable, naming the sequence, for what is damaged, out of order or newer.
  Result<void> take(uint64_t sequence, std::string_view value, Visitor& visitor);
  bool between_runs() const { return run_.empty(); }
  uint64_t first() const { return first_; }  // of the run that was taken last

 private:
  Result<void> finish(Visitor& visitor);
  Result<void> take_record(Cursor& in, BucketId bucket, Visitor& visitor);
  Result<void> take_batch(Cursor& in, Visitor& visitor);
  uint64_t first_ = 0;
  size_t wanted_ = 0;
  std::string run_;
  RunPositions positions_;
  RunRefs refs_;
};

}  // namespace canopy::store
