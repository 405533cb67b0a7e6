#include "leaf/leaves.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
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

size_t parked_bytes(const wire::StreamItem& item) { return sizeof item + (item.message ? item.message->size() : 0); }

}  // namespace

std::string encode_delivery(const DeliveryRecord& record) {
  std::string value;
  put_be64(value, record.no.packed());
  store::put_ref(value, record.ref);
  if (record.shared) put_u8(value, 1);
  return value;
}

DeliveryRecord decode_delivery(std::string_view value) {
  DeliveryRecord record;
  Cursor in(value);
  record.no = StreamNo(in.be64());
  record.ref = store::take_ref(in);
  if (in.left() > 0) record.shared = in.u8() != 0;
  ASSERT(in.done());
  return record;
}

void erase_delivery(BucketId bucket, LeafNo leaf, Position position, const DeliveryRecord& record, store::Writes& writes) {
  writes.erase(KeyBuilder(bucket, Table::delivery).add(leaf).add(position));
  writes.unref(record.ref);
  if (record.shared) writes.erase(store::place_key(bucket, record.ref.id, store::PlaceKind::delivery, leaf.value()));
}

std::optional<Position> find_delivery(BucketId bucket, LeafNo leaf, StreamNo no, const store::Reader& reader) {
  const std::string list = KeyBuilder(bucket, Table::delivery).add(leaf);
  const std::string end = store::after_prefix(list);
  struct Found {
    Position position;
    StreamNo no;
  };
  const auto take = [](std::optional<Found>& found) {
    return [&found](std::string_view key, std::string_view value) {
      found = Found{Position(Cursor(key.substr(key.size() - 8)).be64()), decode_delivery(value).no};
      return false;
    };
  };
  std::optional<Found> first, last;
  reader.scan(list, end, take(first));
  reader.scan_back(list, end, take(last));
  if (!first || no < first->no || no > last->no) return std::nullopt;
  uint64_t low = first->position.packed(), high = last->position.packed();  // the delivery is in [low, high]
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    std::optional<Found> at;  // the first one behind the middle: there is one, `last`
    reader.scan(KeyBuilder(bucket, Table::delivery).add(leaf).add(Position(middle + 1)), end, take(at));
    if (at->no <= no) low = at->position.packed();
    else high = middle;
  }
  std::optional<Found> found;
  reader.scan(KeyBuilder(bucket, Table::delivery).add(leaf).add(Position(low)), end, take(found));
  if (!found || found->no != no) return std::nullopt;
  return found->position;
}

void Leaves::reset() {
  leaves_.clear();
  fetches_.clear();
  parked_ = parked_bytes_ = 0;
}

Leaf* Leaves::find(std::string_view reflector, const store::Reader& reader) {
  const std::string name(reflector);
  if (const auto it = leaves_.find(name); it != leaves_.end()) return it->second.get();
  const auto number = reader.get(KeyBuilder(bucket_, Table::leaf_no).add(reflector));
  if (!number) return nullptr;

  // A quiet leaf can be read again any time; a walk in an unordered map is fine, nobody sees its order.
  if (leaves_.size() >= leaves_cached_max)
    std::erase_if(leaves_, [](const auto& e) { return e.second->parked.empty() && e.second->fetch_again == Instant::never(); });

  auto leaf = std::make_unique<Leaf>();
  leaf->no = LeafNo(Cursor(*number).be32());
  leaf->reflector = name;
  const auto record = reader.get(KeyBuilder(bucket_, Table::leaf).add(leaf->no));
  const auto applied = reader.get(KeyBuilder(bucket_, Table::applied).add(leaf->no));
  ASSERT(record);
  Cursor in(*record);
  const uint8_t version = in.u8();
  leaf->welcomed = in.u8() != 0;
  leaf->generation = Position(in.be64());
  const std::string_view stored_name = in.string();
  ASSERT(in.done() && version == leaf_record_version && stored_name == reflector);
  if (applied) leaf->applied = StreamNo(Cursor(*applied).be64());
  leaf->known = leaf->applied;
  const std::string forwards = KeyBuilder(bucket_, Table::forward).add(leaf->no);
  reader.scan(forwards, store::after_prefix(forwards), [&](std::string_view key, std::string_view value) {
    Cursor edge(value);
    ForwardEdge forward{EntityNo(Cursor(key.substr(forwards.size())).be32()), Position(edge.be64()), edge.u8() != 0, edge.u8() != 0};
    ASSERT(edge.done());
    leaf->forwards.push_back(forward);
    return true;
  });
  return leaves_.emplace(name, std::move(leaf)).first->second.get();
}

Leaf* Leaves::create(std::string_view reflector, LeafNo no, Position generation, store::Writes& writes) {
  auto leaf = std::make_unique<Leaf>();
  leaf->no = no;
  leaf->reflector = reflector;
  leaf->generation = generation;
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
  const auto it = leaves_.find(std::string(reflector));
  ASSERT(it != leaves_.end());
  Leaf& leaf = *it->second;
  while (!leaf.parked.empty()) unpark(leaf, leaf.parked.begin());
  schedule(leaf, Instant::never());
  writes.erase(KeyBuilder(bucket_, Table::leaf_no).add(reflector));
  writes.erase(KeyBuilder(bucket_, Table::leaf).add(leaf.no));
  writes.erase(KeyBuilder(bucket_, Table::applied).add(leaf.no));
  for (const ForwardEdge& forward : leaf.forwards) {
    writes.erase(KeyBuilder(bucket_, Table::forward).add(leaf.no).add(forward.to));
    writes.erase(KeyBuilder(bucket_, Table::forward_of).add(forward.to).add(leaf.no));
  }
  writes.put(KeyBuilder(bucket_, Table::retired).add(leaf.no), "");
  leaves_.erase(it);
}

Leaf* Leaves::rename(std::string_view alias, std::string_view entity, Position generation, store::Writes& writes) {
  auto node = leaves_.extract(std::string(alias));
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
  save_applied(leaf, applying.writes);
  if (item.kind == wire::StreamItem::Kind::ended) applying.ended = true;
  if (item.kind == wire::StreamItem::Kind::retraction) applying.retractions.push_back({item.ref.id, item.target, item.hops});
  if (item.kind != wire::StreamItem::Kind::message || applying.doomed.contains(item.ref.id) || applying.dead(item.ref.id)) return;
  // A retraction that waits here wins already: a step does not see the delivery that it would have to erase.
  for (const auto& [no, parked] : leaf.parked)
    if (parked.kind == wire::StreamItem::Kind::retraction && parked.ref.id == item.ref.id) return;
  // A loop of forwards can bring it again, when its streams no longer know it.
  if (item.shared && !planted("forward without hop or repeat check") && delivered(leaf, item.ref.id, applying)) return;
  const Position position = applying.take_position();
  const DeliveryRecord record{item.no, item.ref, item.shared};
  applying.writes.put(KeyBuilder(bucket_, Table::delivery).add(leaf.no).add(position), encode_delivery(record));
  applying.writes.ref(item.ref, item.message);
  if (item.shared)
    store::put_place(bucket_, item.ref.id, store::PlaceKind::delivery, leaf.no.value(), position.packed(), applying.writes);
  applying.deliveries.push_back({leaf.no, position, item.ref, item.message, item.shared, item.hops});
}

void Leaves::drain_parked(Leaf& leaf, Applying& applying) {
  while (!leaf.parked.empty() && !applying.ended) {
    const auto first = leaf.parked.begin();
    if (first->first > leaf.applied.next()) return;
    if (first->first == leaf.applied.next()) apply(leaf, first->second, applying);
    unpark(leaf, first);
  }
}

std::optional<Position> Leaves::find_delivery(Leaf& leaf, StreamNo no, const store::Reader& reader) const {
  std::optional<Position> found;
  const std::string list = KeyBuilder(bucket_, Table::delivery).add(leaf.no);
  const std::string near = KeyBuilder(bucket_, Table::delivery).add(leaf.no).add(leaf.found_at);
  const auto take = [&](std::string_view key, std::string_view value) {
    if (decode_delivery(value).no == no) found = Position(Cursor(key.substr(list.size())).be64());
    return false;
  };
  if (no > leaf.found_no) reader.scan(near, store::after_prefix(list), take);
  else reader.scan_back(list, near, take);
  if (!found) found = leaf::find_delivery(bucket_, leaf.no, no, reader);
  if (found) {
    leaf.found_no = no;
    leaf.found_at = *found;
  }
  return found;
}

bool Leaves::audit(Leaf& leaf, StreamNo m, const store::Reader& reader, std::vector<wire::Packet>& packets) const {
  if (!leaf.audit) leaf.audit.emplace().until = m;
  Leaf::Audit& audit = *leaf.audit;
  if (audit.asked.empty()) {
    const std::string list = KeyBuilder(bucket_, Table::delivery).add(leaf.no);
    reader.scan(KeyBuilder(bucket_, Table::delivery).add(leaf.no).add(audit.next), store::after_prefix(list),
                [&](std::string_view key, std::string_view value) {
                  const Position position(Cursor(key.substr(list.size())).be64());
                  audit.asked.emplace(decode_delivery(value).ref.id, position);
                  audit.next = position.next();
                  return audit.asked.size() < limits::check_ids_max;
                });
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
  if (!leaf.welcomed || leaf.applied >= leaf.known) {
    schedule(leaf, Instant::never());
    return;
  }
  if (leaf.fetch_again != Instant::never() && !again) return;
  // More than so many at once wait for their turn: their roots say tail again.
  if (leaf.fetch_again == Instant::never() && fetches_.size() >= limits::fetches_in_flight_max) return;
  const StreamNo first = leaf.applied.next();
  StreamNo last = leaf.known;
  if (!leaf.parked.empty() && leaf.parked.begin()->first > first)
    last = std::min(last, StreamNo(leaf.parked.begin()->first.packed() - 1));
  last = std::min(last, StreamNo(first.packed() + limits::fetch_window_numbers - 1));
  packets.push_back(wire::Fetch{bucket_, root, leaf.reflector, leaf.generation, first, last});
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
  std::string number;
  put_be64(number, leaf.applied.packed());
  writes.put(KeyBuilder(bucket_, Table::applied).add(leaf.no), number);
}

void Leaves::check() const {
  size_t parked = 0, bytes = 0, fetching = 0;
  for (const auto& [name, leaf] : leaves_) {
    ASSERT(leaf->reflector == name);
    ASSERT(leaf->parked.size() <= limits::park_max);
    if (leaf->welcomed && !leaf->parked.empty()) ASSERT(leaf->parked.begin()->first > leaf->applied);
    parked += leaf->parked.size();
    for (const auto& [no, item] : leaf->parked) bytes += parked_bytes(item);
    fetching += leaf->fetch_again != Instant::never();
  }
  ASSERT(parked == parked_ && bytes == parked_bytes_ && bytes <= limits::parked_bytes_max);
  ASSERT(fetching == fetches_.size());
  ASSERT(fetches_.size() <= limits::fetches_in_flight_max);
}

// Of a leaf that ended with its entity the followers are still there: their edges go too.
bool erase_retired(BucketId bucket, RetiredCursor& cursor, const store::Reader& reader, size_t deliveries_max, store::Writes& writes,
                   size_t& erased) {
  const std::string prefix = KeyBuilder(bucket, Table::retired);
  std::vector<std::string> retired;
  reader.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view) {
    retired.emplace_back(key);
    return retired.size() < retired_per_slice;
  });
  size_t done = 0;
  for (const std::string& key : retired) {
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
    const std::string list = KeyBuilder(bucket, Table::delivery).add(leaf);
    if (cursor.leaf != leaf) cursor = {leaf, Position()};
    reader.scan(KeyBuilder(bucket, Table::delivery).add(leaf).add(cursor.next), store::after_prefix(list), [&](std::string_view at, std::string_view value) {
      if (done >= deliveries_max) return false;
      const Position position(Cursor(at.substr(list.size())).be64());
      erase_delivery(bucket, leaf, position, decode_delivery(value), writes);
      cursor.next = position.next();
      ++erased;
      return ++done < deliveries_max;
    });
    if (done >= deliveries_max) return true;  // this leaf may have more
    writes.erase(key);
  }
  return !retired.empty();
}

}  // namespace canopy::leaf
