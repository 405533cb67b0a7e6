#include "leaf/chains.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "leaf/home.h"
#include "store/keys.h"
#include "store/places.h"

namespace canopy::leaf {
namespace {

using store::DeliveryRow;
using store::KeyBuilder;
using store::Table;

constexpr size_t near_steps = 256;        // of a chain, before time is asked where to look
constexpr size_t window_back = 256, window_ahead = 2'048;  // rows looked at where time leads
constexpr size_t dead_joined_max = 256;   // rows that one retraction lets go
constexpr size_t dead_run_max = 64;       // dead links in a row that a trimming walk leaves

// Returns the first position whose row, or the next one behind it, is of a message not older than `time_ms`.
Position where_at(BucketId bucket, uint64_t time_ms, Position newest, const store::Reader& reader) {
  uint64_t low = 0, high = newest.packed();
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    std::optional<std::pair<Position, uint64_t>> at;
    size_t dead = 0;
    reader.deliveries(bucket, Position(middle), Position(high), [&](Position position, const DeliveryRow& row) {
      if (!row.dead) at.emplace(position, row.ref.id.time_ms());
      return row.dead && ++dead < near_steps;
    });
    if (!at || at->second >= time_ms) high = middle;
    else low = at->first.packed() + 1;
  }
  return Position(low);
}

}  // namespace

std::optional<Position> find_in_chain(BucketId bucket, LeafNo leaf, StreamNo no, MessageId id, Position above,
                                      const store::Reader& reader) {
  std::optional<Position> found;
  Position at = reader.leaf_tail(bucket, leaf).newest;
  const Position newest = at;
  bool over = true;
  const auto down = [&](size_t steps) {
    down_chain(bucket, leaf, std::exchange(at, Position()), reader, [&](Position position, const DeliveryRow& row) {
      at = position;
      if (position <= above) return false;
      if (!row.dead && row.no == no) found = position;
      if (!row.dead && row.no <= no) return false;
      over = --steps > 0;
      return over;
    });
  };
  down(near_steps);
  if (found || over) return found;

  // Far down. Rows stand about in the order of their messages' times: one of this leaf near there that is
  // not below the number is a place to go down from.
  const Position landed = where_at(bucket, id.time_ms(), newest, reader);
  std::optional<Position> start;
  size_t left = window_back;
  const Position lowest = above.next();
  if (lowest < landed) reader.deliveries_back(bucket, lowest, landed, [&](Position position, const DeliveryRow& row) {
    if (row.leaf == leaf && !row.dead && row.no >= no) start = position;
    return (row.leaf != leaf || row.dead || row.no > no) && --left > 0;
  });
  if (!start && lowest <= newest) {
    left = window_ahead;
    reader.deliveries(bucket, std::max(landed, lowest), newest.next(), [&](Position position, const DeliveryRow& row) {
      if (row.leaf == leaf && !row.dead && row.no >= no) start = position;
      return !start && --left > 0;
    });
  }
  if (start && *start < at) at = *start;
  down(SIZE_MAX);
  return found;
}

void forget_row(BucketId bucket, Position position, const DeliveryRow& row, store::Writes& writes) {
  if (row.shared && !row.dead) writes.erase(store::place_key(bucket, row.ref.id, store::PlaceKind::delivery, row.leaf.value()));
  writes.forget(position, row.ref);
}

Died retract_row(BucketId bucket, Position position, const DeliveryRow& row, bool join, Position newer,
                 const store::Reader& reader, store::Writes& writes) {
  if (row.shared) writes.erase(store::place_key(bucket, row.ref.id, store::PlaceKind::delivery, row.leaf.value()));
  Position before = row.before;
  size_t gone = 0;
  if (join) {
    down_chain(bucket, row.leaf, row.before, reader, [&](Position below, const DeliveryRow& link) {
      if (!link.dead || gone == dead_joined_max) return false;
      writes.forget(below, link.ref);
      before = link.before;
      return ++gone > 0;
    });
    const auto link = newer > position ? reader.delivery(bucket, newer) : std::nullopt;
    if (link && link->leaf == row.leaf && link->dead && link->before == position) {
      writes.relink(newer, before);
      writes.forget(position, row.ref);
      return {newer, gone + 1};
    }
  }
  writes.die(position, row.ref);
  if (before != row.before) writes.relink(position, before);
  return {position, gone};
}

Trim::Slice Trim::slice(BucketId bucket, size_t max, const store::Reader& reader, store::Writes& writes) {
  Slice slice;
  const size_t look_max = 4 * max;
  size_t looked = 0;
  std::unordered_map<LeafNo, Position> boundaries;  // from here on rows stay; zero: all
  std::unordered_set<Position> gone;                // links in the middle of a chain, let go in this slice

  // Walks to the boundary of a leaf, and shortens the way to it.
  const auto find_boundary = [&](LeafNo leaf) {
    if (!reader.get(KeyBuilder(bucket, Table::leaf).add(leaf))) return Position();  // retired: erased from its newest on
    Position boundary, live;
    size_t newest = 0;
    std::vector<std::pair<Position, DeliveryRow>> run;
    const auto skip_run = [&](Position to) {
      writes.relink(live, to);
      for (const auto& [position, row] : run) {
        forget_row(bucket, position, row, writes);
        gone.insert(position);
      }
      slice.gone += run.size();
    };
    down_chain(bucket, leaf, reader.leaf_tail(bucket, leaf).newest, reader, [&](Position position, const DeliveryRow& row) {
      ++looked;
      if (row.dead) {
        if (!live.zero()) run.emplace_back(position, row);
        return run.size() < look_max;
      }
      if (run.size() > dead_run_max) skip_run(position);
      run.clear();
      live = position;
      if (++newest == newest_kept) boundary = position;
      return newest < newest_kept;
    });
    if (newest < newest_kept && !run.empty() && run.size() < look_max) skip_run(Position());  // nothing lives below
    return boundary;
  };

  Position at = next_;
  active_ = false;
  reader.deliveries(bucket, next_, horizon_, [&](Position position, const DeliveryRow& row) {
    if (slice.gone >= max || looked >= look_max) {
      active_ = true;
      return false;
    }
    ++looked;
    at = position.next();
    auto boundary = boundaries.find(row.leaf);
    if (boundary == boundaries.end()) boundary = boundaries.emplace(row.leaf, find_boundary(row.leaf)).first;
    if (position >= boundary->second || gone.contains(position)) return true;
    forget_row(bucket, position, row, writes);
    ++slice.gone;
    slice.elsewhere = slice.elsewhere || (row.shared && !row.dead && !Ways(bucket, row.ref.id, reader).single());
    return true;
  });
  next_ = at;
  return slice;
}

}  // namespace canopy::leaf
