#include "leaf/home.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/planted.h"
#include "leaf/chains.h"
#include "store/keys.h"
#include "store/refs.h"

namespace canopy::leaf {
namespace {

using store::KeyBuilder;
using store::Table;

// Leaves that ended with their entity: their edges wait to be erased and lead nowhere.
std::vector<LeafNo> retired_leaves(BucketId bucket, const store::Reader& reader) {
  std::vector<LeafNo> retired;
  const std::string prefix = KeyBuilder(bucket, Table::retired);
  reader.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view) {
    if (key.size() == prefix.size() + 4) retired.emplace_back(Cursor(key.substr(prefix.size())).be32());
    return true;
  });
  return retired;
}

// One source of a home, newest first, read a few at a time: the deliveries of a leaf after `since`, what a
// follow brought with it, or what was sent to the follower directly.
class Source {
 public:
  enum class Kind : uint8_t { leaf, backfill, direct };
  struct Top {
    HomeEntry entry;
    bool shared = false;
  };
  Source(BucketId bucket, LeafNo leaf, Position since, const store::Reader& reader)
      : kind_(Kind::leaf), bucket_(bucket), leaf_(leaf), below_(reader.leaf_tail(bucket, leaf).newest), since_(since) {}
  Source(Kind kind, BucketId bucket, std::string list, Position since = {})
      : kind_(kind), bucket_(bucket), list_(std::move(list)), since_(since) {}

  // Returns the newest entry not yet taken, or null.
  const Top* top(const store::Reader& reader) {
    if (at_ == page_.size() && !ended_) fill(reader);
    return at_ < page_.size() ? &page_[at_] : nullptr;
  }
  void pop() { ++at_; }

 private:
  static constexpr size_t page_max = 16;

  std::string key(Position position) const {
    std::string key = list_;
    put_be64(key, position.packed());
    return key;
  }

  void fill(const store::Reader& reader) {
    const Position last = page_.empty() ? Position() : page_.back().entry.position;
    page_.clear();
    at_ = 0;
    if (kind_ == Kind::leaf) {
      down_chain(bucket_, leaf_, below_, reader, [&](Position position, const store::DeliveryRow& row) {
        if (position <= since_) return false;
        below_ = row.before;
        if (!row.dead) page_.push_back({{position, row.ref, false}, row.shared});
        return page_.size() < page_max;
      });
    } else {
      reader.scan_back(key(since_.next()), last.zero() ? store::after_prefix(list_) : key(last), [&](std::string_view at, std::string_view value) {
        page_.push_back({{Position(Cursor(at.substr(at.size() - 8)).be64()), store::decode_ref(value), kind_ == Kind::backfill, kind_ == Kind::direct}, true});
        return page_.size() < page_max;
      });
    }
    if (page_.size() < page_max) ended_ = true;
  }

  Kind kind_;
  BucketId bucket_;
  LeafNo leaf_;
  Position below_;    // of a leaf: the row to go on with
  std::string list_;  // of the others: the prefix of their keys, which end with the position
  Position since_;
  std::vector<Top> page_;
  size_t at_ = 0;
  bool ended_ = false;
};

}  // namespace

Ways::Ways(BucketId bucket, MessageId id, const store::Reader& reader) : bucket_(bucket) {
  using Kind = store::PlaceKind;
  std::vector<LeafNo> retired;
  bool looked = false;
  store::visit_places(bucket, id, reader, [&](const store::Place& place) {
    if (place.kind != Kind::delivery && place.kind != Kind::direct && place.kind != Kind::backfill) return true;
    if (place.kind != Kind::direct) {
      if (!std::exchange(looked, true)) retired = retired_leaves(bucket, reader);
      const LeafNo leaf(place.kind == Kind::delivery ? place.number : place.second);
      if (std::find(retired.begin(), retired.end(), leaf) != retired.end()) return true;
    }
    places_.push_back(place);
    return true;
  });
}

bool Ways::lower(EntityNo follower, Position position, const store::Reader& reader) const {
  if (planted("second way shown")) return false;
  return std::any_of(places_.begin(), places_.end(), [&](const store::Place& place) {
    if (place.position() >= position) return false;
    const bool delivery = place.kind == store::PlaceKind::delivery;
    if (!delivery && place.number != follower.value()) return false;
    if (place.kind == store::PlaceKind::direct) return true;
    const auto edge = reader.get(KeyBuilder(bucket_, Table::edge).add(follower).add(LeafNo(delivery ? place.number : place.second)));
    if (!edge) return false;
    return delivery ? decode_edge(*edge).since < place.position() : decode_edge(*edge).begin() <= place.position();
  });
}

std::string encode_edge(const Edge& edge) {
  std::string value;
  put_be64(value, edge.since.packed());
  if (edge.backfill > 0) put_be32(value, edge.backfill);
  return value;
}

Edge decode_edge(std::string_view value) {
  Cursor in(value);
  Edge edge;
  edge.since = Position(in.be64());
  if (in.left() > 0) edge.backfill = in.be32();
  ASSERT(in.done());
  return edge;
}

size_t erase_backfill(BucketId bucket, EntityNo follower, LeafNo leaf, size_t max, const store::Reader& reader, store::Writes& writes) {
  size_t erased = 0;
  const std::string list = KeyBuilder(bucket, Table::backfill).add(follower).add(leaf);
  const auto edge = reader.get(KeyBuilder(bucket, Table::edge).add(follower).add(leaf));
  const std::string end = edge ? std::string(KeyBuilder(bucket, Table::backfill).add(follower).add(leaf).add(decode_edge(*edge).begin()))
                               : store::after_prefix(list);
  reader.scan(list, end, [&](std::string_view key, std::string_view value) {
    const BodyRef ref = store::decode_ref(value);
    writes.erase(std::string(key));
    writes.unref(ref);
    writes.erase(store::place_key(bucket, ref.id, store::PlaceKind::backfill, follower.value(), leaf.value()));
    return ++erased < max;
  });
  return erased;
}

Home read_home(BucketId bucket, EntityNo follower, size_t capacity, const store::Reader& reader) {
  std::vector<Source> sources;
  const std::vector<LeafNo> retired = retired_leaves(bucket, reader);
  const std::string edges = KeyBuilder(bucket, Table::edge).add(follower);
  reader.scan(edges, store::after_prefix(edges), [&](std::string_view key, std::string_view value) {
    const LeafNo leaf(Cursor(key.substr(key.size() - 4)).be32());
    if (std::find(retired.begin(), retired.end(), leaf) != retired.end()) return true;
    const Edge edge = decode_edge(value);
    sources.emplace_back(bucket, leaf, edge.since, reader);
    if (edge.backfill > 0)
      sources.emplace_back(Source::Kind::backfill, bucket, KeyBuilder(bucket, Table::backfill).add(follower).add(leaf), Position(edge.begin().packed() - 1));
    return true;
  });
  sources.emplace_back(Source::Kind::direct, bucket, KeyBuilder(bucket, Table::direct).add(follower));

  using Head = std::pair<Position, size_t>;  // newest first
  std::priority_queue<Head> heads;
  for (size_t i = 0; i < sources.size(); ++i)
    if (const auto* top = sources[i].top(reader)) heads.emplace(top->entry.position, i);

  Home home;
  while (!heads.empty()) {
    const size_t i = heads.top().second;
    heads.pop();
    const Source::Top top = *sources[i].top(reader);
    sources[i].pop();
    if (const auto* next = sources[i].top(reader)) heads.emplace(next->entry.position, i);
    if (top.shared && Ways(bucket, top.entry.ref.id, reader).lower(follower, top.entry.position, reader)) continue;
    if (home.entries.size() == capacity) {
      home.left = top.entry.position;
      break;
    }
    home.entries.push_front(top.entry);
  }
  return home;
}

}  // namespace canopy::leaf
