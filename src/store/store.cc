#include "store/store.h"

#include <algorithm>
#include <string>

#include "base/assert.h"
#include "store/journaled_store.h"
#include "store/keys.h"
#include "store/packed_set.h"
#include "store/rows.h"

namespace canopy::store {
namespace {

BucketId bucket_of_key(std::string_view key) {
  ASSERT(key.size() > 2 && key.substr(0, 2) != reserved_prefix);
  return BucketId(Cursor(key).be16());
}

bool store_owned(std::string_view key) {
  return key[2] == static_cast<char>(Table::delivery) || key[2] == static_cast<char>(Table::tails);
}

}  // namespace

// ── reads ──

std::optional<std::string> JournaledStore::get(std::string_view key) const {
  if (const Overlay::Entry* entry = overlay_.find(bucket_of_key(key), key)) return entry->value;
  auto stored = backend_.get(Space::tables, key);
  if (stored) stored->resize(unseal_or_end(key, *stored).size());
  return stored;
}

void JournaledStore::scan(std::string_view from, std::string_view to, const Visit& visit) const {
  scan_merged(from, to, true, visit);
}

void JournaledStore::scan_back(std::string_view from, std::string_view to, const Visit& visit) const {
  scan_merged(from, to, false, visit);
}

void JournaledStore::scan_merged(std::string_view from, std::string_view to, bool forward, const Visit& visit) const {
  to = std::min(to, reserved_prefix);
  if (from >= to) return;
  Overlay::Walk over(overlay_, from, to, forward);
  bool go_on = true;
  // Entries of the overlay that come before `key`; a tombstone only hides.
  const auto show_before = [&](std::string_view key) {
    while (go_on && !over.done() && (forward ? over.key() < key : over.key() > key)) {
      if (over.entry().value) go_on = visit(over.key(), *over.entry().value);
      over.next();
    }
  };
  const auto merge = [&](std::string_view key, std::string_view stored) {
    show_before(key);
    if (!go_on) return false;
    if (!over.done() && over.key() == key) {
      if (over.entry().value) go_on = visit(key, *over.entry().value);
      over.next();
    } else {
      go_on = visit(key, unseal_or_end(key, stored));
    }
    return go_on;
  };
  if (forward) {
    backend_.scan(Space::tables, from, to, merge);
    show_before(to);
  } else {
    backend_.scan_back(Space::tables, from, to, merge);
    while (go_on && !over.done()) {
      if (over.entry().value) go_on = visit(over.key(), *over.entry().value);
      over.next();
    }
  }
}

LeafTail JournaledStore::leaf_tail(BucketId bucket, LeafNo leaf) const {
  const std::string key = KeyBuilder(bucket, Table::applied).add(leaf);
  const Overlay::Entry* entry = overlay_.find(bucket, key);
  if (entry && !entry->value) return {};  // a leaf that ended
  const std::optional<std::string> row = entry ? entry->value : get(key);
  const LeafTail by_hand = row ? decode_tail(*row) : LeafTail();
  const LeafTail logged = deliveries_.tail(bucket, leaf);
  // What is in the log is above all that the tables know.
  return further(by_hand, logged.newest.zero() ? stored_tail(backend_, bucket, leaf) : logged);
}

Position JournaledStore::position(BucketId bucket) const {
  return bucket.value() < buckets_.size() ? buckets_[bucket.value()].position : Position();
}

StoreStatus JournaledStore::status() const {
  return {overlay_bytes(), journal_bytes(), batches_, slices_, bodies_.size(), replayed_,
          backend_.bytes_free(), backend_.bytes_total()};
}

// ── a batch ──

JournaledStore::Bucket& JournaledStore::bucket_at(BucketId bucket) {
  if (bucket == bodies_id) return bodies_bucket_;
  if (bucket.value() >= buckets_.size()) buckets_.resize(bucket.value() + size_t{1});
  return buckets_[bucket.value()];
}

JournaledStore::Bucket& JournaledStore::step_to(BucketId bucket, Position upto) {
  Bucket& b = bucket_at(bucket);
  ASSERT(bucket != bodies_id && upto > b.position);
  b.position = upto;
  if (!b.in_batch) batch_.push_back(bucket);
  b.in_batch = true;
  return b;
}

void JournaledStore::apply(BucketId bucket, Position upto, const Writes& writes) {
  const Position before = position(bucket);
  if (writes.empty() && upto <= before) return;
  step_to(bucket, upto);
  run_.begin_record(bucket, upto, writes.size());
  for (const Write& write : writes.all()) run_.add(write, change(bucket, before, write));
}

void JournaledStore::deliver(const DeliveryBatch& batch) {
  if (batch.to.empty()) return;
  const bool with_body = bodies_.change(batch.ref, static_cast<int64_t>(batch.to.size()), batch.body);
  constexpr size_t ahead = 8;  // the leaves of a message lie anywhere: they are asked for early
  for (size_t i = 0; i < batch.to.size(); ++i) {
    if (i + ahead < batch.to.size()) deliveries_.prefetch(batch.to[i + ahead].bucket);
    const DeliveryBatch::To& to = batch.to[i];
    step_to(to.bucket, to.position);
    deliveries_.append(to.bucket, to.position, {to.leaf, batch.no, batch.ref, to.before, batch.shared, false});
  }
  run_.add(batch, with_body);
}

bool JournaledStore::change(BucketId bucket, Position before, const Write& write) {
  switch (write.kind) {
    case Write::Kind::ref: return bodies_.change(write.ref, 1, write.body);
    case Write::Kind::unref: return bodies_.change(write.ref, -1, nullptr);
    case Write::Kind::deliver:
      ASSERT(write.position > before && !write.row.dead && write.row.ref == write.ref);
      deliveries_.append(bucket, write.position, write.row);
      return bodies_.change(write.ref, 1, write.body);
    case Write::Kind::die:
    case Write::Kind::forget: {
      const bool took = write.kind == Write::Kind::die ? deliveries_.die(bucket, write.position, write.ref)
                                                       : deliveries_.forget(bucket, write.position, write.ref);
      if (took) bodies_.change(write.ref, -1, nullptr);
      return took;
    }
    case Write::Kind::relink:
      deliveries_.relink(bucket, write.position, write.row.before);
      return false;
    case Write::Kind::put:
    case Write::Kind::erase:
    case Write::Kind::insert:
    case Write::Kind::remove:
      ASSERT(bucket_of_key(write.key) == bucket && !store_owned(write.key));
      change_key(bucket, write);
      return false;
  }
  return false;
}

void JournaledStore::change_key(BucketId bucket, const Write& write) {
  if (write.kind == Write::Kind::put) {
    overlay_.put(bucket, write.key, write.value);
  } else if (write.kind == Write::Kind::erase) {
    overlay_.put(bucket, write.key, std::nullopt);
  } else {
    change_set(bucket, write);
  }
}

void JournaledStore::change_set(BucketId bucket, const Write& write) {
  const bool insert = write.kind == Write::Kind::insert;
  const auto change = [&](std::string& set) {
    return insert ? set_insert(set, write.member) : set_remove(set, write.member);
  };
  const Overlay::Entry* entry = overlay_.find(bucket, write.key);
  if (!entry || !entry->value) {
    std::string set = entry ? std::string() : get(write.key).value_or(std::string());
    if (change(set)) overlay_.put(bucket, write.key, set.empty() ? std::nullopt : std::optional(std::move(set)));
    return;
  }
  if (set_contains(*entry->value, write.member) == insert) return;
  if (!insert && set_size(*entry->value) == 1) {
    overlay_.put(bucket, write.key, std::nullopt);
  } else {
    overlay_.edit(bucket, write.key, change);
  }
}

// ── commit ──

Result<void> JournaledStore::commit() {
  if (!dirty()) return {};
  const std::string_view run = run_.finish(next_);
  const uint64_t end = next_ + values(run.size());
  for (const BucketId bucket : batch_) need_journal(bucket, next_);
  if (bodies_.changed()) need_journal(bodies_id, next_);

  Slice slice;
  const bool with_slice = slice_due();
  auto done = backend_.begin();
  if (done) done = write_run(run);
  // At least what is too much, and twice what the batch adds to the journal: however large the
  // batches are, they cannot outrun the slices.
  if (done && with_slice) {
    const size_t excess = overlay_bytes() - std::min(overlay_bytes(), options_.overlay_bytes_max);
    done = write_slice(slice, std::max(options_.slice_bytes, excess),
                       std::max(options_.trim_values_max, 2 * values(run.size())), end);
  }
  if (done) {
    done = backend_.commit();
  } else {
    backend_.abort();
  }
  if (!done) {
    rollback();
    return done;
  }
  next_ = end;
  ++batches_;
  settle();
  if (with_slice) finish(slice);
  return {};
}

bool JournaledStore::slice_due() const {
  return overlay_bytes() > options_.overlay_bytes_max || journal_bytes() > options_.journal_bytes_max;
}

Result<void> JournaledStore::write_run(std::string_view run) {
  const size_t size = options_.journal_value_bytes;
  std::string last;
  for (uint64_t sequence = next_; !run.empty(); ++sequence) {
    std::string_view value = run.substr(0, size);
    run.remove_prefix(value.size());
    if (value.size() < size) {
      last.assign(value);
      last.resize(size);
      value = last;
    }
    TRY(backend_.put(Space::journal, journal_key(sequence), value));
  }
  return {};
}

void JournaledStore::need_journal(BucketId bucket, uint64_t first) {
  Bucket& b = bucket_at(bucket);
  if (b.needs_journal) return;
  b.needs_journal = true;
  b.first = first;
  oldest_.emplace(first, bucket);
}

void JournaledStore::release_journal(BucketId bucket) {
  Bucket& b = bucket_at(bucket);
  oldest_.erase({b.first, bucket});
  b.needs_journal = false;
}

void JournaledStore::settle() {
  for (const BucketId bucket : batch_) {
    Bucket& b = bucket_at(bucket);
    b.settled = b.position;
    b.in_batch = false;
  }
  batch_.clear();
  run_.clear();
  overlay_.settle();
  deliveries_.settle();
  bodies_.settle();
}

void JournaledStore::rollback() {
  for (const BucketId bucket : batch_) {
    Bucket& b = bucket_at(bucket);
    b.position = b.settled;
    b.in_batch = false;
    if (b.needs_journal && b.first == next_) release_journal(bucket);
  }
  if (bodies_bucket_.needs_journal && bodies_bucket_.first == next_) release_journal(bodies_id);
  batch_.clear();
  run_.clear();
  overlay_.rollback();
  deliveries_.rollback();
  bodies_.rollback();
}

// ── checkpoint ──

Result<bool> JournaledStore::checkpoint() {
  ASSERT(!dirty());
  if (oldest_.empty() && low_ == start_) return false;
  Slice slice;
  auto done = backend_.begin();
  if (done) done = write_slice(slice, options_.slice_bytes, options_.trim_values_max, next_);
  if (done) {
    done = backend_.commit();
  } else {
    backend_.abort();
  }
  TRY(std::move(done));
  finish(slice);
  return !oldest_.empty() || low_ < start_;
}

// Moves whole buckets, the longest behind first, until `bytes` of overlay are moved; then erases up
// to `trim` journal values that nobody needs. `end` is where the journal will go on. The bodies are as a
// bucket of their own, and do not wait for their turn when they are many.
Result<void> JournaledStore::write_slice(Slice& slice, size_t bytes, size_t trim, uint64_t end) {
  size_t moved = 0;
  slice.bodies = bodies_.bytes() > options_.bodies_bytes_max;
  auto at = oldest_.begin();
  for (; at != oldest_.end() && moved < bytes; ++at) {
    const BucketId bucket = at->second;
    if (bucket == bodies_id) {
      slice.bodies = true;
      moved += bodies_.bytes();
      continue;
    }
    moved += overlay_.bytes(bucket) + deliveries_.bytes(bucket);
    slice.buckets.push_back(bucket);
    TRY(write_bucket(bucket));
  }
  if (slice.bodies) TRY(bodies_.write());
  if (slice.bodies && at != oldest_.end() && at->second == bodies_id) ++at;
  slice.start = at == oldest_.end() ? end : at->first;
  slice.bodies_from = slice.bodies ? end : bodies_from_;
  slice.bodies_in_tables = slice.bodies ? bodies_.size() : bodies_in_tables_;
  for (slice.low = low_; slice.low < slice.start && slice.low - low_ < trim; ++slice.low)
    TRY(backend_.erase(Space::journal, journal_key(slice.low)));
  return write_state(slice);
}

Result<void> JournaledStore::write_bucket(BucketId bucket) {
  for (const auto& [key, entry] : overlay_.entries(bucket)) {
    if (entry.value) {
      TRY(backend_.put(Space::tables, key, seal(key, *entry.value)));
    } else {
      TRY(backend_.erase(Space::tables, key));
    }
  }
  TRY(deliveries_.write(bucket));
  TRY(write_tails(backend_, bucket, changed_tails(bucket)));
  std::string position;
  put_be64(position, bucket_at(bucket).position.packed());
  return backend_.put(Space::tables, checkpoint_key(bucket), seal(checkpoint_key(bucket), position));
}

// Returns where the leaves stand that were delivered to since the last checkpoint, and zero for those that
// ended: what was erased by hand must not come back.
std::vector<TailChange> JournaledStore::changed_tails(BucketId bucket) const {
  std::vector<TailChange> changes = deliveries_.tails(bucket);
  const std::string from = KeyBuilder(bucket, Table::applied);
  const std::string to = after_prefix(from);
  std::vector<TailChange> ended;
  for (Overlay::Walk over(overlay_, from, to, true); !over.done(); over.next())
    if (!over.entry().value) ended.push_back({LeafNo(Cursor(over.key().substr(from.size())).be32()), {}});
  if (ended.empty()) return changes;
  const auto by_leaf = [](const TailChange& a, const TailChange& b) { return a.leaf < b.leaf; };
  std::vector<TailChange> all;
  // Of a leaf in both, the first stays: that it ended.
  std::set_union(ended.begin(), ended.end(), changes.begin(), changes.end(), std::back_inserter(all), by_leaf);
  return all;
}

Result<void> JournaledStore::write_state(const Slice& slice) {
  std::string state;
  put_be64(state, slice.start);
  put_be64(state, slice.bodies_from);
  put_varint(state, slice.bodies_in_tables);
  return backend_.put(Space::tables, state_key(), seal(state_key(), state));
}

void JournaledStore::finish(const Slice& slice) {
  for (const BucketId bucket : slice.buckets) {
    overlay_.clear(bucket);
    deliveries_.clear(bucket);
    release_journal(bucket);
    bucket_at(bucket).checkpointed = bucket_at(bucket).position;
  }
  if (slice.bodies) {
    bodies_.clear();
    if (bodies_bucket_.needs_journal) release_journal(bodies_id);
  }
  bodies_from_ = slice.bodies_from;
  bodies_in_tables_ = slice.bodies_in_tables;
  start_ = slice.start;
  low_ = slice.low;
  ++slices_;
}

}  // namespace canopy::store
