#include "store/delivery_rows.h"

#include <algorithm>
#include <string>

#include "base/assert.h"
#include "store/keys.h"
#include "store/rows.h"

namespace canopy::store {
namespace {

constexpr size_t edit_bytes = 32;  // of one in RAM
constexpr size_t cached_chunks_max = 1400;  // 20 MB, about

std::string chunk_key(BucketId bucket, Position key) { return KeyBuilder(bucket, Table::delivery).add(key); }
std::string chunks_end(BucketId bucket) { return after_prefix(KeyBuilder(bucket, Table::delivery)); }

constexpr size_t key_head_bytes = 3;
Position key_position(std::string_view key) { return Position(Cursor(key.substr(key_head_bytes)).be64()); }

std::vector<PlacedRow> unpack(std::string_view key, std::string_view stored) {
  std::vector<PlacedRow> rows;
  if (!decode_chunk(key_position(key), unseal_or_end(key, stored), rows)) end_damaged(key);
  return rows;
}

// Puts rows as chunks, the first under a key that is given. Nothing is written without rows.
class ChunkPutter {
 public:
  ChunkPutter(Backend& backend, BucketId bucket, Position first, size_t chunk_bytes)
      : backend_(backend), bucket_(bucket), writer_(first, chunk_bytes) {}
  Result<void> add(Position position, const DeliveryRow& row) {
    if (writer_.add(position, row)) return {};
    TRY(flush());
    writer_.begin(position);
    ASSERT(writer_.add(position, row));
    return {};
  }
  Result<void> flush() {
    if (writer_.empty()) return {};
    const std::string key = chunk_key(bucket_, writer_.key());
    return backend_.put(Space::tables, key, seal(key, writer_.value()));
  }
  bool empty() const { return writer_.empty(); }

 private:
  Backend& backend_;
  BucketId bucket_;
  ChunkWriter writer_;
};

}  // namespace

DeliveryRows::Bucket& DeliveryRows::bucket_at(BucketId bucket) {
  if (bucket.value() >= buckets_.size()) buckets_.resize(bucket.value() + size_t{1});
  return buckets_[bucket.value()];
}

const DeliveryRows::Bucket* DeliveryRows::find_bucket(BucketId bucket) const {
  return bucket.value() < buckets_.size() ? &buckets_[bucket.value()] : nullptr;
}

// ── reads ──

// Returns whether the row is still there.
bool DeliveryRows::edit_row(const Edits& edits, PlacedRow& placed) {
  if (edits.empty()) return true;
  const Edit edit = edits.find(placed.position);
  if (edit.gone) return false;
  if (edit.relinked) placed.row.before = edit.before;
  if (edit.dead) {
    placed.row.dead = true;
    placed.row.shared = false;
    placed.row.ref = {};
  }
  return true;
}

// Returns the chunk that has the row at `position`, if any has. From the cache when it is there.
DeliveryRows::Chunk DeliveryRows::chunk_of(BucketId bucket, Position position) const {
  auto at = cache_.upper_bound({bucket, position});
  if (at != cache_.begin() && (--at)->first.first == bucket && at->second->back().position >= position) return at->second;
  Chunk chunk;
  ChunkId id{bucket, {}};
  backend_.scan_back(Space::tables, chunk_key(bucket, Position()), chunk_key(bucket, position.next()),
                     [&](std::string_view key, std::string_view stored) {
                       id.second = key_position(key);
                       chunk = std::make_shared<const std::vector<PlacedRow>>(unpack(key, stored));
                       return false;
                     });
  if (!chunk || chunk->empty() || !cache_.emplace(id, chunk).second) return chunk;
  cache_order_.push_back(id);
  if (cache_order_.size() > cached_chunks_max) {
    cache_.erase(cache_order_.front());
    cache_order_.pop_front();
  }
  return chunk;
}

std::optional<PlacedRow> DeliveryRows::in_chunk(BucketId bucket, Position position) const {
  const Bucket* b = find_bucket(bucket);
  const bool again = b && b->seen && b->seen->front().position <= position && position <= b->seen->back().position;
  const Chunk chunk = again ? b->seen : chunk_of(bucket, position);
  if (!chunk || chunk->empty()) return std::nullopt;
  if (b) b->seen = chunk;
  const auto at = std::lower_bound(chunk->begin(), chunk->end(), position,
                                   [](const PlacedRow& row, Position p) { return row.position < p; });
  if (at == chunk->end() || at->position != position) return std::nullopt;
  PlacedRow placed = *at;
  if (b && !edit_row(b->edits, placed)) return std::nullopt;
  return placed;
}

std::optional<DeliveryRow> DeliveryRows::at(BucketId bucket, Position position) const {
  const Bucket* b = find_bucket(bucket);
  if (b && !b->log.empty() && position >= b->log[0].position()) {
    const auto index = b->log.find(position);
    return index ? std::optional(b->log[*index].row()) : std::nullopt;
  }
  const auto placed = in_chunk(bucket, position);
  return placed ? std::optional(placed->row) : std::nullopt;
}

void DeliveryRows::visit(BucketId bucket, Position from, Position to, const VisitDelivery& visit) const {
  if (from >= to) return;
  static const Edits none;
  const Bucket* b = find_bucket(bucket);
  const Edits& edits = b ? b->edits : none;
  bool go_on = true;
  if (!b || b->log.empty() || from < b->log[0].position()) {
    // The row at `from` may stand in a chunk that begins before it.
    std::string first = chunk_key(bucket, from);
    backend_.scan_back(Space::tables, chunk_key(bucket, Position()), chunk_key(bucket, from),
                       [&](std::string_view key, std::string_view) {
                         first = key;
                         return false;
                       });
    backend_.scan(Space::tables, first, chunk_key(bucket, to), [&](std::string_view key, std::string_view stored) {
      for (PlacedRow& placed : unpack(key, stored)) {
        if (placed.position < from || !edit_row(edits, placed)) continue;
        if (placed.position >= to) return false;
        go_on = visit(placed.position, placed.row);
        if (!go_on) return false;
      }
      return true;
    });
  }
  if (!b) return;
  for (size_t i = b->log.lower_bound(from); go_on && i < b->log.size() && b->log[i].position() < to; ++i)
    if (!b->log[i].gone()) go_on = visit(b->log[i].position(), b->log[i].row());
}

void DeliveryRows::visit_back(BucketId bucket, Position from, Position to, const VisitDelivery& visit) const {
  if (from >= to) return;
  static const Edits none;
  const Bucket* b = find_bucket(bucket);
  const Edits& edits = b ? b->edits : none;
  if (b) {
    for (size_t i = b->log.lower_bound(to); i > 0 && b->log[i - 1].position() >= from; --i)
      if (!b->log[i - 1].gone() && !visit(b->log[i - 1].position(), b->log[i - 1].row())) return;
    if (!b->log.empty() && from >= b->log[0].position()) return;
  }
  backend_.scan_back(Space::tables, chunk_key(bucket, Position()), chunk_key(bucket, to),
                     [&](std::string_view key, std::string_view stored) {
                       std::vector<PlacedRow> rows = unpack(key, stored);
                       const bool last = key_position(key) <= from;
                       for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
                         if (row->position >= to || !edit_row(edits, *row)) continue;
                         if (row->position < from) return false;
                         if (!visit(row->position, row->row)) return false;
                       }
                       return !last;
                     });
}

LeafTail DeliveryRows::tail(BucketId bucket, LeafNo leaf) const {
  const Bucket* b = find_bucket(bucket);
  const DeliveryLog::Row* last = b ? b->log.last_of(leaf) : nullptr;
  return last ? LeafTail{last->no(), last->position()} : LeafTail{};
}

// ── changes ──

void DeliveryRows::append(BucketId bucket, Position position, const DeliveryRow& row) {
  Bucket& b = bucket_at(bucket);
  if (b.log.size() == b.settled) appended_.push_back(bucket);
  b.log.append(position, row);
  bytes_ += sizeof(DeliveryLog::Row);
}

void DeliveryRows::prefetch(BucketId bucket) const {
  if (bucket.value() < buckets_.size()) buckets_[bucket.value()].log.prefetch();
}

DeliveryLog::Row& DeliveryRows::change_log(BucketId bucket, Bucket& b, size_t index) {
  if (index < b.settled) log_undo_.push_back({bucket, index, b.log[index]});
  return b.log.at(index);
}

void DeliveryRows::change_edit(BucketId bucket, Bucket& b, Position position, Edit edit) {
  const Edit before = b.edits.find(position);
  edit_undo_.push_back({bucket, position, before});
  bytes_ += before.none() ? edit_bytes : 0;
  b.edits.set(position, {edit.gone || before.gone, edit.dead || before.dead, edit.relinked || before.relinked,
                         edit.relinked ? edit.before : before.before});
}

bool DeliveryRows::die(BucketId bucket, Position position, BodyRef ref) {
  Bucket& b = bucket_at(bucket);
  if (const auto index = b.log.find(position)) {
    if (b.log[*index].dead()) return false;
    ASSERT(b.log[*index].ref() == ref);
    change_log(bucket, b, *index).die();
    return true;
  }
  const auto placed = in_chunk(bucket, position);
  if (!placed || placed->row.dead) return false;
  ASSERT(placed->row.ref == ref);
  change_edit(bucket, b, position, {.dead = true});
  return true;
}

bool DeliveryRows::forget(BucketId bucket, Position position, BodyRef ref) {
  Bucket& b = bucket_at(bucket);
  if (const auto index = b.log.find(position)) {
    const bool live = !b.log[*index].dead();
    ASSERT(!live || b.log[*index].ref() == ref);
    change_log(bucket, b, *index).forget();
    return live;
  }
  const auto placed = in_chunk(bucket, position);
  if (!placed) return false;
  ASSERT(placed->row.dead || placed->row.ref == ref);
  change_edit(bucket, b, position, {.gone = true});
  return !placed->row.dead;
}

void DeliveryRows::relink(BucketId bucket, Position position, Position before) {
  ASSERT(before < position);
  Bucket& b = bucket_at(bucket);
  if (const auto index = b.log.find(position)) {
    change_log(bucket, b, *index).relink(before);
    return;
  }
  if (in_chunk(bucket, position)) change_edit(bucket, b, position, {.relinked = true, .before = before});
}

void DeliveryRows::settle() {
  for (const BucketId bucket : appended_) {
    Bucket& b = buckets_[bucket.value()];
    b.settled = b.log.size();
  }
  appended_.clear();
  log_undo_.clear();
  edit_undo_.clear();
}

void DeliveryRows::rollback() {
  for (; !log_undo_.empty(); log_undo_.pop_back()) {
    const LogUndo& last = log_undo_.back();
    buckets_[last.bucket.value()].log.at(last.index) = last.before;
  }
  for (; !edit_undo_.empty(); edit_undo_.pop_back()) {
    const EditUndo& last = edit_undo_.back();
    buckets_[last.bucket.value()].edits.set(last.position, last.before);
    bytes_ -= last.before.none() ? edit_bytes : 0;
  }
  for (const BucketId bucket : appended_) {
    Bucket& b = buckets_[bucket.value()];
    bytes_ -= (b.log.size() - b.settled) * sizeof(DeliveryLog::Row);
    b.log.truncate(b.settled);
  }
  appended_.clear();
}

size_t DeliveryRows::bytes(BucketId bucket) const {
  const Bucket* b = find_bucket(bucket);
  return b ? b->log.bytes() + b->edits.size() * edit_bytes : 0;
}

// ── checkpoint ──

// The transaction may be aborted, so nothing is read through the cache here. Rows are copied before
// anything is put, because a put may move them.
Result<void> DeliveryRows::write(BucketId bucket) const {
  const Bucket* b = find_bucket(bucket);
  if (!b || (b->log.empty() && b->edits.empty())) return {};
  std::string last_key;
  std::vector<PlacedRow> rows;
  if (!b->log.empty()) {
    backend_.scan_back(Space::tables, chunk_key(bucket, Position()), chunks_end(bucket),
                       [&](std::string_view key, std::string_view stored) {
                         if (stored.size() >= chunk_bytes_ / 8 * 7) return false;
                         last_key = key;
                         rows = unpack(key, stored);
                         return false;
                       });
  }
  const Position last = last_key.empty() ? Position(UINT64_MAX) : key_position(last_key);

  const std::vector<Position> edits = b->edits.positions();
  for (auto edit = edits.begin(); edit != edits.end() && *edit < last;) {
    std::string key;
    std::vector<PlacedRow> edited;
    backend_.scan_back(Space::tables, chunk_key(bucket, Position()), chunk_key(bucket, edit->next()),
                       [&](std::string_view found, std::string_view stored) {
                         key = found;
                         edited = unpack(found, stored);
                         return false;
                       });
    ASSERT(!edited.empty() && edited.back().position >= *edit);
    ChunkPutter putter(backend_, bucket, key_position(key), chunk_bytes_);
    for (PlacedRow& placed : edited)
      if (edit_row(b->edits, placed)) TRY(putter.add(placed.position, placed.row));
    if (putter.empty()) TRY(backend_.erase(Space::tables, key));
    TRY(putter.flush());
    edit = std::upper_bound(edit, edits.end(), edited.back().position);
  }
  if (b->log.empty()) return {};

  ChunkPutter putter(backend_, bucket, last_key.empty() ? b->log[0].position() : last, chunk_bytes_);
  for (PlacedRow& placed : rows)
    if (edit_row(b->edits, placed)) TRY(putter.add(placed.position, placed.row));
  for (size_t i = 0; i < b->log.size(); ++i)
    if (!b->log[i].gone()) TRY(putter.add(b->log[i].position(), b->log[i].row()));
  if (putter.empty() && !last_key.empty()) TRY(backend_.erase(Space::tables, last_key));
  return putter.flush();
}

std::vector<TailChange> DeliveryRows::tails(BucketId bucket) const {
  std::vector<TailChange> tails;
  if (const Bucket* b = find_bucket(bucket))
    b->log.last_rows([&](const DeliveryLog::Row& row) { tails.push_back({row.leaf(), {row.no(), row.position()}}); });
  return tails;
}

void DeliveryRows::clear(BucketId bucket) {
  ASSERT(appended_.empty() && log_undo_.empty() && edit_undo_.empty());
  Bucket& b = bucket_at(bucket);
  bytes_ -= bytes(bucket);
  b.log.clear();
  b.edits.clear();
  b.settled = 0;
  b.seen = nullptr;
  const auto from = cache_.lower_bound({bucket, Position()});
  auto to = from;
  while (to != cache_.end() && to->first.first == bucket) ++to;
  if (from == to) return;
  cache_.erase(from, to);
  std::erase_if(cache_order_, [&](const ChunkId& id) { return id.first == bucket; });
}

}  // namespace canopy::store
