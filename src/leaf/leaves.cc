#include "leaf/leaves.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "leaf/chains.h"
#include "leaf/followers.h"
#include "leaf/home.h"
#include "store/keys.h"
#include "store/packed_set.h"
#include "store/places.h"
#include "store/refs.h"

namespace canopy::leaf {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr uint8_t leaf_record_version = 1;
constexpr Duration fetch_first_wait = Duration::of_ms(200);
constexpr Duration fetch_longest_wait = Duration::of_s(5);
constexpr size_t leaves_cached_max = 100'000;
constexpr size_t retired_per_slice = 100;
constexpr size_t followers_in_ram_max = 65'536;  // of one leaf; those of a larger one are visited in the store
constexpr size_t rows_beside = 1'024;            // looked at around the last one that was found

size_t parked_bytes(const wire::StreamItem& item) { return sizeof item + (item.message ? item.message->size() : 0); }

// The value of a `retired` row: the newest delivery that is not erased yet.
std::string encode_position(Position position) {
  std::string value;
  put_be64(value, position.packed());
  return value;
}

}  // namespace

void Leaves::reset() {
  leaves_.clear();
  ++epoch_;
  deferred_.clear();
  fetches_.clear();
  parked_ = parked_bytes_ = followers_bytes_ = 0;
}

Leaf* Leaves::find(std::string_view reflector, const store::Reader& reader) {
  if (const auto it = leaves_.find(reflector); it != leaves_.end()) {
    it->second->plain = false;  // whoever asks may change that
    return it->second.get();
  }
  const auto number = reader.get(KeyBuilder(bucket_, Table::leaf_no).add(reflector));
  if (!number) return nullptr;

  // A quiet leaf can be read again any time; a walk in an unordered map is fine, nobody sees its order.
  if (leaves_.size() >= leaves_cached_max) {
    ++epoch_;
    std::erase_if(leaves_, [this](const auto& e) {
      const bool quiet = e.second->parked.empty() && e.second->fetch_again == Instant::never();
      if (quiet) followers_changed(*e.second);
      return quiet;
    });
  }

  auto leaf = std::make_unique<Leaf>();
  leaf->no = LeafNo(Cursor(*number).be32());
  leaf->reflector = reflector;
  const auto record = reader.get(KeyBuilder(bucket_, Table::leaf).add(leaf->no));
  const store::LeafTail tail = reader.leaf_tail(bucket_, leaf->no);
  ASSERT(record);
  Cursor in(*record);
  const uint8_t version = in.u8();
  leaf->welcomed = in.u8() != 0;
  leaf->generation = Position(in.be64());
  const std::string_view stored_name = in.string();
  ASSERT(in.done() && version == leaf_record_version && stored_name == reflector);
  leaf->applied = tail.applied;
  leaf->newest = tail.newest;
  leaf->known = leaf->applied;
  leaf->mode = lazy_ && lazy_->lazy(leaf->no) ? Mode::lazy : first_mode_;
  leaf->until_look = first_look_;
  leaf->late = deferred_.find(leaf->no);
  const std::string forwards = KeyBuilder(bucket_, Table::forward).add(leaf->no);
  reader.scan(forwards, store::after_prefix(forwards), [&](std::string_view key, std::string_view value) {
    Cursor edge(value);
    ForwardEdge forward{EntityNo(Cursor(key.substr(forwards.size())).be32()), Position(edge.be64()), edge.u8() != 0, edge.u8() != 0};
    ASSERT(edge.done());
    leaf->forwards.push_back(forward);
    return true;
  });
  return leaves_.emplace(std::string(reflector), std::move(leaf)).first->second.get();
}

Leaf* Leaves::create(std::string_view reflector, LeafNo no, Position generation, store::Writes& writes) {
  auto leaf = std::make_unique<Leaf>();
  leaf->no = no;
  leaf->reflector = reflector;
  leaf->generation = generation;
  leaf->mode = first_mode_;
  leaf->until_look = first_look_;
  std::string number;
  put_be32(number, no.value());
  writes.put(KeyBuilder(bucket_, Table::leaf_no).add(reflector), number);
  save(*leaf, writes);
  Leaf* const created = leaf.get();
  const bool fresh = leaves_.emplace(std::string(reflector), std::move(leaf)).second;
  ASSERT(fresh);
  return created;
}

void Leaves::retire(std::string_view reflector, store::Writes& writes) {
  const auto it = leaves_.find(reflector);
  ASSERT(it != leaves_.end());
  Leaf& leaf = *it->second;
  while (!leaf.parked.empty()) unpark(leaf, leaf.parked.begin());
  schedule(leaf, Instant::never());
  followers_changed(leaf);
  deferred_.erase(leaf.no);
  writes.erase(KeyBuilder(bucket_, Table::leaf_no).add(reflector));
  writes.erase(KeyBuilder(bucket_, Table::leaf).add(leaf.no));
  writes.erase(KeyBuilder(bucket_, Table::applied).add(leaf.no));
  for (const ForwardEdge& forward : leaf.forwards) {
    writes.erase(KeyBuilder(bucket_, Table::forward).add(leaf.no).add(forward.to));
    writes.erase(KeyBuilder(bucket_, Table::forward_of).add(forward.to).add(leaf.no));
  }
  writes.put(KeyBuilder(bucket_, Table::retired).add(leaf.no), encode_position(leaf.newest));
  leaves_.erase(it);
  ++epoch_;
}

Leaf* Leaves::rename(std::string_view alias, std::string_view entity, Position generation, store::Writes& writes) {
  auto node = leaves_.extract(std::string(alias));
  ++epoch_;
  ASSERT(!node.empty() && !node.mapped()->welcomed);
  Leaf& leaf = *node.mapped();
  schedule(leaf, Instant::never());
  leaf.reflector = entity;
  leaf.generation = generation;
  std::string number;
  put_be32(number, leaf.no.value());
  writes.erase(KeyBuilder(bucket_, Table::leaf_no).add(alias));
  writes.put(KeyBuilder(bucket_, Table::leaf_no).add(entity), number);
  save(leaf, writes);
  node.key() = std::string(entity);
  const auto placed = leaves_.insert(std::move(node));
  ASSERT(placed.inserted);
  return placed.position->second.get();
}

bool Leaves::on_welcome(Leaf& leaf, const wire::Welcome& welcome, store::Writes& writes) {
  if (welcome.generation != leaf.generation && !planted("welcome of an old generation taken")) return false;
  if (leaf.welcomed) return true;
  leaf.welcomed = true;
  leaf.applied = StreamNo(welcome.first.packed() - 1);
  leaf.known = std::max(leaf.known, leaf.applied);
  save(leaf, writes);
  save_applied(leaf, writes);
  return true;
}

Taken Leaves::on_item(Leaf& leaf, const wire::StreamItem& item, Applying& applying) {
  leaf.known = std::max(leaf.known, item.no);
  if (leaf.welcomed) {
    if (item.no <= leaf.applied && !planted("duplicate check off")) return Taken::repeat;
    if (item.no == leaf.applied.next() || planted("gap applied") || item.no <= leaf.applied) {
      apply(leaf, item, applying);
      drain_parked(leaf, applying);
      return Taken::applied;
    }
  }
  if (leaf.parked.contains(item.no)) return Taken::parked;
  if (leaf.parked.size() >= limits::park_max || parked_bytes_ + parked_bytes(item) > limits::parked_bytes_max)
    return Taken::refused;
  leaf.parked.emplace(item.no, item);
  ++parked_;
  parked_bytes_ += parked_bytes(item);
  return Taken::parked;
}

void Leaves::unpark(Leaf& leaf, Parked::iterator at) {
  --parked_;
  parked_bytes_ -= parked_bytes(at->second);
  leaf.parked.erase(at);
}

bool Leaves::delivered(const Leaf& leaf, MessageId id, const Applying& applying) const {
  return store::find_place(bucket_, id, store::PlaceKind::delivery, leaf.no.value(), applying.reader) ||
         std::any_of(applying.deliveries.begin(), applying.deliveries.end(), [id](const Delivery& d) { return d.ref.id == id; });
}

void Leaves::apply(Leaf& leaf, const wire::StreamItem& item, Applying& applying) {
  leaf.applied = item.no;
  if (!deliver(leaf, item, applying)) save_applied(leaf, applying.writes);
}

// Returns false for an item that leaves no row.
bool Leaves::deliver(Leaf& leaf, const wire::StreamItem& item, Applying& applying) {
  if (item.kind == wire::StreamItem::Kind::ended) applying.ended = true;
  if (item.kind == wire::StreamItem::Kind::retraction) applying.retractions.push_back({item.ref.id, item.target, item.hops});
  if (item.kind != wire::StreamItem::Kind::message || applying.doomed.contains(item.ref.id) || applying.dead(item.ref.id)) return false;
  // A retraction that waits here wins already: a step does not see the delivery that it would have to erase.
  for (const auto& [no, parked] : leaf.parked)
    if (parked.kind == wire::StreamItem::Kind::retraction && parked.ref.id == item.ref.id) return false;
  // A loop of forwards can bring it again, when its streams no longer know it.
  if (item.shared && !planted("forward without hop or repeat check") && delivered(leaf, item.ref.id, applying)) return false;
  const Position position = applying.take_position();
  applying.writes.deliver(position, {leaf.no, item.no, item.ref, leaf.newest, item.shared, false}, item.message);
  leaf.newest = position;
  if (item.shared)
    store::put_place(bucket_, item.ref.id, store::PlaceKind::delivery, leaf.no.value(), position.packed(), applying.writes);
  applying.deliveries.push_back({leaf.no, position, item.ref, item.message, item.shared, item.hops});
  return true;
}

void Leaves::drain_parked(Leaf& leaf, Applying& applying) {
  while (!leaf.parked.empty() && !applying.ended) {
    const auto first = leaf.parked.begin();
    if (first->first > leaf.applied.next()) return;
    if (first->first == leaf.applied.next()) apply(leaf, first->second, applying);
    unpark(leaf, first);
  }
}

std::optional<Position> Leaves::find_delivery(Leaf& leaf, StreamNo no, MessageId id, Position above, const store::Reader& reader) const {
  std::optional<Position> found;
  size_t left = rows_beside;
  const auto take = [&](Position position, const store::DeliveryRow& row) {
    if (row.leaf == leaf.no && !row.dead && row.no == no) found = position;
    return !found && --left > 0;
  };
  if (leaf.found_at > above) {
    if (no > leaf.found_no) reader.deliveries(bucket_, leaf.found_at.next(), leaf.newest.next(), take);
    else down_chain(bucket_, leaf.no, leaf.found_at, reader, take);
  }
  if (!found || *found <= above) found = find_in_chain(bucket_, leaf.no, no, id, above, reader);
  if (found) {
    leaf.found_no = no;
    leaf.found_at = *found;
  }
  return found;
}

void Leaves::load_followers(Leaf& leaf, const store::Reader& reader) {
  std::vector<uint32_t> all;
  Followers(bucket_, leaf.no, reader).visit_chunks([&](const uint32_t* numbers, size_t n) {
    all.insert(all.end(), numbers, numbers + n);
    return all.size() <= followers_in_ram_max;
  });
  if (all.size() > followers_in_ram_max) {
    leaf.followers_in_ram = Leaf::InRam::too_many;
    return;
  }
  FollowerArray followers(all);
  const size_t bytes = followers.bytes();
  if (followers_bytes_ + bytes > followers_bytes_max_)
    for (auto& [name, other] : leaves_) followers_changed(*other);
  leaf.followers = std::move(followers);
  leaf.followers_in_ram = Leaf::InRam::yes;
  followers_bytes_ += bytes;
}

void Leaves::visit_stored_followers(const Leaf& leaf, const store::Reader& reader,
                                    const std::function<void(const uint32_t*, size_t)>& visit) const {
  Followers(bucket_, leaf.no, reader).visit_chunks([&](const uint32_t* numbers, size_t n) { return visit(numbers, n), true; });
}

void Leaves::follower_added(Leaf& leaf, EntityNo follower) {
  if (leaf.followers_in_ram != Leaf::InRam::yes) return;
  if (planted("followers in memory miss a follow")) return;
  if (leaf.followers.size() == followers_in_ram_max) return followers_changed(leaf);
  followers_bytes_ -= leaf.followers.bytes();
  leaf.followers.insert(follower.value());
  followers_bytes_ += leaf.followers.bytes();
}

void Leaves::follower_removed(Leaf& leaf, EntityNo follower) {
  if (leaf.followers_in_ram != Leaf::InRam::yes) return;
  leaf.followers.erase(follower.value());
}

void Leaves::followers_changed(Leaf& leaf) {
  followers_bytes_ -= leaf.followers.bytes();
  leaf.followers.clear();
  leaf.followers_in_ram = Leaf::InRam::no;
}

bool Leaves::followed_by(Leaf& leaf, EntityNo follower, const store::Reader& reader) {
  if (leaf.followers_in_ram == Leaf::InRam::no) load_followers(leaf, reader);
  if (leaf.followers_in_ram == Leaf::InRam::yes) return leaf.followers.contains(follower.value());
  return Followers(bucket_, leaf.no, reader).contains(follower);
}

void Leaves::settle(Position upto) {
  if (deferred_.empty()) return;
  deferred_.settle(upto);
  for (auto& [name, leaf] : leaves_) leaf->late = deferred_.find(leaf->no);
}

bool Leaves::audit(Leaf& leaf, StreamNo m, const store::Reader& reader, std::vector<wire::Packet>& packets) const {
  if (!leaf.audit) {
    leaf.audit = std::make_unique<Leaf::Audit>();
    leaf.audit->until = m;
  }
  Leaf::Audit& audit = *leaf.audit;
  if (audit.asked.empty() && !audit.below.zero()) {
    // Where it stopped, unless that row has gone meanwhile.
    const auto stopped = audit.at.zero() ? std::nullopt : reader.delivery(bucket_, audit.at);
    const bool there = stopped && stopped->leaf == leaf.no;
    bool ended = true;
    down_chain(bucket_, leaf.no, there ? audit.at : reader.leaf_tail(bucket_, leaf.no).newest, reader,
               [&](Position position, const store::DeliveryRow& row) {
                 if (position >= audit.below) return true;
                 if (!row.dead) audit.asked.emplace(row.ref.id, position);
                 audit.below = position;
                 audit.at = row.before;
                 return ended = audit.asked.size() < limits::check_ids_max;
               });
    if (ended) audit.below = Position();
  }
  const std::string backfills = KeyBuilder(bucket_, Table::backfill);
  bool any = false;
  reader.scan(backfills, store::after_prefix(backfills), [&](std::string_view, std::string_view) { return any = true, false; });
  if (any && audit.asked.empty()) {
    Followers(bucket_, leaf.no, reader).visit(audit.follower, [&](EntityNo follower) {
      const std::string list = KeyBuilder(bucket_, Table::backfill).add(follower).add(leaf.no);
      reader.scan(list, store::after_prefix(list), [&](std::string_view, std::string_view value) {
        audit.asked.emplace(store::decode_ref(value).id, Position());
        return true;
      });
      audit.follower = follower;
      return audit.asked.empty();
    });
  }
  std::map<BucketId, std::vector<MessageId>> by_bucket;
  for (const auto& [id, position] : audit.asked) by_bucket[id.bucket()].push_back(id);
  for (auto& [to, ids] : by_bucket)  // those of one follow may be more than go at once
    for (size_t i = 0; i < ids.size(); i += limits::check_ids_max) {
      const auto end = ids.begin() + static_cast<ptrdiff_t>(std::min(ids.size(), i + limits::check_ids_max));
      packets.push_back(wire::Check{bucket_, to, leaf.reflector, leaf.generation, audit.until, {ids.begin() + static_cast<ptrdiff_t>(i), end}});
    }
  return !audit.asked.empty();
}

void Leaves::skip_to(Leaf& leaf, StreamNo m, store::Writes& writes) {
  leaf.audit.reset();
  if (m <= leaf.applied.next()) return;
  leaf.applied = StreamNo(m.packed() - 1);
  save_applied(leaf, writes);
}

void Leaves::fetch_missing(Leaf& leaf, BucketId root, Now now, bool again, std::vector<wire::Packet>& packets) {
  if (!leaf.welcomed || (leaf.applied >= leaf.known && !leaf.wanted)) {
    fetch_done(leaf);
    return;
  }
  if (leaf.fetch_again != Instant::never() && !again) return;
  // More than so many at once wait for their turn: their roots say tail again.
  if (leaf.fetch_again == Instant::never() && !may_fetch()) return;
  const StreamNo first = leaf.applied.next();
  const StreamNo window(first.packed() + limits::fetch_window_numbers - 1);
  StreamNo last = leaf.wanted ? window : std::min(leaf.known, window);
  if (!leaf.parked.empty() && leaf.parked.begin()->first > first)
    last = std::min(last, StreamNo(leaf.parked.begin()->first.packed() - 1));
  leaf.fetch_round = ++round_;
  packets.push_back(wire::Fetch{bucket_, root, leaf.reflector, leaf.generation, first, last, round_});
  const Duration wait{std::min(fetch_first_wait.us << std::min(leaf.fetch_tries, 10u), fetch_longest_wait.us)};
  schedule(leaf, now.instant + wait);
  ++leaf.fetch_tries;
}

void Leaves::fetch_done(Leaf& leaf) {
  leaf.fetch_tries = 0;
  schedule(leaf, Instant::never());
}

void Leaves::schedule(Leaf& leaf, Instant at) {
  if (leaf.fetch_again != Instant::never()) fetches_.erase({leaf.fetch_again, leaf.no});
  leaf.fetch_again = at;
  if (at != Instant::never()) fetches_.emplace(std::pair{at, leaf.no}, leaf.reflector);
}

void Leaves::repeat_fetches(Now now, const std::function<BucketId(std::string_view)>& root_of,
                            std::vector<wire::Packet>& packets) {
  while (!fetches_.empty() && fetches_.begin()->first.first <= now.instant) {
    const std::string reflector = fetches_.begin()->second;
    Leaf& leaf = *leaves_.at(reflector);
    fetch_missing(leaf, root_of(reflector), now, true, packets);
  }
}

bool Leaves::may_fetch() const { return fetches_.size() < limits::fetches_in_flight_max; }

Instant Leaves::next_fetch() const {
  return fetches_.empty() ? Instant::never() : fetches_.begin()->first.first;
}

std::string Leaves::reflector_of(LeafNo leaf, const store::Reader& reader) const {
  const auto record = reader.get(KeyBuilder(bucket_, Table::leaf).add(leaf));
  if (!record) return {};
  Cursor in(*record);
  in.u8();
  in.u8();
  in.be64();
  return std::string(in.string());
}

void Leaves::save(const Leaf& leaf, store::Writes& writes) const {
  std::string record;
  put_u8(record, leaf_record_version);
  put_u8(record, leaf.welcomed ? 1 : 0);
  put_be64(record, leaf.generation.packed());
  put_string(record, leaf.reflector);
  writes.put(KeyBuilder(bucket_, Table::leaf).add(leaf.no), record);
}

void Leaves::save_applied(const Leaf& leaf, store::Writes& writes) const {
  writes.put(KeyBuilder(bucket_, Table::applied).add(leaf.no), store::encode_tail({leaf.applied, leaf.newest}));
}

void Leaves::check() const {
  size_t parked = 0, bytes = 0, fetching = 0, followers = 0;
  for (const auto& [name, leaf] : leaves_) {
    followers += leaf->followers.bytes();
    ASSERT(leaf->followers.empty() || leaf->followers_in_ram == Leaf::InRam::yes);
    ASSERT(leaf->reflector == name);
    ASSERT(!leaf->plain || leaf->quiet());
    ASSERT(leaf->late == deferred_.find(leaf->no));
    ASSERT(leaf->parked.size() <= limits::park_max);
    if (leaf->welcomed && !leaf->parked.empty()) ASSERT(leaf->parked.begin()->first > leaf->applied);
    parked += leaf->parked.size();
    for (const auto& [no, item] : leaf->parked) bytes += parked_bytes(item);
    fetching += leaf->fetch_again != Instant::never();
  }
  ASSERT(parked == parked_ && bytes == parked_bytes_ && bytes <= limits::parked_bytes_max);
  ASSERT(followers == followers_bytes_);
  ASSERT(fetching == fetches_.size());
  ASSERT(fetches_.size() <= limits::fetches_in_flight_max);
}

// Of a leaf that ended with its entity the followers are still there: their edges go too.
bool erase_retired(BucketId bucket, const store::Reader& reader, size_t deliveries_max, store::Writes& writes, size_t& erased) {
  const std::string prefix = KeyBuilder(bucket, Table::retired);
  std::vector<std::pair<std::string, Position>> retired;  // and the newest delivery
  reader.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view value) {
    retired.emplace_back(key, value.empty() ? Position() : Position(Cursor(value).be64()));
    return retired.size() < retired_per_slice;
  });
  size_t done = 0;
  for (const auto& [key, newest] : retired) {
    Cursor of(std::string_view(key).substr(prefix.size()));
    const LeafNo leaf(of.be32());
    if (of.left() > 0) {  // one follow of it
      const size_t max = deliveries_max - done, gone = erase_backfill(bucket, EntityNo(of.be32()), leaf, max, reader, writes);
      if ((done += gone) >= deliveries_max) return true;
      writes.erase(key);
      continue;
    }
    const std::string chunks = KeyBuilder(bucket, Table::followers).add(leaf);
    reader.scan(chunks, store::after_prefix(chunks), [&](std::string_view at, std::string_view members) {
      for (size_t i = 0; i < store::set_size(members) && done < deliveries_max; ++i) {
        const EntityNo follower(store::set_at(members, i));
        if (!planted("delete leaves an edge") || i > 0) writes.erase(KeyBuilder(bucket, Table::edge).add(follower).add(leaf));
        const auto edge = reader.get(KeyBuilder(bucket, Table::edge).add(follower).add(leaf));
        if (edge && decode_edge(*edge).backfill > 0) writes.put(KeyBuilder(bucket, Table::retired).add(leaf).add(follower), "");
        writes.remove(std::string(at), follower.value());  // the last one takes the row with it
        ++done;
      }
      return done < deliveries_max;
    });
    Position at = newest;
    down_chain(bucket, leaf, newest, reader, [&](Position position, const store::DeliveryRow& row) {
      if (done >= deliveries_max) return false;
      forget_row(bucket, position, row, writes);
      at = row.before;
      ++erased;
      return ++done < deliveries_max;
    });
    if (at != newest) writes.put(key, encode_position(at));
    if (done >= deliveries_max) return true;  // this leaf may have more
    writes.erase(key);
  }
  return !retired.empty();
}

}  // namespace canopy::leaf
