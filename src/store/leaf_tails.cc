#include "store/leaf_tails.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "store/keys.h"
#include "store/rows.h"

namespace canopy::store {
namespace {

constexpr uint32_t leaves_in_row = 64;  // never to change
constexpr uint8_t row_version = 1;
using Tails = std::array<LeafTail, leaves_in_row>;

std::string tails_key(BucketId bucket, LeafNo leaf) {
  return KeyBuilder(bucket, Table::tails).add(leaf.value() / leaves_in_row);
}

// version, a bit for each leaf that is there, the highest position; for each leaf its stream number, and how far
// its position is below the highest.
std::string pack(const Tails& tails) {
  uint64_t there = 0;
  Position highest;
  for (uint32_t i = 0; i < leaves_in_row; ++i) {
    if (tails[i] != LeafTail()) there |= uint64_t{1} << i;
    highest = std::max(highest, tails[i].newest);
  }
  std::string out;
  if (there == 0) return out;
  put_u8(out, row_version);
  put_be64(out, there);
  put_varint(out, highest.packed());
  for (const LeafTail& tail : tails) {
    if (tail == LeafTail()) continue;
    put_varint(out, tail.applied.packed());
    put_varint(out, highest.packed() - tail.newest.packed());
  }
  return out;
}

// Unpacks as far as leaf `last` of the row.
Tails unpack(std::string_view key, std::string_view stored, uint32_t last) {
  Cursor in(unseal_or_end(key, stored));
  Tails tails;
  if (in.u8() != row_version) end_damaged(key);
  const uint64_t there = in.be64();
  const uint64_t highest = in.varint();
  for (uint64_t left = there; left != 0; left &= left - 1) {
    const auto i = static_cast<uint32_t>(std::countr_zero(left));
    if (i > last) break;
    tails[i].applied = StreamNo(in.varint());
    tails[i].newest = Position(highest - in.varint());
  }
  if (!in.ok()) end_damaged(key);
  return tails;
}

}  // namespace

LeafTail stored_tail(const Backend& backend, BucketId bucket, LeafNo leaf) {
  const std::string key = tails_key(bucket, leaf);
  const auto stored = backend.get(Space::tables, key);
  const uint32_t at = leaf.value() % leaves_in_row;
  return stored ? unpack(key, *stored, at)[at] : LeafTail();
}

Result<void> write_tails(Backend& backend, BucketId bucket, const std::vector<TailChange>& changes) {
  for (auto change = changes.begin(); change != changes.end();) {
    const std::string key = tails_key(bucket, change->leaf);
    const uint32_t row = change->leaf.value() / leaves_in_row;
    const auto stored = backend.get(Space::tables, key);
    Tails tails = stored ? unpack(key, *stored, leaves_in_row) : Tails();
    for (; change != changes.end() && change->leaf.value() / leaves_in_row == row; ++change) {
      LeafTail& tail = tails[change->leaf.value() % leaves_in_row];
      tail = change->tail == LeafTail() ? LeafTail() : further(tail, change->tail);
    }
    const std::string packed = pack(tails);
    if (!packed.empty()) {
      TRY(backend.put(Space::tables, key, seal(key, packed)));
    } else if (stored) {
      TRY(backend.erase(Space::tables, key));
    }
  }
  return {};
}

}  // namespace canopy::store
