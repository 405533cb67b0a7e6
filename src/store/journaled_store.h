// The one Store: what store.h promises, over overlay, deliveries, bodies and journal. store_open.cc has what
// happens once, store.cc what happens for every batch.
//
// Invariants: low_ ≤ start_ ≤ next_. Every bucket with records above its checkpointed position is
// in oldest_, and start_ is not above the first run in it; so are the bodies, as a bucket of their own, when
// they changed since they were moved. Between batches a bucket's position is its settled one.
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "store/bodies.h"
#include "store/delivery_rows.h"
#include "store/journal.h"
#include "store/leaf_tails.h"
#include "store/overlay.h"
#include "store/store.h"

namespace canopy::store {

// What the bodies are called where checkpoints go by buckets: no bucket's number.
constexpr BucketId bodies_id{0xffff};

class JournaledStore final : public Store {
 public:
  JournaledStore(Backend& backend, StoreOptions options) : backend_(backend), options_(options), deliveries_(backend, options.chunk_bytes), bodies_(backend, options.body_cache_bytes) {}
  Result<void> load();

  std::optional<std::string> get(std::string_view key) const override;
  void scan(std::string_view from, std::string_view to, const Visit& visit) const override;
  void scan_back(std::string_view from, std::string_view to, const Visit& visit) const override;
  Blob body(BodyRef ref) const override { return bodies_.get(ref); }
  std::optional<DeliveryRow> delivery(BucketId bucket, Position position) const override {
    return deliveries_.at(bucket, position);
  }
  void deliveries(BucketId bucket, Position from, Position to, const VisitDelivery& visit) const override {
    deliveries_.visit(bucket, from, to, visit);
  }
  void deliveries_back(BucketId bucket, Position from, Position to, const VisitDelivery& visit) const override {
    deliveries_.visit_back(bucket, from, to, visit);
  }
  LeafTail leaf_tail(BucketId bucket, LeafNo leaf) const override;
  Position position(BucketId bucket) const override;

  void apply(BucketId bucket, Position upto, const Writes& writes) override;
  void deliver(const DeliveryBatch& batch) override;
  Result<void> commit() override;
  bool dirty() const override { return !run_.empty(); }
  Result<bool> checkpoint() override;
  int64_t body_references(BodyRef ref) const override { return bodies_.references(ref); }
  StoreStatus status() const override;

 private:
  struct Bucket {
    Position position;         // with the batch
    Position settled;          // at the last commit
    Position checkpointed;     // in the tables
    bool in_batch = false;
    uint64_t first = 0;        // run of the journal that this bucket still needs, if `needs_journal`
    bool needs_journal = false;
  };
  // What one transaction moves and trims; taken over in RAM when it is durable.
  struct Slice {
    std::vector<BucketId> buckets;
    bool bodies = false;
    uint64_t bodies_from = 0, bodies_in_tables = 0;
    uint64_t start = 0;
    uint64_t low = 0;
  };
  class Replay;

  Result<void> load_format();
  Result<void> create();
  Result<void> load_positions();
  Result<void> replay();

  Bucket& bucket_at(BucketId bucket);
  Bucket& step_to(BucketId bucket, Position upto);
  // Returns what the journal must say with the write: whether a body goes along, or a reference goes.
  bool change(BucketId bucket, Position before, const Write& write);
  void change_key(BucketId bucket, const Write& write);
  void change_set(BucketId bucket, const Write& write);
  void scan_merged(std::string_view from, std::string_view to, bool forward, const Visit& visit) const;

  size_t values(size_t bytes) const { return (bytes + options_.journal_value_bytes - 1) / options_.journal_value_bytes; }
  size_t overlay_bytes() const { return overlay_.bytes() + deliveries_.bytes() + bodies_.bytes(); }
  uint64_t journal_bytes() const { return (next_ - low_) * options_.journal_value_bytes; }
  bool slice_due() const;
  Result<void> write_run(std::string_view run);
  Result<void> write_slice(Slice& slice, size_t bytes, size_t trim, uint64_t end);
  Result<void> write_bucket(BucketId bucket);
  std::vector<TailChange> changed_tails(BucketId bucket) const;
  Result<void> write_state(const Slice& slice);
  void need_journal(BucketId bucket, uint64_t first);
  void release_journal(BucketId bucket);
  void settle();
  void finish(const Slice& slice);
  void rollback();

  Backend& backend_;
  StoreOptions options_;
  Overlay overlay_;
  DeliveryRows deliveries_;
  Bodies bodies_;
  RunWriter run_;
  std::vector<Bucket> buckets_;                     // by id, as far as any was used
  std::vector<BucketId> batch_;                     // buckets of the batch
  Bucket bodies_bucket_;                            // of it only what the journal holds for it
  std::set<std::pair<uint64_t, BucketId>> oldest_;  // (first run that it needs, bucket)
  // Values from low_ to start_ are needed by nobody and are erased little by little.
  uint64_t low_ = 1, start_ = 1, next_ = 1;
  // What runs below this did to the bodies is in the tables.
  uint64_t bodies_from_ = 1;
  uint64_t bodies_in_tables_ = 0;                   // with a count above zero
  uint64_t batches_ = 0, slices_ = 0, replayed_ = 0;
};

}  // namespace canopy::store
