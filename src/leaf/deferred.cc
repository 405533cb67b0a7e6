#include "leaf/deferred.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/assert.h"
#include "base/planted.h"
#include "leaf/chains.h"
#include "leaf/home.h"
#include "store/keys.h"

namespace canopy::leaf {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr size_t leaves_max = 100'000;
// Rather than all edges of the follower: so many leaves are asked, or so many positions looked at, one by one.
constexpr size_t few = 32;
constexpr size_t dead_links = 64;   // walked beside the rows that are wanted

}  // namespace

Deferred::Late* Deferred::add(LeafNo leaf, Position at) {
  if (leaves_.size() >= leaves_max) return nullptr;
  Late& late = leaves_.add(leaf.value());
  late = {Position(at.packed() - 1), at};
  return &late;
}

void Deferred::erase(LeafNo leaf) {
  if (!leaves_.find(leaf.value())) return;
  leaves_.erase(leaf.value());
  if (leaves_.empty()) newest_ = Position();
}

void Deferred::clear() {
  leaves_ = {};
  newest_ = Position();
}

void Deferred::settle(Position upto) {
  std::vector<LeafNo> over;
  leaves_.each([&](uint64_t leaf, const Late& late) {
    if (late.newest <= upto) over.emplace_back(static_cast<uint32_t>(leaf));
  });
  if (over.size() == leaves_.size()) return clear();
  for (const LeafNo leaf : over) erase(leaf);
}

// Of one timeline.
struct Deferred::Walk {
  BucketId bucket;
  EntityNo follower;
  Position synced;
  size_t rows_max, links_left;
  const store::Reader& reader;
  std::vector<Position>& rows;

  // A message that came by another way before is shown there: as it is now, so as the store would be read now.
  bool shown(Position position, const store::DeliveryRow& row) const {
    return !row.dead && (!row.shared || !Ways(bucket, row.ref.id, reader).lower(follower, position, reader));
  }
  // Since when the follower has what the leaf gets; nothing: he does not follow it.
  std::optional<Position> since(LeafNo leaf) const {
    const auto edge = reader.get(KeyBuilder(bucket, Table::edge).add(follower).add(leaf));
    if (!edge) return std::nullopt;
    return decode_edge(*edge).since;
  }
  // Down the chain of a leaf. Returns false when that is too far.
  bool down(LeafNo leaf, const Late& late, Position since) {
    const Position above = std::max({synced, late.since, since});
    bool begun = false, over = true;
    const auto visit = [&](Position position, const store::DeliveryRow& row) {
      begun = true;
      if (position <= above) return false;
      if (position <= late.newest && shown(position, row)) rows.push_back(position);
      if (row.before <= above) return false;  // mostly there is one new row: the one below need not be looked at
      over = links_left > 0 && rows.size() <= rows_max;
      if (over) --links_left;
      return over;
    };
    down_chain(bucket, leaf, late.newest, reader, visit);
    // That row was retracted, and the link that it left has gone; or this step wrote it.
    if (!begun) down_chain(bucket, leaf, reader.leaf_tail(bucket, leaf).newest, reader, visit);
    return over;
  }
};

bool Deferred::collect(EntityNo follower, Position synced, size_t max, const store::Reader& reader, std::vector<Position>& rows) const {
  if (newest_ <= synced) return true;
  const size_t links = max > SIZE_MAX - dead_links ? max : max + dead_links;
  Walk walk{bucket_, follower, synced, max, links, reader, rows};
  const bool forgetful = planted("a merge forgets a leaf");
  if (newest_.packed() - synced.packed() <= few) {
    // So few operations since then: their rows, whosever they are.
    reader.deliveries(bucket_, synced.next(), newest_.next(), [&](Position position, const store::DeliveryRow& row) {
      if (row.dead) return true;
      const Late* const late = leaves_.find(row.leaf.value());
      if (!late || position <= late->since || position > late->newest || (forgetful && row.leaf.value() % 7 == 0)) return true;
      const auto since = walk.since(row.leaf);
      if (since && position > *since && walk.shown(position, row)) rows.push_back(position);
      return true;
    });
    return rows.size() <= max;
  }
  bool all = true;
  if (leaves_.size() <= few) {
    leaves_.each([&](uint64_t no, const Late& late) {
      const LeafNo leaf(static_cast<uint32_t>(no));
      if (!all || late.newest <= synced || (forgetful && no % 7 == 0)) return;
      if (const auto since = walk.since(leaf)) all = walk.down(leaf, late, *since);
    });
  } else {
    const std::string edges = KeyBuilder(bucket_, Table::edge).add(follower);
    reader.scan(edges, store::after_prefix(edges), [&](std::string_view key, std::string_view edge) {
      const LeafNo leaf(Cursor(key.substr(key.size() - 4)).be32());
      const Late* const late = leaves_.find(leaf.value());
      if (late && late->newest > synced && !(forgetful && leaf.value() % 7 == 0)) all = walk.down(leaf, *late, decode_edge(edge).since);
      return all;
    });
  }
  std::sort(rows.begin(), rows.end());
  return all && rows.size() <= max;
}

}  // namespace canopy::leaf
