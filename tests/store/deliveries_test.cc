// Deliveries: what the store promises of them, on both backends, and how they stand on disk.
#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>

#include "base/random.h"
#include "hosts.h"
#include "store/delivery_chunk.h"
#include "store/delivery_edits.h"
#include "store/leaf_tails.h"
#include "store/rows.h"

namespace canopy::store {
namespace {

constexpr BucketId b1{1};
const LeafNo leaf_a(3), leaf_b(200);

DeliveryRow row(LeafNo leaf, uint64_t no, uint64_t id, Position before = {}) {
  return {leaf, StreamNo(no), test_ref(id), before, false, false};
}
DeliveryRow dead(DeliveryRow row) { return {row.leaf, row.no, {}, row.before, false, true}; }

// Rows 1 … n of one leaf, each linked to the one before, every third with a body of its own.
template <class S>
void fill(S& s, uint64_t n) {
  for (uint64_t i = 1; i <= n; ++i) {
    Writes w;
    w.deliver(Position(i), row(leaf_a, i, 1 + i / 3, Position(i - 1)), make_blob("body"));
    s.store->apply(b1, Position(i), w);
  }
}

std::string numbers(const Reader& reader, uint64_t from, uint64_t to, bool forward = true) {
  std::string out;
  const VisitDelivery visit = [&](Position position, const DeliveryRow& r) {
    out += fmt::format("{}{}{}", out.empty() ? "" : " ", position.packed(), r.dead ? "x" : "");
    return true;
  };
  forward ? reader.deliveries(b1, Position(from), Position(to), visit) : reader.deliveries_back(b1, Position(from), Position(to), visit);
  return out;
}

size_t rows_of(Backend& backend, Table table) {
  size_t rows = 0;
  const std::string from = KeyBuilder(b1, table);
  backend.scan(Space::tables, from, after_prefix(from), [&](std::string_view, std::string_view) { return ++rows > 0; });
  return rows;
}

// Returns whether `act` ends the process.
template <class Act>
bool ends(const Act& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);  // doctest would report it
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 1);
    ::dup2(null, 2);
    act();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

}  // namespace

TEST_CASE_TEMPLATE("deliveries: one is seen at once, after the commit, after a restart and after a checkpoint", Host, BOTH_HOSTS) {
  Shard<Host> s;
  const DeliveryRow first = row(leaf_a, 7, 10);
  const auto check = [&] {
    CHECK((s.store->delivery(b1, Position(2)) == first));
    CHECK(!s.store->delivery(b1, Position(1)));
    CHECK(!s.store->delivery(b1, Position(3)));
    CHECK((s.store->leaf_tail(b1, leaf_a) == LeafTail{StreamNo(7), Position(2)}));
    CHECK((s.store->leaf_tail(b1, leaf_b) == LeafTail()));
    CHECK((s.store->leaf_tail(BucketId(2), leaf_a) == LeafTail()));
    CHECK(s.store->position(b1) == Position(3));
    CHECK(s.store->body_references(test_ref(10)) == 1);
    CHECK(*s.store->body(test_ref(10)) == "ten");
  };
  Writes w;
  w.deliver(Position(2), first, make_blob("ten"));
  s.store->apply(b1, Position(3), w);
  check();
  s.commit();
  check();
  s.crash();
  check();
  s.checkpoint_all();
  CHECK(s.store->status().overlay_bytes == 0);
  check();
  s.crash();
  CHECK(s.store->status().replayed == 0);
  check();
}

TEST_CASE_TEMPLATE("deliveries: a message for many leaves is one record, with a reference for each", Host, BOTH_HOSTS) {
  Shard<Host> s;
  constexpr int many = 200;
  for (uint64_t message = 1; message <= 10; ++message) {
    DeliveryBatch batch{StreamNo(message), test_ref(message), make_blob("body"), message % 2 == 0, {}};
    for (int bucket = 0; bucket < many; ++bucket)
      batch.to.push_back({BucketId(static_cast<uint16_t>(bucket)), leaf_b, Position(message), Position(message - 1)});
    s.store->deliver(batch);
  }
  CHECK(s.store->dirty());
  s.commit();
  CHECK(s.store->status().journal_bytes < 8 * 10 * many);
  const auto check = [&] {
    for (uint64_t message = 1; message <= 10; ++message) CHECK(s.store->body_references(test_ref(message)) == many);
    const DeliveryRow last{leaf_b, StreamNo(10), test_ref(10), Position(9), true, false};
    for (const uint16_t bucket : {uint16_t{0}, uint16_t{1}, uint16_t{199}}) {
      CHECK((s.store->delivery(BucketId(bucket), Position(10)) == last));
      CHECK((s.store->leaf_tail(BucketId(bucket), leaf_b) == LeafTail{StreamNo(10), Position(10)}));
      CHECK(s.store->position(BucketId(bucket)) == Position(10));
    }
  };
  check();
  s.crash();
  check();
  s.checkpoint_all();
  check();
  s.store->deliver({StreamNo(11), test_ref(11), nullptr, false, {}});
  CHECK(!s.store->dirty());
}

TEST_CASE_TEMPLATE("deliveries: ranges are in order both ways, over chunks, edits and the log", Host, BOTH_HOSTS) {
  Shard<Host> s;
  fill(s, 300);
  s.commit();
  s.checkpoint_all();
  REQUIRE(rows_of(s.host.backend(), Table::delivery) > 3);
  Writes w;
  w.die(Position(100), test_ref(1 + 100 / 3));
  w.forget(Position(101), test_ref(1 + 101 / 3));
  w.relink(Position(102), Position(50));
  w.deliver(Position(305), row(leaf_a, 301, 200, Position(300)), make_blob("body"));
  s.store->apply(b1, Position(306), w);
  const auto check = [&] {
    CHECK(numbers(*s.store, 98, 104) == "98 99 100x 102 103");
    CHECK(numbers(*s.store, 98, 104, false) == "103 102 100x 99 98");
    CHECK(numbers(*s.store, 299, 1000) == "299 300 305");
    CHECK(numbers(*s.store, 299, 1000, false) == "305 300 299");
    CHECK(numbers(*s.store, 301, 305) == "");
    CHECK(numbers(*s.store, 301, 305, false) == "");
    CHECK(numbers(*s.store, 0, 3) == "1 2");
    CHECK(numbers(*s.store, 0, 3, false) == "2 1");
    CHECK(numbers(*s.store, 5, 5) == "");
    CHECK(numbers(*s.store, 6, 5, false) == "");
    CHECK((s.store->delivery(b1, Position(100)) == dead(row(leaf_a, 100, 1, Position(99)))));
    CHECK(!s.store->delivery(b1, Position(101)));
    CHECK(s.store->delivery(b1, Position(102))->before == Position(50));
    CHECK((s.store->leaf_tail(b1, leaf_a) == LeafTail{StreamNo(301), Position(305)}));
    CHECK(s.store->body_references(test_ref(1 + 100 / 3)) == 1);
    int seen = 0;
    s.store->deliveries_back(b1, Position(), Position(1000), [&](Position, const DeliveryRow&) { return ++seen < 4; });
    CHECK(seen == 4);
  };
  check();
  s.commit();
  s.crash();
  check();
  s.checkpoint_all();
  check();
  s.crash();
  check();
}

TEST_CASE_TEMPLATE("deliveries: a row that is dead, gone or was never there is changed no more", Host, BOTH_HOSTS) {
  Shard<Host> s;
  for (const bool checkpointed : {false, true}) {
    CAPTURE(checkpointed);
    const uint64_t base = s.store->position(b1).packed();
    Writes w;
    w.deliver(Position(base + 1), row(leaf_a, base + 1, 10), make_blob("ten"));
    w.deliver(Position(base + 2), row(leaf_a, base + 2, 10, Position(base + 1)), nullptr);
    s.store->apply(b1, Position(base + 2), w);
    s.commit();
    if (checkpointed) s.checkpoint_all();
    const int64_t references = s.store->body_references(test_ref(10));
    Writes changes;
    changes.die(Position(base + 1), test_ref(10));
    changes.die(Position(base + 1), test_ref(10));
    changes.forget(Position(base + 1), test_ref(10));
    changes.forget(Position(base + 1), test_ref(10));
    changes.die(Position(base + 1), test_ref(10));
    changes.relink(Position(base + 1), Position());
    changes.die(Position(base + 3), test_ref(10));
    s.store->apply(b1, Position(base + 3), changes);
    CHECK(s.store->body_references(test_ref(10)) == references - 1);
    CHECK(!s.store->delivery(b1, Position(base + 1)));
    s.commit();
    s.crash();
    CHECK(s.store->body_references(test_ref(10)) == references - 1);
    CHECK(!s.store->delivery(b1, Position(base + 1)));
    CHECK(s.store->leaf_tail(b1, leaf_a).newest == Position(base + 2));
  }
}

TEST_CASE_TEMPLATE("deliveries: a full disk undoes them, and what was changed in others", Host, BOTH_HOSTS) {
  Shard<Host> s;
  fill(s, 100);
  s.commit();
  s.checkpoint_all();
  Writes before;
  before.deliver(Position(101), row(leaf_b, 1, 40), make_blob("body"));
  s.store->apply(b1, Position(101), before);
  s.commit();
  const std::string all = numbers(*s.store, 0, 1000);
  const StoreStatus status = s.store->status();
  Writes w;
  w.die(Position(10), test_ref(1 + 10 / 3));
  w.forget(Position(10), {});
  w.relink(Position(11), Position(5));
  w.die(Position(101), test_ref(40));
  w.deliver(Position(102), row(leaf_b, 2, 41, Position(101)), make_blob("body"));
  w.die(Position(102), test_ref(41));
  s.store->apply(b1, Position(103), w);
  s.store->deliver({StreamNo(3), test_ref(42), make_blob("body"), false, {{b1, leaf_b, Position(104), Position(102)}}});
  CHECK((s.store->leaf_tail(b1, leaf_b) == LeafTail{StreamNo(3), Position(104)}));
  s.disk->fail_commits(1);
  REQUIRE(!s.store->commit().has_value());
  CHECK(numbers(*s.store, 0, 1000) == all);
  CHECK(s.store->delivery(b1, Position(11))->before == Position(10));
  CHECK((s.store->leaf_tail(b1, leaf_b) == LeafTail{StreamNo(1), Position(101)}));
  CHECK(s.store->position(b1) == Position(101));
  CHECK(s.store->status().overlay_bytes == status.overlay_bytes);
  CHECK(s.store->status().bodies == status.bodies);
  s.checkpoint_all();
  CHECK(numbers(*s.store, 0, 1000) == all);
  CHECK(s.store->status().overlay_bytes == 0);
}

TEST_CASE_TEMPLATE("deliveries: forgotten ones leave the tables, and so do their bodies", Host, BOTH_HOSTS) {
  Shard<Host> s;
  fill(s, 300);
  s.commit();
  s.checkpoint_all();
  for (uint64_t i = 1; i <= 300; ++i) {
    Writes w;
    w.forget(Position(i), test_ref(1 + i / 3));
    s.apply(1, w);
    if (i % 90 != 0) continue;
    s.commit();
    s.checkpoint_all();
  }
  s.commit();
  s.checkpoint_all();
  CHECK(rows_of(s.host.backend(), Table::delivery) == 0);
  CHECK(s.store->status().bodies == 0);
  CHECK((s.store->leaf_tail(b1, leaf_a) == LeafTail{StreamNo(300), Position(300)}));
}

TEST_CASE_TEMPLATE("deliveries: small checkpoints fill up the last chunk", Host, BOTH_HOSTS) {
  Shard<Host> s;
  for (uint64_t i = 1; i <= 100; ++i) {
    s.store->deliver({StreamNo(i), test_ref(1), make_blob("body"), false, {{b1, leaf_a, Position(i), Position(i - 1)}}});
    s.commit();
    s.checkpoint_all();
  }
  CHECK(rows_of(s.host.backend(), Table::delivery) < 10);
  s.crash();
  for (uint64_t i = 1; i <= 100; ++i) CHECK((s.store->delivery(b1, Position(i)) == row(leaf_a, i, 1, Position(i - 1))));
}

TEST_CASE_TEMPLATE("deliveries: what a leaf's row says counts when it is further, and an ended leaf is nowhere", Host, BOTH_HOSTS) {
  Shard<Host> s;
  const std::string key = KeyBuilder(b1, Table::applied).add(leaf_a);
  Writes joined;
  joined.put(key, encode_tail({StreamNo(50), Position()}));
  s.apply(1, joined);
  CHECK((s.store->leaf_tail(b1, leaf_a) == LeafTail{StreamNo(50), Position()}));
  s.commit();
  s.checkpoint_all();
  CHECK((s.store->leaf_tail(b1, leaf_a) == LeafTail{StreamNo(50), Position()}));
  Writes w;
  w.deliver(Position(9), row(leaf_a, 51, 1), make_blob("body"));
  s.store->apply(b1, Position(9), w);
  s.commit();
  s.checkpoint_all();
  CHECK((s.store->leaf_tail(b1, leaf_a) == LeafTail{StreamNo(51), Position(9)}));
  Writes ended;
  ended.deliver(Position(10), row(leaf_a, 52, 1), nullptr);
  ended.erase(key);
  s.store->apply(b1, Position(10), ended);
  for (int i = 0; i < 3; ++i) {
    CHECK((s.store->leaf_tail(b1, leaf_a) == LeafTail()));
    CHECK(numbers(*s.store, 0, 100) == "9 10");
    if (i == 0) s.commit();
    i == 1 ? s.checkpoint_all() : s.crash();
  }
  CHECK(rows_of(s.host.backend(), Table::tails) == 0);
}

TEST_CASE("deliveries: bodies are counted once whichever is checkpointed first") {
  // The bodies go by themselves with every slice, the buckets one by one; and every state is opened.
  for (const size_t bodies_bytes_max : {size_t{0}, size_t{1} << 20}) {
    Shard<MemHost> s;
    s.options.bodies_bytes_max = bodies_bytes_max;
    s.crash();
    for (uint64_t i = 1; i <= 6; ++i) {
      DeliveryBatch batch{StreamNo(i), test_ref(i), make_blob("body"), false, {}};
      for (uint16_t bucket = 1; bucket <= 4; ++bucket) batch.to.push_back({BucketId(bucket), leaf_a, Position(2 * i), Position()});
      s.store->deliver(batch);
      Writes w;
      if (i > 2) w.forget(Position(2 * i - 4), test_ref(i - 2));
      s.store->apply(b1, Position(2 * i + 1), w);
      s.commit();
      const auto check = [&](const Store& store) {
        for (uint64_t id = 1; id <= i; ++id) CHECK(store.body_references(test_ref(id)) == (id + 2 <= i ? 3 : 4));
        CHECK(store.status().bodies == i);
      };
      for (bool more = true; more && i != 3;) {
        check(*s.store);
        MemBackend copy(s.host.mem.image());
        auto reopened = Store::open(copy, s.options);
        REQUIRE(reopened.has_value());
        check(**reopened);
        more = *s.store->checkpoint();
      }
    }
  }
}

TEST_CASE("deliveries: a damaged chunk, tails row or body ends the process") {
  Shard<MemHost> s;
  s.options.body_cache_bytes = 0;  // else the body is not read again
  s.crash();
  fill(s, 10);
  s.commit();
  s.checkpoint_all();
  const auto damage = [&](const std::string& from) {
    Backend& backend = s.host.backend();
    std::string key, value;
    backend.scan(Space::tables, from, after_prefix(from), [&](std::string_view k, std::string_view v) {
      key = k;
      value = v;
      return false;
    });
    REQUIRE(!key.empty());
    value[value.size() / 2] = static_cast<char>(value[value.size() / 2] ^ 1);
    REQUIRE(backend.begin().has_value());
    REQUIRE(backend.put(Space::tables, key, value).has_value());
    REQUIRE(backend.commit().has_value());
  };
  const auto read = [&] { (void)s.store->delivery(b1, Position(5)); };
  const auto range = [&] { (void)numbers(*s.store, 0, 100); };
  const auto tail = [&] { (void)s.store->leaf_tail(b1, leaf_a); };
  const auto body = [&] { (void)s.store->body(test_ref(1)); };
  CHECK(!ends(read));
  CHECK(!ends(range));
  CHECK(!ends(tail));
  CHECK(!ends(body));
  damage(KeyBuilder(b1, Table::delivery));
  CHECK(ends(read));
  CHECK(ends(range));
  damage(KeyBuilder(b1, Table::tails));
  CHECK(ends(tail));
  damage("\xff\xff" "b");
  CHECK(ends(body));
}

TEST_CASE("delivery chunk: rows read back as they were written, up to the bound") {
  const Position last(Position::incarnation_max, Position::number_max);
  const DeliveryRow largest{LeafNo(UINT32_MAX), StreamNo(StreamNo::incarnation_max, StreamNo::number_max),
                            test_ref(UINT64_MAX, UINT32_MAX), Position(1), true, false};
  Random random(1);
  for (int kind = 0; kind < 3; ++kind) {
    CAPTURE(kind);
    ChunkWriter writer(Position(2));
    std::vector<PlacedRow> in, out;
    CHECK(writer.empty());
    for (uint64_t i = 0;; ++i) {
      PlacedRow placed{Position(2 + i), row(LeafNo(static_cast<uint32_t>(i)), i, 1 + random.below(1000), Position(i))};
      if (kind == 1) placed = {Position(last.packed() - 1000 + i), largest};
      if (kind == 2) placed = {Position(random.below(1 << 20) + ((i + 2) << 20)), dead(placed.row)};
      if (!writer.add(placed.position, placed.row)) break;
      in.push_back(placed);
    }
    CHECK(in.size() > 10);
    CHECK(writer.value().size() + 4 <= chunk_bytes_max);
    CHECK(decode_chunk(writer.key(), writer.value(), out));
    CHECK((in == out));
    for (size_t cut = 0; cut < writer.value().size(); ++cut) {
      out.clear();
      if (decode_chunk(writer.key(), writer.value().substr(0, cut), out)) CHECK(out.size() < in.size());
    }
  }
  std::vector<PlacedRow> out;
  CHECK(!decode_chunk(Position(1), "", out));
  CHECK(!decode_chunk(Position(1), "\x01", out));
  CHECK(!decode_chunk(Position(1), "\x03", out));
  // Never to change.
  ChunkWriter writer(Position(5));
  CHECK(writer.add(Position(6), {LeafNo(1), StreamNo(2), test_ref(3, 4), Position(3), true, false}));
  CHECK(writer.add(Position(8), {LeafNo(200), StreamNo(9), {}, Position(), false, true}));
  CHECK(writer.add(Position(9), {LeafNo(2), StreamNo(10), test_ref(uint64_t{1} << 22 | 5, 6), Position(8), false, false}));
  CHECK(writer.value() == std::string("\x02" "\x05\x01\x05\x03\0\x03\0\0\0\x04" "\x0a\xc8\x01\x0e\0" "\x04\x02\x02\x01\x02\x05\0\0\0\x06", 26));
}

TEST_CASE("delivery edits: an open table of them is as a map") {
  DeliveryEdits edits;
  std::map<Position, DeliveryEdits::Edit> model;
  Random random(2);
  for (int i = 0; i < 3000; ++i) {
    const Position position(1 + random.below(500) * 4096);
    const DeliveryEdits::Edit edit{random.chance(30), random.chance(30), random.chance(30), Position(random.below(99))};
    edits.set(position, edit);
    model[position] = edit;
    if (i % 100 != 0) continue;
    std::vector<Position> expected;
    for (const auto& [p, e] : model) {
      if (!e.none()) expected.push_back(p);
      const auto found = edits.find(p);
      CHECK(found.gone == e.gone);
      CHECK(found.dead == e.dead);
      CHECK(found.relinked == e.relinked);
      if (!e.none()) CHECK(found.before == e.before);
    }
    CHECK(edits.positions() == expected);
    CHECK(edits.size() == expected.size());
  }
  edits.clear();
  CHECK(edits.empty());
  CHECK(edits.find(Position(1)).none());
}

TEST_CASE("leaf tails: 64 leaves in a row, as they were last written") {
  MemBackend backend;
  std::map<LeafNo, LeafTail> model;
  Random random(3);
  for (uint64_t round = 1; round < 30; ++round) {
    std::map<LeafNo, LeafTail> some;
    for (int i = 0; i < 40; ++i) {
      const LeafNo leaf(static_cast<uint32_t>(random.below(300)));
      some[leaf] = random.chance(20) ? LeafTail() : LeafTail{StreamNo(round, random.below(100)), Position(round, random.below(1000))};
    }
    std::vector<TailChange> changes;
    for (const auto& [leaf, tail] : some) {
      changes.push_back({leaf, tail});
      model[leaf] = tail;
    }
    REQUIRE(backend.begin().has_value());
    REQUIRE(write_tails(backend, b1, changes).has_value());
    REQUIRE(backend.commit().has_value());
    for (uint32_t leaf = 0; leaf < 400; ++leaf) CHECK((stored_tail(backend, b1, LeafNo(leaf)) == model[LeafNo(leaf)]));
  }
}

}  // namespace canopy::store
