#include "store/bodies.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/assert.h"
#include "store/rows.h"

namespace canopy::store {
namespace {

// A part in a row of its own: two fit a page of LMDB, and a large body needs no run of free pages
// (the search for one takes seconds in an old file). Most bodies fit into the first, behind count and size.
constexpr size_t head_part_bytes = 1900;
constexpr size_t part_bytes = 2000;
// What a body costs in RAM beside its bytes: an entry, and what holds the bytes.
constexpr size_t entry_bytes = 192;

size_t parts(uint64_t size) {  // behind the head
  return size <= head_part_bytes ? 0 : static_cast<size_t>((size - head_part_bytes + part_bytes - 1) / part_bytes);
}

struct Head {
  int64_t count = 0;
  uint64_t size = 0;
  std::string_view first;
};

std::string pack(int64_t count, uint64_t size, std::string_view first) {
  std::string out;
  out.reserve(first.size() + 20);
  put_varint(out, static_cast<uint64_t>(count));
  put_varint(out, size);
  out.append(first);
  return out;
}

Head unpack(std::string_view key, std::string_view stored) {
  Cursor in(unseal_or_end(key, stored));
  Head head;
  head.count = static_cast<int64_t>(in.varint());
  head.size = in.varint();
  head.first = in.rest();
  if (!in.ok() || head.count <= 0 || head.first.size() != std::min<uint64_t>(head.size, head_part_bytes)) end_damaged(key);
  return head;
}

}  // namespace

// ── reads ──

Bodies::Row Bodies::row_of(BodyRef ref) const {
  const std::string key = body_key(ref, 0);
  const auto stored = backend_.get(Space::tables, key);
  if (!stored) return {};
  const Head head = unpack(key, *stored);
  return {head.count, head.size, true};
}

Blob Bodies::read(BodyRef ref) const {
  if (Blob known = cache_.get(ref)) return known;
  const std::string head_key = body_key(ref, 0);
  const auto stored = backend_.get(Space::tables, head_key);
  if (!stored) return nullptr;
  const Head head = unpack(head_key, *stored);
  std::string bytes;
  bytes.reserve(static_cast<size_t>(head.size));
  bytes.append(head.first);
  if (const size_t more = parts(head.size); more > 0) {
    backend_.scan(Space::tables, body_key(ref, 1), body_key(ref, static_cast<uint16_t>(more + 1)),
                  [&](std::string_view key, std::string_view part) {
                    bytes.append(unseal_or_end(key, part));
                    return true;
                  });
  }
  ASSERT(bytes.size() == head.size);
  Blob blob = make_blob(std::move(bytes));
  cache_.put(ref, blob);
  return blob;
}

Blob Bodies::get(BodyRef ref) const {
  const auto at = entries_.find(ref);
  if (at == entries_.end()) return read(ref);
  const Entry& entry = at->second;
  if (!entry.readable()) return nullptr;  // whatever the next checkpoint has still to erase
  return entry.bytes ? entry.bytes : read(ref);
}

int64_t Bodies::references(BodyRef ref) const {
  const auto at = entries_.find(ref);
  return at == entries_.end() ? row_of(ref).count : at->second.count;
}

// ── counting ──

void Bodies::count(Entry& entry, int64_t count) {
  size_ += static_cast<uint64_t>(count > 0) - static_cast<uint64_t>(entry.count > 0);
  entry.count = count;
}

void Bodies::keep_bytes(Entry& entry, Blob bytes) {
  bytes_ -= entry.bytes ? entry.bytes->size() : 0;
  bytes_ += bytes ? bytes->size() : 0;
  entry.bytes = std::move(bytes);
}

Bodies::Entries::value_type& Bodies::entry_of(BodyRef ref) {
  const auto [at, added] = entries_.try_emplace(ref);
  Entry& entry = at->second;
  if (added) {
    bytes_ += entry_bytes;
    entry.row = row_of(ref);
    entry.count = entry.settled = entry.row.count;
  }
  if (entry.batch != batch_) {
    entry.batch = batch_;
    undo_.push_back({&*at, added});
  }
  return *at;
}

bool Bodies::change(BodyRef ref, int64_t change, const Blob& body) {
  Entry& entry = entry_of(ref).second;
  const bool readable = entry.readable() || entry.bytes;
  count(entry, entry.count + change);
  if (readable || change <= 0) return false;
  ASSERT(body != nullptr);
  keep_bytes(entry, body);
  return true;
}

void Bodies::settle() {
  for (const Undo& done : undo_) {
    Entry& entry = done.at->second;
    ASSERT(entry.count >= 0);
    entry.settled = entry.count;
    if (entry.settled > 0) continue;
    keep_bytes(entry, nullptr);
    cache_.erase(done.at->first);
    if (entry.row.there) continue;
    bytes_ -= entry_bytes;  // it came and went: the tables need not hear of it
    entries_.erase(entries_.find(done.at->first));
  }
  undo_.clear();
  ++batch_;
}

void Bodies::rollback() {
  for (; !undo_.empty(); undo_.pop_back()) {
    Entry& entry = undo_.back().at->second;
    count(entry, entry.settled);
    if (entry.settled == 0) keep_bytes(entry, nullptr);
    if (!undo_.back().added) continue;
    keep_bytes(entry, nullptr);
    bytes_ -= entry_bytes;
    entries_.erase(entries_.find(undo_.back().at->first));
  }
  ++batch_;
}

Result<void> Bodies::replay(BodyRef ref, int64_t change, const Blob& body) {
  const Entry& entry = entry_of(ref).second;
  if (change > 0 && !entry.readable() && !entry.bytes && !body)
    return failure(Code::unavailable, fmt::format("journal: body {} has references and no bytes", ref.id.packed()));
  this->change(ref, change, body);
  return {};
}

Result<void> Bodies::settle_replay() {
  for (const Undo& done : undo_)
    if (done.at->second.count < 0)
      return failure(Code::unavailable, fmt::format("journal: body {} has {} references", done.at->first.id.packed(),
                                                    done.at->second.count));
  settle();
  return {};
}

// ── checkpoint ──

Result<void> Bodies::write_one(BodyRef ref, const Entry& entry) const {
  const std::string key = body_key(ref, 0);
  if (entry.count == 0) {
    for (size_t part = 0; entry.row.there && part <= parts(entry.row.size); ++part)
      TRY(backend_.erase(Space::tables, body_key(ref, static_cast<uint16_t>(part))));
    return {};
  }
  if (entry.row.there) {
    if (entry.count == entry.row.count) return {};
    const auto stored = backend_.get(Space::tables, key);
    const Head head = unpack(key, *stored);
    return backend_.put(Space::tables, key, seal(key, pack(entry.count, head.size, head.first)));
  }
  const std::string_view all = *entry.bytes;
  ASSERT(parts(all.size()) < UINT16_MAX);
  TRY(backend_.put(Space::tables, key, seal(key, pack(entry.count, all.size(), all.substr(0, head_part_bytes)))));
  for (size_t part = 0; part < parts(all.size()); ++part) {
    const std::string part_key = body_key(ref, static_cast<uint16_t>(part + 1));
    TRY(backend_.put(Space::tables, part_key, seal(part_key, all.substr(head_part_bytes + part * part_bytes, part_bytes))));
  }
  return {};
}

// In the order of the keys: ids ascend with time, so what is new stands on a few pages.
Result<void> Bodies::write() const {
  std::vector<const Entries::value_type*> sorted;
  sorted.reserve(entries_.size());
  for (const auto& entry : entries_) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  for (const auto* at : sorted) TRY(write_one(at->first, at->second));
  return {};
}

void Bodies::clear() {
  ASSERT(undo_.empty());
  for (auto& [ref, entry] : entries_)
    if (entry.bytes) cache_.put(ref, std::move(entry.bytes));
  entries_.clear();
  bytes_ = 0;
}

}  // namespace canopy::store
