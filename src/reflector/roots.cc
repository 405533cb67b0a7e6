#include "reflector/roots.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "store/keys.h"
#include "store/places.h"
#include "store/refs.h"

namespace canopy::reflector {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr uint8_t root_record_version = 2;  // 1: without `forwarded`
constexpr uint8_t tree_record_version = 1, lazy_tree_record_version = 2;  // 1: as long as no leaf is lazy
constexpr size_t roots_cached_max = 20'000;
constexpr size_t tails_per_turn = 1'000;
constexpr size_t settled_per_turn = 1'000;
constexpr Duration tail_first_wait = Duration::of_ms(50);
constexpr Duration tail_longest_wait = Duration::of_s(5);
constexpr Duration quiet_wait = Duration::of_ms(200);  // so that a busy author is not written twice a message

struct Tree {
  std::vector<BucketId> leaves, lazy;  // ascending
};

Tree read_tree(BucketId bucket, EntityNo entity, const store::Reader& reader) {
  Tree tree;
  const auto record = reader.get(KeyBuilder(bucket, Table::tree).add(entity));
  if (!record) return tree;
  Cursor in(*record);
  const uint8_t version = in.u8();
  ASSERT(version == tree_record_version || version == lazy_tree_record_version);
  const size_t pushed = version == lazy_tree_record_version ? in.varint() : in.left() / 2;
  while (in.left() > 0) (tree.leaves.size() < pushed ? tree.leaves : tree.lazy).emplace_back(in.be16());
  ASSERT(in.ok() && tree.leaves.size() == pushed);
  return tree;
}

bool has(const std::vector<BucketId>& leaves, BucketId leaf) { return std::binary_search(leaves.begin(), leaves.end(), leaf); }

// Both return whether that changed anything.
bool put_in(std::vector<BucketId>& leaves, BucketId leaf) {
  const auto at = std::lower_bound(leaves.begin(), leaves.end(), leaf);
  if (at != leaves.end() && *at == leaf) return false;
  leaves.insert(at, leaf);
  return true;
}
bool take_from(std::vector<BucketId>& leaves, BucketId leaf) {
  const auto at = std::lower_bound(leaves.begin(), leaves.end(), leaf);
  if (at == leaves.end() || *at != leaf) return false;
  leaves.erase(at);
  return true;
}

// A row of the stream list. A plain message is only its ref; what else there is has another length:
// message ref, flags u8, hops u8 | retraction id be64, target be64, hops u8 | ended: a zero.
constexpr uint8_t flag_shared = 1, flag_foreign = 2;

std::string encode_row(const wire::StreamItem& item, bool foreign) {
  std::string row;
  switch (item.kind) {
    case wire::StreamItem::Kind::message:
      store::put_ref(row, item.ref);
      if (item.shared || foreign || item.hops > 0) {
        put_u8(row, static_cast<uint8_t>((item.shared ? flag_shared : 0) | (foreign ? flag_foreign : 0)));
        put_u8(row, item.hops);
      }
      break;
    case wire::StreamItem::Kind::retraction:
      put_be64(row, item.ref.id.packed());
      put_be64(row, item.target.packed());
      put_u8(row, item.hops);
      break;
    case wire::StreamItem::Kind::ended: put_u8(row, 0); break;
    case wire::StreamItem::Kind::void_number: ASSERT(false && "a void number has no row");
  }
  return row;
}

// The item without its message.
wire::StreamItem decode_row(StreamNo no, std::string_view row, bool& foreign) {
  wire::StreamItem item;
  item.no = no;
  foreign = false;
  Cursor in(row);
  if (row.size() == 12 || row.size() == 14) {
    item.ref = store::take_ref(in);
    if (in.left() > 0) {
      const uint8_t flags = in.u8();
      item.shared = flags & flag_shared;
      foreign = flags & flag_foreign;
      item.hops = in.u8();
    }
  } else if (row.size() == 17) {
    item.kind = wire::StreamItem::Kind::retraction;
    item.ref.id = MessageId(in.be64());
    item.target = StreamNo(in.be64());
    item.hops = in.u8();
  } else {
    item.kind = wire::StreamItem::Kind::ended;
    in.u8();
  }
  ASSERT(in.done());
  return item;
}

}  // namespace

void Roots::open(const store::Reader& reader, const std::function<std::string(EntityNo)>& name_of, Now now) {
  roots_.clear();
  tails_.clear();
  quiet_.clear();
  rows_.clear();
  pending_ = 0;
  std::vector<EntityNo> pending;
  const std::string prefix = KeyBuilder(bucket_, Table::pending);
  reader.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view) {
    pending.emplace_back(Cursor(key.substr(prefix.size())).be32());
    return true;
  });
  for (const EntityNo entity : pending) {
    Root& root = load(entity, name_of(entity), reader);
    root.pending = true;
    ++pending_;
    for (const auto* leaves : {&root.leaves, &root.lazy})
      for (const BucketId leaf : *leaves) root.owed[leaf] = root.last;
    if (root.owed.empty()) settle_later(root, now);
    else schedule(root, now.instant);
  }
}

void Roots::on_map(Surroundings surroundings) {
  around_ = std::move(surroundings);
  for (auto& [entity, root] : roots_) root.planned = false;
}

Root& Roots::load(EntityNo entity, std::string_view name, const store::Reader& reader) {
  if (const auto it = roots_.find(entity); it != roots_.end()) return it->second;
  forget_quiet();
  Root root;
  root.entity = entity;
  root.name = name;
  root.last = StreamNo(around_.incarnation, position_.incarnation() == around_.incarnation ? position_.number() : 0);
  root.kept = root.last.next();
  if (const auto record = reader.get(KeyBuilder(bucket_, Table::root).add(entity))) {
    Cursor in(*record);
    const uint8_t version = in.u8();
    root.last = StreamNo(in.be64());
    root.kept = StreamNo(in.be64());
    if (version == root_record_version) root.forwarded = in.u8() != 0;
    root.stored = true;
    ASSERT(in.done() && (version == 1 || version == root_record_version));
  }
  root.before = root.last;
  Tree tree = read_tree(bucket_, entity, reader);
  root.leaves = std::move(tree.leaves);
  root.lazy = std::move(tree.lazy);
  return roots_.emplace(entity, std::move(root)).first->second;
}

std::vector<BucketId> Roots::leaves_of(EntityNo entity, const store::Reader& reader) const {
  const Tree tree = read_tree(bucket_, entity, reader);
  std::vector<BucketId> all;
  std::merge(tree.leaves.begin(), tree.leaves.end(), tree.lazy.begin(), tree.lazy.end(), std::back_inserter(all));
  return all;
}

void Roots::save(const Root& root, store::Writes& writes) const {
  std::string record;
  put_u8(record, root_record_version);
  put_be64(record, root.last.packed());
  put_be64(record, root.kept.packed());
  put_u8(record, root.forwarded ? 1 : 0);
  writes.put(KeyBuilder(bucket_, Table::root).add(root.entity), record);
}

void Roots::save_leaves(const Root& root, store::Writes& writes) const {
  std::string record;
  put_u8(record, root.lazy.empty() ? tree_record_version : lazy_tree_record_version);
  if (!root.lazy.empty()) put_varint(record, root.leaves.size());
  for (const BucketId leaf : root.leaves) put_be16(record, leaf.value());
  for (const BucketId leaf : root.lazy) put_be16(record, leaf.value());
  const std::string key = KeyBuilder(bucket_, Table::tree).add(root.entity);
  if (root.childless()) writes.erase(key);
  else writes.put(key, record);
}

std::optional<wire::StreamLetter> Roots::publish(EntityNo entity, std::string_view name, Entering message,
                                                 const store::Reader& reader, store::Writes& writes) {
  Root& root = load(entity, name, reader);
  if (root.childless()) return std::nullopt;
  wire::StreamItem item;
  item.ref = message.ref;
  item.message = message.message;
  item.shared = message.shared || root.forwarded;
  item.hops = message.hops;
  writes.ref(message.ref, std::move(message.message));
  std::string row = encode_row(item, message.foreign);
  return give_out(root, std::move(item), std::move(row), reader, writes);
}

std::optional<wire::StreamLetter> Roots::retract(EntityNo entity, std::string_view name, MessageId id, StreamNo target,
                                                 uint8_t hops, const store::Reader& reader, store::Writes& writes) {
  Root& root = load(entity, name, reader);
  if (!target.zero()) {
    const std::string key = KeyBuilder(bucket_, Table::stream).add(entity).add(target);
    if (const auto before = find_row(key, reader)) take_out(root, target, *before, writes);
  }
  if (root.childless()) return std::nullopt;
  wire::StreamItem item;
  item.kind = wire::StreamItem::Kind::retraction;
  item.ref.id = id;
  item.target = target;
  item.hops = hops;
  std::string row = encode_row(item, false);
  return give_out(root, std::move(item), std::move(row), reader, writes);
}

std::optional<wire::StreamLetter> Roots::end(EntityNo entity, std::string_view name, const store::Reader& reader,
                                             store::Writes& writes) {
  Root& root = load(entity, name, reader);
  if (root.childless()) return std::nullopt;
  if (!root.lazy.empty() && !planted("lazy leaf does not hear of the end")) {
    for (const BucketId leaf : std::exchange(root.lazy, {})) put_in(root.leaves, leaf);
    root.planned = false;
    save_leaves(root, writes);
  }
  wire::StreamItem item;
  item.kind = wire::StreamItem::Kind::ended;
  std::string row = encode_row(item, false);
  return give_out(root, std::move(item), std::move(row), reader, writes);
}

void Roots::share(EntityNo entity, std::string_view name, const store::Reader& reader, store::Writes& writes) {
  Root& root = load(entity, name, reader);
  if (root.forwarded) return;
  root.forwarded = true;
  save(root, writes);
}

bool Roots::idle(EntityNo entity, std::string_view name, const store::Reader& reader) {
  const Root& root = load(entity, name, reader);
  return root.childless() && !root.pending;
}

bool Roots::erase(EntityNo entity, std::string_view name, size_t max, const store::Reader& reader, store::Writes& writes) {
  Root& root = load(entity, name, reader);
  ASSERT(root.childless() && !root.pending);
  const std::string list = KeyBuilder(bucket_, Table::stream).add(entity);
  size_t taken = 0;
  bool more = false;
  reader.scan(list, store::after_prefix(list), [&](std::string_view key, std::string_view value) {
    if (taken == max) {
      more = true;
      return false;
    }
    take_out(root, StreamNo(Cursor(key.substr(list.size())).be64()), value, writes);
    return ++taken > 0;
  });
  return taken == 0 && !more;
}

void Roots::forget(EntityNo entity, store::Writes& writes) {
  writes.erase(KeyBuilder(bucket_, Table::root).add(entity));
  const auto it = roots_.find(entity);
  if (it == roots_.end()) return;
  schedule(it->second, Instant::never());
  roots_.erase(it);
}

std::optional<std::string> Roots::find_row(const std::string& key, const store::Reader& reader) const {
  const auto now = rows_.find(key);
  if (now == rows_.end()) return reader.get(key);
  return now->second.empty() ? std::nullopt : std::optional(now->second);
}

// A row of the stream list goes, with what points at it.
void Roots::take_out(const Root& root, StreamNo no, std::string_view row, store::Writes& writes) {
  const std::string key = KeyBuilder(bucket_, Table::stream).add(root.entity).add(no);
  writes.erase(key);
  rows_[key].clear();
  bool foreign = false;
  const wire::StreamItem item = decode_row(no, row, foreign);
  if (item.kind == wire::StreamItem::Kind::message) writes.unref(item.ref);
  if (foreign) writes.erase(store::place_key(bucket_, item.ref.id, store::PlaceKind::stream, root.entity.value()));
  if (item.kind == wire::StreamItem::Kind::retraction)
    writes.erase(store::place_key(bucket_, item.ref.id, store::PlaceKind::passed, root.entity.value()));
}

// The next number of the stream; the root owes it to its leaves from now on.
wire::StreamLetter Roots::give_out(Root& root, wire::StreamItem item, std::string row, const store::Reader& reader,
                                   store::Writes& writes) {
  root.last = root.last.next();
  item.no = root.last;
  const std::string key = KeyBuilder(bucket_, Table::stream).add(root.entity).add(root.last);
  rows_[key] = row;
  writes.put(key, std::move(row));
  // Two out for one in, so that a retention that was lowered is reached in bounded steps.
  for (int i = 0; i < 2 && root.last.packed() - root.kept.packed() >= around_.retention; ++i) {
    const std::string old = KeyBuilder(bucket_, Table::stream).add(root.entity).add(root.kept);
    if (const auto before = find_row(old, reader)) take_out(root, root.kept, *before, writes);
    root.kept = root.kept.next();
  }
  save(root, writes);
  // So that nothing falls out of the list before a lazy leaf has come for it: half of the list lies between
  // two tails, the other half is the time that the leaf has.
  if (!root.lazy.empty() && root.last.number() % std::max<uint64_t>(1, around_.retention / 2) == 0) {
    for (const BucketId leaf : root.lazy) root.owed[leaf] = root.last;
    make_pending(root, writes);
    root.tail_tries = 0;
    schedule(root, Instant());  // at once
  }
  if (!root.leaves.empty()) {
    make_pending(root, writes);
    ++root.in_flight;
  }
  if (!root.planned) {
    root.route = plan_tree(root.leaves, around_.owner, around_.self, around_.fanout);
    root.planned = true;
  }
  return wire::StreamLetter{bucket_, root.name, std::move(item), root.route};
}

wire::Welcome Roots::on_join(EntityNo entity, std::string_view name, BucketId leaf, const wire::LeafJoin& join,
                             MessageId newest, const store::Reader& reader, store::Writes& writes) {
  Root& root = load(entity, name, reader);
  const bool lazy_before = take_from(root.lazy, leaf);
  if (put_in(root.leaves, leaf) || lazy_before) {
    root.planned = false;
    save_leaves(root, writes);
  }
  if (!root.stored) {  // the number that the welcome names must hold after a restart
    save(root, writes);
    root.stored = true;
  }
  // A join afresh begins behind all that was given out: what the leaf before it was owed is moot.
  root.owed.erase(leaf);
  return {join.reflector, join.generation, root.last.next(), newest};
}

void Roots::on_leave(EntityNo entity, std::string_view name, BucketId leaf, const store::Reader& reader,
                     store::Writes& writes) {
  Root& root = load(entity, name, reader);
  if (!take_from(root.leaves, leaf) && !take_from(root.lazy, leaf)) return;
  root.planned = false;
  root.owed.erase(leaf);
  save_leaves(root, writes);
}

void Roots::on_mode(EntityNo entity, std::string_view name, BucketId leaf, bool lazy, Now now, const store::Reader& reader,
                    store::Writes& writes) {
  Root& root = load(entity, name, reader);
  if (!take_from(lazy ? root.leaves : root.lazy, leaf)) return;  // it has left, or is so already
  put_in(lazy ? root.lazy : root.leaves, leaf);
  root.planned = false;
  save_leaves(root, writes);
  if (lazy) {
    root.owed.erase(leaf);
    if (root.owed.empty()) schedule(root, Instant::never());
    settle_later(root, now);
    return;
  }
  if (planted("switch to pushed owes nothing")) return;
  root.owed[leaf] = root.last;
  make_pending(root, writes);
  root.tail_tries = 0;
  schedule(root, now.instant);
}

void Roots::on_pushed(EntityNo entity, std::string_view name, StreamNo no, const std::vector<BucketId>& not_taken,
                      Now now, const store::Reader& reader) {
  Root& root = load(entity, name, reader);
  if (no > root.before && root.in_flight > 0) --root.in_flight;
  // Not pending: every leaf has acknowledged since (the push began before the bucket was opened anew).
  if (!root.pending) return;
  for (const BucketId leaf : not_taken) {
    if (!has(root.leaves, leaf)) continue;  // has left, or is lazy now
    StreamNo& owed = root.owed[leaf];
    owed = std::max(owed, no);
  }
  if (!root.owed.empty() && root.tail_at == Instant::never()) {
    root.tail_tries = 0;
    schedule(root, now.instant + tail_first_wait);
  }
  settle_later(root, now);
}

void Roots::on_have(EntityNo entity, std::string_view name, const wire::Have& have, Now now,
                    const store::Reader& reader) {
  Root& root = load(entity, name, reader);
  const auto it = root.owed.find(have.from);
  if (it == root.owed.end() || have.applied < it->second) return;
  root.owed.erase(it);
  if (root.owed.empty()) schedule(root, Instant::never());
  settle_later(root, now);
}

wire::Fetched Roots::on_fetch(EntityNo entity, std::string_view name, const wire::Fetch& fetch,
                              const store::Reader& reader) const {
  StreamNo last(around_.incarnation, 0), kept = last.next();
  if (const auto record = reader.get(KeyBuilder(bucket_, Table::root).add(entity))) {
    Cursor in(*record);
    in.u8();
    last = StreamNo(in.be64());
    kept = StreamNo(in.be64());
  }
  wire::Fetched answer{bucket_, fetch.from, std::string(name), fetch.generation, fetch.first, fetch.last, {}, last, {}};
  answer.last = std::min({fetch.last, last, StreamNo(fetch.first.packed() + limits::fetch_window_numbers - 1)});
  answer.round = fetch.round;
  if (fetch.first < kept) answer.gone_below = kept;

  StreamNo next = std::max(fetch.first, kept);
  size_t bytes = 0;
  const auto void_up_to = [&](StreamNo no) {
    for (; next < no; next = next.next()) {
      wire::StreamItem none;
      none.no = next;
      none.kind = wire::StreamItem::Kind::void_number;
      answer.items.push_back(std::move(none));
    }
  };
  reader.scan(KeyBuilder(bucket_, Table::stream).add(entity).add(next),
              KeyBuilder(bucket_, Table::stream).add(entity).add(answer.last.next()),
              [&](std::string_view key, std::string_view value) {
                const StreamNo no(Cursor(key.substr(key.size() - 8)).be64());
                bool foreign = false;
                wire::StreamItem item = decode_row(no, value, foreign);
                if (item.kind == wire::StreamItem::Kind::message) {
                  item.message = reader.body(item.ref);
                  ASSERT(item.message);
                  bytes += item.message->size();
                }
                if (bytes > limits::fetch_window_bytes && !answer.items.empty()) {
                  answer.last = StreamNo(no.packed() - 1);
                  return false;
                }
                void_up_to(no);
                answer.items.push_back(std::move(item));
                next = no.next();
                return true;
              });
  void_up_to(answer.last.next());
  return answer;
}

void Roots::make_pending(Root& root, store::Writes& writes) {
  if (root.pending) return;
  if (!planted("pending set not written")) writes.put(KeyBuilder(bucket_, Table::pending).add(root.entity), "");
  root.pending = true;
  ++pending_;
}

void Roots::schedule(Root& root, Instant at) {
  if (root.tail_at != Instant::never()) tails_.erase({root.tail_at, root.entity});
  root.tail_at = at;
  if (at != Instant::never()) tails_.emplace(at, root.entity);
}

void Roots::settle_later(const Root& root, Now now) {
  if (root.pending && root.owed.empty() && root.in_flight == 0) quiet_.emplace(now.instant + quiet_wait, root.entity);
}

void Roots::on_time(Now now, std::vector<wire::Packet>& packets, store::Writes& writes) {
  size_t sent = 0;
  while (!tails_.empty() && tails_.begin()->first <= now.instant && sent < tails_per_turn) {
    Root& root = roots_.at(tails_.begin()->second);
    for (const auto& [leaf, no] : root.owed) packets.push_back(wire::Tail{bucket_, leaf, root.name, root.last});
    sent += root.owed.size();
    if (root.owed.empty()) {
      schedule(root, Instant::never());
      settle_later(root, now);
      continue;
    }
    const Duration wait{std::min(tail_first_wait.us << std::min(root.tail_tries, 12u), tail_longest_wait.us)};
    schedule(root, now.instant + wait);
    ++root.tail_tries;
  }
  size_t settled = 0;
  while (!quiet_.empty() && quiet_.begin()->first <= now.instant && settled < settled_per_turn) {
    const EntityNo entity = quiet_.begin()->second;
    quiet_.erase(quiet_.begin());
    const auto it = roots_.find(entity);
    if (it == roots_.end()) continue;
    Root& root = it->second;
    if (!root.pending || root.in_flight > 0 || !root.owed.empty()) continue;
    writes.erase(KeyBuilder(bucket_, Table::pending).add(entity));
    root.pending = false;
    --pending_;
    ++settled;
  }
}

void Roots::on_node_up(NodeIndex node, Now now) {
  for (auto& [entity, root] : roots_) {
    const bool there = std::any_of(root.owed.begin(), root.owed.end(), [&](const auto& o) { return around_.owner(o.first) == node; });
    if (!there) continue;
    root.tail_tries = 0;
    schedule(root, now.instant);
  }
}

Instant Roots::next_deadline() const {
  Instant next = Instant::never();
  if (!tails_.empty()) next = std::min(next, tails_.begin()->first);
  if (!quiet_.empty()) next = std::min(next, quiet_.begin()->first);
  return next;
}

// A quiet root can be read again any time. (Nobody sees the order of this walk.)
void Roots::forget_quiet() {
  if (roots_.size() < roots_cached_max) return;
  std::erase_if(roots_, [](const auto& e) { return !e.second.pending && e.second.in_flight == 0 && e.second.tail_at == Instant::never(); });
}

void Roots::check() const {
  size_t pending = 0, tails = 0;
  for (const auto& [entity, root] : roots_) {
    pending += root.pending;
    tails += root.tail_at != Instant::never();
    ASSERT(std::is_sorted(root.leaves.begin(), root.leaves.end()) && std::is_sorted(root.lazy.begin(), root.lazy.end()));
    for (const BucketId leaf : root.lazy) ASSERT(!has(root.leaves, leaf));
    ASSERT(root.kept <= root.last.next());
    ASSERT(root.owed.empty() || root.pending);
    for (const auto& [leaf, no] : root.owed) {
      ASSERT(no <= root.last);
      ASSERT(has(root.leaves, leaf) || has(root.lazy, leaf));
    }
  }
  ASSERT(pending == pending_);
  ASSERT(tails == tails_.size());
}

}  // namespace canopy::reflector
