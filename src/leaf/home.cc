#include "leaf/home.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/planted.h"
#include "leaf/leaves.h"
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
  Source(Kind kind, std::string list, Position since = {}) : kind_(kind), list_(std::move(list)), since_(since) {}

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
    const std::string to = page_.empty() ? store::after_prefix(list_) : key(page_.back().entry.position);
    page_.clear();
    at_ = 0;
    reader.scan_back(key(since_.next()), to, [&](std::string_view at, std::string_view value) {
      Top top;
      top.entry.position = Position(Cursor(at.substr(at.size() - 8)).be64());
      if (kind_ == Kind::leaf) {
        const DeliveryRecord record = decode_delivery(value);
        top.entry.ref = record.ref;
        top.shared = record.shared;
      } else {
        top.entry.ref = store::decode_ref(value);
        top.entry.backfilled = kind_ == Kind::backfill;
        top.shared = true;
      }
      page_.push_back(top);
      return page_.size() < page_max;
    });
    if (page_.size() < page_max) ended_ = true;
  }

  Kind kind_;
  std::string list_;  // the prefix of its keys, which end with the position
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
    sources.emplace_back(Source::Kind::leaf, KeyBuilder(bucket, Table::delivery).add(leaf), edge.since);
    if (edge.backfill > 0)
      sources.emplace_back(Source::Kind::backfill, KeyBuilder(bucket, Table::backfill).add(follower).add(leaf), Position(edge.begin().packed() - 1));
    return true;
  });
  sources.emplace_back(Source::Kind::direct, KeyBuilder(bucket, Table::direct).add(follower));

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

void Timelines::limit(size_t capacity, size_t bytes_max, Duration window) {
  if (capacity != capacity_) drop_all();
  capacity_ = capacity;
  bytes_max_ = bytes_max;
  window_ = window;
}

const Home& Timelines::open(EntityNo follower, Now now, const store::Reader& reader) {
  auto it = homes_.find(follower);
  if (it == homes_.end()) {
    it = homes_.emplace(follower, read_home(bucket_, follower, capacity_, reader)).first;
    entries_ += it->second.entries.size();
    make_room(follower);
  }
  it->second.last_read = now.instant;
  return it->second;
}

Position Timelines::append(EntityNo follower, const HomeEntry& entry) {
  Home& home = homes_.at(follower);
  const Position previous = home.entries.empty() ? Position() : home.entries.back().position;
  ASSERT(previous < entry.position);
  if (planted("warm list out of order") && home.entries.size() % 5 == 4)
    home.entries.insert(home.entries.end() - 1, entry);
  else
    home.entries.push_back(entry);
  ++entries_;
  if (home.entries.size() > capacity_) {
    home.left = home.entries.front().position;
    home.entries.pop_front();
    --entries_;
  }
  if (bytes() > bytes_max_) make_room(follower);
  return previous;
}

bool Timelines::holds(EntityNo follower, Position position) const {
  const auto it = homes_.find(follower);
  return it != homes_.end() && std::binary_search(it->second.entries.begin(), it->second.entries.end(), HomeEntry{position, {}, false},
                                                  [](const HomeEntry& a, const HomeEntry& b) { return a.position < b.position; });
}

bool Timelines::retract(EntityNo follower, Position position) {
  const auto it = homes_.find(follower);
  if (it == homes_.end()) return false;
  auto& entries = it->second.entries;
  const auto at = std::lower_bound(entries.begin(), entries.end(), position,
                                   [](const HomeEntry& e, Position p) { return e.position < p; });
  if (at == entries.end() || at->position != position) return false;
  if (!it->second.left.zero()) {
    drop(follower);
    return true;
  }
  entries.erase(at);
  --entries_;
  return true;
}

void Timelines::drop(EntityNo follower) {
  const auto it = homes_.find(follower);
  if (it == homes_.end()) return;
  entries_ -= it->second.entries.size();
  homes_.erase(it);
}

void Timelines::drop_with_entries_below(Position horizon) {
  std::erase_if(homes_, [&](const auto& e) {
    const auto& entries = e.second.entries;
    const bool below = !entries.empty() && entries.front().position < horizon;
    if (below) entries_ -= entries.size();
    return below;
  });
}

void Timelines::drop_all() {
  homes_.clear();
  entries_ = 0;
}

void Timelines::drop_unused(Now now, const std::function<bool(EntityNo)>& keep) {
  std::erase_if(homes_, [&](const auto& e) {
    const bool unused = now.instant - e.second.last_read > window_ && !keep(e.first);
    if (unused) entries_ -= e.second.entries.size();
    return unused;
  });
}

// Drops the coldest half of the timelines (but one): rare, so a sort is cheap enough. What is
// dropped is a cache; whoever tails it reads it again from the store.
void Timelines::make_room(EntityNo but) {
  if (bytes() <= bytes_max_) return;
  std::vector<std::pair<Instant, EntityNo>> by_age;
  for (const auto& [no, home] : homes_)
    if (no != but) by_age.emplace_back(home.last_read, no);
  std::sort(by_age.begin(), by_age.end());
  for (const auto& [age, no] : by_age) {
    if (bytes() <= bytes_max_ / 2) break;
    drop(no);
  }
}

void Timelines::check(const store::Reader& reader) const {
  size_t entries = 0;
  for (const auto& [no, home] : homes_) {
    entries += home.entries.size();
    const Home cold = read_home(bucket_, no, capacity_, reader);
    ASSERT(home.entries == cold.entries && home.left >= cold.left);
  }
  ASSERT(entries == entries_);
}

}  // namespace canopy::leaf
