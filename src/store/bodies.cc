#include "store/bodies.h"

#include <algorithm>
#include <fmt/format.h>
#include <type_traits>

#include "base/assert.h"
#include "store/rows.h"

namespace canopy::store {
namespace {

// A part in a row of its own: two fit a page of LMDB, and a large body needs no run of free pages
// (the search for one takes seconds in an old file).
constexpr size_t part_bytes = 2000;
// What a body costs in RAM beside its bytes: an entry, and a delta of one bucket.
constexpr size_t entry_bytes = 240;

size_t parts(uint64_t size) { return static_cast<size_t>((size + part_bytes - 1) / part_bytes); }

// Head row: count (zigzag), size + 1, or 0 without bytes.
std::string pack(const Bodies::Slice::Row& row) {
  std::string out;
  put_varint(out, static_cast<uint64_t>(row.count) << 1 ^ static_cast<uint64_t>(row.count >> 63));
  put_varint(out, row.has_bytes ? row.size + 1 : 0);
  return out;
}

Bodies::Slice::Row unpack(std::string_view packed) {
  Cursor in(packed);
  const uint64_t zigzag = in.varint();
  const uint64_t size = in.varint();
  ASSERT(in.done());
  return {static_cast<int64_t>(zigzag >> 1 ^ (~(zigzag & 1) + 1)), size > 0 ? size - 1 : 0, size > 0};
}

}  // namespace

// ── reads ──

Bodies::Row Bodies::row_of(BodyRef ref) const {
  const std::string key = body_key(ref, 0);
  const auto stored = backend_.get(Space::tables, key);
  return stored ? unpack(unseal_or_end(key, *stored)) : Row{};
}

Blob Bodies::read(BodyRef ref, const Row& row) const {
  if (!row.has_bytes) return nullptr;
  std::string bytes;
  bytes.reserve(static_cast<size_t>(row.size));
  const auto last = static_cast<uint16_t>(parts(row.size));
  backend_.scan(Space::tables, body_key(ref, 1), body_key(ref, static_cast<uint16_t>(last + 1)),
                [&](std::string_view key, std::string_view stored) {
                  bytes.append(unseal_or_end(key, stored));
                  return true;
                });
  ASSERT(bytes.size() == row.size);
  return make_blob(std::move(bytes));
}

Blob Bodies::get(BodyRef ref) const {
  const auto at = entries_.find(ref);
  if (at == entries_.end()) return read(ref, row_of(ref));
  const Entry& entry = at->second;
  if (!entry.readable()) return nullptr;  // whatever a later checkpoint has still to erase
  return entry.bytes ? entry.bytes : read(ref, entry.row);
}

int64_t Bodies::references(BodyRef ref) const {
  const auto at = entries_.find(ref);
  return at == entries_.end() ? row_of(ref).count : at->second.count();
}

size_t Bodies::bytes(BucketId bucket) const {
  if (bucket.value() >= deltas_.size()) return 0;
  size_t sum = 0;
  for (const auto& [ref, delta] : deltas_[bucket.value()]) {
    const Blob& bytes = entries_.find(ref)->second.bytes;
    sum += entry_bytes + (bytes ? bytes->size() : 0);
  }
  return sum;
}

// ── counting ──

Bodies::Deltas& Bodies::deltas(BucketId bucket) {
  if (bucket.value() >= deltas_.size()) deltas_.resize(bucket.value() + size_t{1});
  return deltas_[bucket.value()];
}

void Bodies::count(Entry& entry, int change) {
  const bool before = entry.count() > 0;
  entry.delta += change;
  const bool after = entry.count() > 0;
  size_ += static_cast<uint64_t>(after) - static_cast<uint64_t>(before);
}

void Bodies::keep_bytes(Entry& entry, Blob bytes) {
  bytes_ -= entry.bytes ? entry.bytes->size() : 0;
  bytes_ += bytes ? bytes->size() : 0;
  entry.bytes = std::move(bytes);
}

Bodies::Entry& Bodies::change(BucketId bucket, BodyRef ref, int change) {
  auto at = entries_.lower_bound(ref);
  if (at == entries_.end() || at->first != ref) {
    Entry entry;
    entry.row = row_of(ref);
    entry.settled = entry.row.count;
    at = entries_.emplace_hint(at, ref, std::move(entry));
  }
  const auto [delta, new_delta] = deltas(bucket).try_emplace(ref, 0);
  if (new_delta) {
    ++at->second.holders;
    bytes_ += entry_bytes;
  }
  delta->second += change;
  count(at->second, change);
  undo_.push_back({bucket, at, change, new_delta, false});
  return at->second;
}

bool Bodies::ref(BucketId bucket, BodyRef ref, const Blob& body) {
  const auto at = entries_.find(ref);
  const bool readable = at != entries_.end() ? at->second.readable() : row_of(ref).count > 0;
  Entry& entry = change(bucket, ref, 1);
  if (readable) return false;
  ASSERT(body != nullptr);
  keep_bytes(entry, body);
  undo_.back().new_bytes = true;
  return true;
}

void Bodies::release(Entries::iterator at) {
  bytes_ -= entry_bytes;
  if (--at->second.holders > 0) return;
  keep_bytes(at->second, nullptr);
  entries_.erase(at);
}

void Bodies::settle() {
  for (const Undo& done : undo_) {
    Entry& entry = done.at->second;
    ASSERT(entry.count() >= 0);
    entry.settled = entry.count();
    if (entry.settled == 0) keep_bytes(entry, nullptr);
  }
  undo_.clear();
}

void Bodies::rollback() {
  while (!undo_.empty()) {
    const Undo last = undo_.back();
    undo_.pop_back();
    count(last.at->second, -last.change);
    if (last.new_bytes) keep_bytes(last.at->second, nullptr);
    Deltas& of_bucket = deltas(last.bucket);
    const auto delta = of_bucket.find(last.at->first);
    delta->second -= last.change;
    if (!last.new_delta) continue;
    of_bucket.erase(delta);
    release(last.at);
  }
}

Result<void> Bodies::finish_replay(const std::map<BodyRef, Blob>& offered, uint64_t size_in_tables) {
  undo_.clear();
  size_in_tables_ = size_in_tables;
  size_ = size_in_tables;
  for (auto& [ref, entry] : entries_) {
    size_ += static_cast<uint64_t>(entry.count() > 0) - static_cast<uint64_t>(entry.row.count > 0);
    entry.settled = entry.count();
    if (entry.count() < 0)
      return failure(Code::unavailable, fmt::format("journal: body {} has {} references", ref.id.packed(), entry.count()));
    if (entry.count() == 0 || entry.row.has_bytes) continue;
    const auto found = offered.find(ref);
    if (found == offered.end())
      return failure(Code::unavailable, fmt::format("journal: body {} has references and no bytes", ref.id.packed()));
    keep_bytes(entry, found->second);
  }
  return {};
}

// ── checkpoint ──

Result<void> Bodies::write_bytes(BodyRef ref, const std::string& bytes) {
  const std::string_view all = bytes;
  ASSERT(parts(all.size()) < UINT16_MAX);
  for (size_t part = 0; part < parts(all.size()); ++part) {
    const std::string key = body_key(ref, static_cast<uint16_t>(part + 1));
    TRY(backend_.put(Space::tables, key, seal(key, all.substr(part * part_bytes, part_bytes))));
  }
  return {};
}

Result<void> Bodies::erase_bytes(BodyRef ref, uint64_t size) {
  for (size_t part = 0; part < parts(size); ++part)
    TRY(backend_.erase(Space::tables, body_key(ref, static_cast<uint16_t>(part + 1))));
  return {};
}

Result<void> Bodies::move(BucketId bucket, Slice& slice) {
  for (const auto& [ref, delta] : deltas(bucket)) {
    const Entry& entry = entries_.find(ref)->second;
    Row& row = slice.rows.try_emplace(ref, entry.row).first->second;
    const Row before = row;
    row.count += delta;
    // The record that brought the bytes may be trimmed now, while another bucket still points at
    // the body: so they go into the tables with the first bucket that is moved, count or no count.
    row.has_bytes = entry.count() > 0 || row.count > 0;
    if (row.has_bytes && !before.has_bytes) {
      // Without bytes anywhere the count is zero, and a reference of this bucket is undone by another.
      if (entry.bytes) {
        row.size = entry.bytes->size();
        TRY(write_bytes(ref, *entry.bytes));
      } else {
        ASSERT(entry.count() == 0);
        row.has_bytes = false;
      }
    }
    if (!row.has_bytes && before.has_bytes) TRY(erase_bytes(ref, before.size));
    slice.size_in_tables += static_cast<uint64_t>(row.count > 0) - static_cast<uint64_t>(before.count > 0);
    if (row.count == before.count && row.has_bytes == before.has_bytes) continue;
    const std::string key = body_key(ref, 0);
    if (row.count == 0 && !row.has_bytes) {
      TRY(backend_.erase(Space::tables, key));
    } else {
      TRY(backend_.put(Space::tables, key, seal(key, pack(row))));
    }
  }
  return {};
}

void Bodies::moved(BucketId bucket) {
  ASSERT(undo_.empty());
  Deltas done;
  done.swap(deltas(bucket));
  for (const auto& [ref, delta] : done) {
    const auto at = entries_.find(ref);
    // finish_slice() has raised the row by the same: the count stays.
    at->second.delta -= delta;
    release(at);
  }
}

void Bodies::finish_slice(const Slice& slice) {
  for (const auto& [ref, row] : slice.rows) {
    Entry& entry = entries_.find(ref)->second;
    entry.row = row;
    if (row.has_bytes) keep_bytes(entry, nullptr);
  }
  size_in_tables_ = slice.size_in_tables;
}

}  // namespace canopy::store
