#include "sim/audit.h"

#include <map>
#include <string>

#include "base/hash.h"
#include "leaf/chains.h"
#include "sim/trace.h"
#include "store/keys.h"
#include "store/packed_set.h"
#include "store/places.h"
#include "store/refs.h"

namespace canopy::sim {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr Table lists[] = {Table::sent, Table::mentions, Table::replies, Table::topic, Table::direct};

BodyRef ref_of(std::string_view value) {
  Cursor in(value);
  return store::take_ref(in);
}

// A stream row that is a message (reflector/roots.cc).
bool is_message(std::string_view row) { return row.size() == 12 || row.size() == 14; }

[[noreturn]] void broken(const char* rule, uint32_t bucket, Table table, const std::string& what = "") {
  throw Violation(rule, "bucket " + std::to_string(bucket) + " table " + std::string(1, static_cast<char>(table)) + " " + what);
}

template <class F>
void for_all(const store::Store& store, uint32_t bucket_count, Table table, F visit) {
  for (uint32_t i = 0; i < bucket_count; ++i) {
    const std::string prefix = KeyBuilder(BucketId(static_cast<uint16_t>(i)), table);
    store.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view value) {
      visit(i, key, value);
      return true;
    });
  }
}

template <class F>
void for_all_deliveries(const store::Store& store, uint32_t bucket_count, F visit) {
  for (uint32_t i = 0; i < bucket_count; ++i)
    store.deliveries(BucketId(static_cast<uint16_t>(i)), Position(), Position(UINT64_MAX), [&](Position position, const store::DeliveryRow& row) {
      visit(i, position, row);
      return true;
    });
}

// The fields of a key behind bucket and letter.
Cursor fields_of(std::string_view key) { return Cursor(key.substr(3)); }

void check_place(const store::Store& store, uint32_t number, MessageId id, const store::Place& place) {
  using Kind = store::PlaceKind;
  const BucketId bucket(static_cast<uint16_t>(number));
  const auto row = [&](KeyBuilder key) { return store.get(std::string(key)); };
  const auto ref_is = [&](const std::optional<std::string>& value) { return value && ref_of(*value).id == id; };
  const EntityNo entity(place.number);
  bool there = false;
  switch (place.kind) {
    case Kind::delivery: {
      const auto delivered = store.delivery(bucket, place.position());
      there = delivered && delivered->leaf.value() == place.number && delivered->ref.id == id && delivered->shared && !delivered->dead;
      break;
    }
    case Kind::stream: {
      const auto value = row(KeyBuilder(bucket, Table::stream).add(entity).add(place.stream_no()));
      there = value && is_message(*value) && ref_is(value);
      break;
    }
    case Kind::mentions: there = ref_is(row(KeyBuilder(bucket, Table::mentions).add(entity).add(place.position()))); break;
    case Kind::replies: there = ref_is(row(KeyBuilder(bucket, Table::replies).add(entity).add(place.position()))); break;
    case Kind::topic: there = ref_is(row(KeyBuilder(bucket, Table::topic).add(entity).add(place.position()))); break;
    case Kind::direct: there = ref_is(row(KeyBuilder(bucket, Table::direct).add(entity).add(place.position()))); break;
    case Kind::backfill:
      there = ref_is(row(KeyBuilder(bucket, Table::backfill).add(entity).add(LeafNo(place.second)).add(place.position())));
      break;
    case Kind::passed: {
      const auto value = row(KeyBuilder(bucket, Table::stream).add(entity).add(place.stream_no()));
      there = value && value->size() == 17 && Cursor(*value).be64() == id.packed();
      break;
    }
  }
  if (!there)
    broken("a place leads to what it says", number, Table::place,
           "id " + std::to_string(id.packed()) + " kind " + std::to_string(static_cast<int>(place.kind)) + " of " + std::to_string(place.number));
}

void need_place(const store::Store& store, uint32_t bucket, MessageId id, store::PlaceKind kind, uint32_t number, uint64_t at,
                uint32_t second = 0) {
  const auto value = store.get(store::place_key(BucketId(static_cast<uint16_t>(bucket)), id, kind, number, second));
  if (!value || Cursor(*value).be64() != at)
    broken("what is in a list has its place", bucket, Table::place, "id " + std::to_string(id.packed()) + " kind " +
           std::to_string(static_cast<int>(kind)) + " of " + std::to_string(number));
}

// Each leaf's rows stand in its chain, numbers descending. Those of a leaf that is being erased are not looked at.
void audit_chains(const store::Store& store, uint32_t bucket_count) {
  std::map<std::pair<uint32_t, LeafNo>, size_t> rows;
  for_all_deliveries(store, bucket_count, [&](uint32_t bucket, Position, const store::DeliveryRow& row) { ++rows[{bucket, row.leaf}]; });
  for (const auto& [leaf, number] : rows) {
    const BucketId bucket(static_cast<uint16_t>(leaf.first));
    if (!store.get(KeyBuilder(bucket, Table::leaf).add(leaf.second))) continue;
    const auto tail = store.leaf_tail(bucket, leaf.second);
    size_t found = 0;
    StreamNo above(UINT64_MAX);
    leaf::down_chain(bucket, leaf.second, tail.newest, store, [&](Position, const store::DeliveryRow& row) {
      if (!row.dead && (row.no >= above || row.no > tail.applied)) broken("numbers descend along a leaf", leaf.first, Table::delivery);
      if (!row.dead) above = row.no;
      return ++found > 0;
    });
    if (found != number)
      broken("a leaf's rows are in its chain", leaf.first, Table::delivery, std::to_string(found) + " of " + std::to_string(number));
  }
}

void audit_no_deliveries(const store::Store& store, uint32_t bucket_count) {
  for_all_deliveries(store, bucket_count, [&](uint32_t bucket, Position, const store::DeliveryRow&) {
    broken("nothing is left of what was delivered", bucket, Table::delivery);
  });
}

}  // namespace

void audit_bodies(const store::Store& store, uint32_t bucket_count) {
  std::map<BodyRef, int64_t> pointers;
  const auto count = [&](uint32_t, std::string_view, std::string_view value) { ++pointers[ref_of(value)]; };
  for (const Table table : lists) for_all(store, bucket_count, table, count);
  for_all(store, bucket_count, Table::backfill, count);
  for_all(store, bucket_count, Table::stream, [&](uint32_t, std::string_view, std::string_view value) {
    if (is_message(value)) ++pointers[ref_of(value)];
  });
  for_all_deliveries(store, bucket_count, [&](uint32_t, Position, const store::DeliveryRow& row) {
    if (!row.dead) ++pointers[row.ref];
  });
  for (const auto& [ref, number] : pointers) {
    if (store.body_references(ref) != number)
      throw Violation("bodies are counted", "id " + std::to_string(ref.id.packed()) + " counts " +
                      std::to_string(store.body_references(ref)) + ", " + std::to_string(number) + " lists have it");
    if (!store.body(ref)) throw Violation("a body is there as long as a list has it", std::to_string(ref.id.packed()));
  }
  if (store.status().bodies != pointers.size())
    throw Violation("a body goes with its last list", std::to_string(store.status().bodies) + " bodies, " +
                    std::to_string(pointers.size()) + " in lists");
}

void audit_places(const store::Store& store, uint32_t bucket_count) {
  using Kind = store::PlaceKind;
  for_all(store, bucket_count, Table::place, [&](uint32_t bucket, std::string_view key, std::string_view value) {
    Cursor in = fields_of(key);
    const MessageId id(in.be64());
    store::Place place;
    place.kind = static_cast<Kind>(in.u8());
    place.number = in.be32();
    if (place.kind == Kind::backfill) place.second = in.be32();
    place.at = Cursor(value).be64();
    check_place(store, bucket, id, place);
  });
  const auto list_places = [&](Table table, Kind kind, uint8_t head) {
    std::map<std::pair<uint32_t, uint32_t>, uint64_t> entries;
    for_all(store, bucket_count, table, [&](uint32_t bucket, std::string_view key, std::string_view value) {
      Cursor in = fields_of(key);
      const uint32_t entity = in.be32();
      need_place(store, bucket, ref_of(value).id, kind, entity, in.be64());
      ++entries[{bucket, entity}];
    });
    for (const auto& [list, number] : entries) {
      std::string count_key = KeyBuilder(BucketId(static_cast<uint16_t>(list.first)), Table::list_head).add(EntityNo(list.second));
      put_u8(count_key, head);
      const auto count = store.get(count_key);
      if (count && Cursor(*count).be64() != number) broken("a list counts its entries", list.first, table, std::to_string(number));
    }
  };
  list_places(Table::mentions, Kind::mentions, 3);
  list_places(Table::replies, Kind::replies, 4);
  list_places(Table::topic, Kind::topic, 5);
  list_places(Table::direct, Kind::direct, 6);
  for_all(store, bucket_count, Table::backfill, [&](uint32_t bucket, std::string_view key, std::string_view value) {
    Cursor in = fields_of(key);
    const uint32_t follower = in.be32(), leaf = in.be32();
    need_place(store, bucket, ref_of(value).id, Kind::backfill, follower, in.be64(), leaf);
    if (!store.get(KeyBuilder(BucketId(static_cast<uint16_t>(bucket)), Table::edge).add(EntityNo(follower)).add(LeafNo(leaf))))
      broken("what a follow brought goes with it", bucket, Table::backfill);
  });
  for_all_deliveries(store, bucket_count, [&](uint32_t bucket, Position position, const store::DeliveryRow& row) {
    if (row.shared && !row.dead) need_place(store, bucket, row.ref.id, Kind::delivery, row.leaf.value(), position.packed());
  });
  audit_chains(store, bucket_count);
  for_all(store, bucket_count, Table::stream, [&](uint32_t bucket, std::string_view key, std::string_view value) {
    Cursor in = fields_of(key);
    const uint32_t entity = in.be32();
    if (value.size() == 14 && (static_cast<uint8_t>(value[12]) & 2) != 0)
      need_place(store, bucket, ref_of(value).id, Kind::stream, entity, in.be64());
  });
  for_all(store, bucket_count, Table::thread, [&](uint32_t bucket, std::string_view key, std::string_view value) {
    Cursor in = fields_of(key);
    const MessageId parent(in.be64());
    const auto reply = store.get(KeyBuilder(BucketId(static_cast<uint16_t>(bucket)), Table::replies).add(EntityNo(Cursor(value).be32())).add(Position(in.be64())));
    if (!reply || Cursor(std::string_view(*reply).substr(12)).be64() != parent.packed()) broken("a thread has its replies", bucket, Table::thread);
  });
  for_all(store, bucket_count, Table::message, [&](uint32_t bucket, std::string_view key, std::string_view value) {
    Cursor in(value);
    const EntityNo author(in.be32());
    const auto sent = store.get(KeyBuilder(BucketId(static_cast<uint16_t>(bucket)), Table::sent).add(author).add(Position(in.be64())));
    if (!sent || ref_of(*sent).id.packed() != fields_of(key).be64()) broken("an id leads to its message", bucket, Table::message);
  });
  // Edges and followers, forwards from both ends.
  std::map<std::pair<uint32_t, uint32_t>, std::map<uint32_t, int>> followers;
  for_all(store, bucket_count, Table::edge, [&](uint32_t bucket, std::string_view key, std::string_view) {
    Cursor in = fields_of(key);
    const uint32_t follower = in.be32();
    ++followers[{bucket, in.be32()}][follower];
  });
  for_all(store, bucket_count, Table::followers, [&](uint32_t bucket, std::string_view key, std::string_view members) {
    const uint32_t leaf = fields_of(key).be32();
    for (size_t i = 0; i < store::set_size(members); ++i) --followers[{bucket, leaf}][store::set_at(members, i)];
  });
  for (const auto& [leaf, members] : followers)
    for (const auto& [member, difference] : members)
      if (difference != 0) broken("edges and followers agree", leaf.first, Table::edge, std::to_string(member));
  const auto other_end = [&](Table table, Table other) {
    for_all(store, bucket_count, table, [&](uint32_t bucket, std::string_view key, std::string_view) {
      Cursor in = fields_of(key);
      const uint32_t first = in.be32(), second = in.be32();
      if (!store.get(KeyBuilder(BucketId(static_cast<uint16_t>(bucket)), other).add(second).add(first)))
        broken("a forward is known at both ends", bucket, table);
    });
  };
  other_end(Table::forward, Table::forward_of);
  other_end(Table::forward_of, Table::forward);
}

void audit_nobody_follows(const store::Store& store, uint32_t bucket_count, bool forwards) {
  const auto nothing_in = [&](Table table) {
    for_all(store, bucket_count, table, [&](uint32_t bucket, std::string_view, std::string_view) {
      broken("nothing is left of a follow that ended", bucket, table);
    });
  };
  for (const Table table : {Table::edge, Table::followers, Table::backfill, Table::retired, Table::pending, Table::outbox}) nothing_in(table);
  if (forwards) return;
  for (const Table table : {Table::leaf_no, Table::leaf, Table::applied, Table::tree, Table::lazy}) nothing_in(table);
  audit_no_deliveries(store, bucket_count);
}

void audit_nothing_left(const store::Store& store, uint32_t bucket_count) {
  for (const Table table : {Table::entity_no, Table::entity, Table::sent, Table::message, Table::edge, Table::leaf_no, Table::leaf,
                            Table::applied, Table::followers, Table::retired, Table::root, Table::tree, Table::stream,
                            Table::pending, Table::outbox, Table::mentions, Table::replies, Table::topic, Table::direct, Table::thread,
                            Table::list_head, Table::retain, Table::place, Table::backfill, Table::marker, Table::alias_of,
                            Table::forward, Table::forward_of, Table::ending, Table::lazy})
    for_all(store, bucket_count, table, [&](uint32_t bucket, std::string_view, std::string_view) {
      broken("nothing is left of an entity that was deleted", bucket, table);
    });
  audit_no_deliveries(store, bucket_count);
  // Others may remember where an alias led; its own bucket must not.
  for_all(store, bucket_count, Table::alias, [&](uint32_t bucket, std::string_view key, std::string_view) {
    if (bucket_of(key.substr(3), bucket_count).value() == bucket)
      broken("nothing is left of an entity that was deleted", bucket, Table::alias);
  });
}

}  // namespace canopy::sim
