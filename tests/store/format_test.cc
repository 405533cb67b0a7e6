// What is on disk: refused when it is newer or damaged, and never changed by the refusal.
#include "base/hash.h"
#include "hosts.h"
#include "store/journal.h"
#include "store/packed_set.h"
#include "store/rows.h"

namespace canopy::store {
namespace {

std::string open_error(MemBackend& backend, StoreOptions options = {}) {
  const auto before = backend.image();
  auto opened = Store::open(backend, options);
  if (opened) return "opened";
  CHECK(opened.error().code == Code::unavailable);
  CHECK(backend.image() == before);
  return opened.error().message;
}

void overwrite(MemBackend& backend, Space space, const std::string& key, const std::string& value) {
  REQUIRE(backend.begin().has_value());
  REQUIRE(backend.put(space, key, value).has_value());
  REQUIRE(backend.commit().has_value());
}

// Three buckets, a run of several values each; nothing checkpointed.
MemBackend three_runs() {
  Shard<MemHost> s;
  for (int bucket = 1; bucket <= 3; ++bucket) {
    Writes w;
    w.put(test_key(bucket, "a"), std::string(300, 'x'));
    w.ref(test_ref(1), make_blob("body"));
    s.apply(bucket, w);
    s.commit();
  }
  return MemBackend(s.host.mem.image());
}

bool mentions(const std::string& message, std::string_view what) { return message.find(what) != std::string::npos; }

}  // namespace

TEST_CASE("store: a newer format is refused and left alone") {
  MemBackend backend = three_runs();
  std::string value = *backend.get(Space::tables, format_key());
  value[3] = static_cast<char>(format_version + 1);
  overwrite(backend, Space::tables, format_key(), value);
  CHECK(mentions(open_error(backend), "newer program"));
}

TEST_CASE("store: one of before the first release is refused and left alone") {
  MemBackend backend = three_runs();
  const std::string stored = *backend.get(Space::tables, format_key());
  std::string value(*unseal(format_key(), stored));
  value[3] = 1;
  overwrite(backend, Space::tables, format_key(), seal(format_key(), value));
  const std::string message = open_error(backend);
  CHECK(mentions(message, "its format is 1"));
  CHECK(mentions(message, "made by an earlier version of Canopy"));
}

TEST_CASE("store: a run of a newer version is refused and named") {
  MemBackend backend = three_runs();
  std::string value = *backend.get(Space::journal, journal_key(4));
  value[8] = 3;
  overwrite(backend, Space::journal, journal_key(4), value);
  const std::string message = open_error(backend);
  CHECK(mentions(message, "value 4"));
  CHECK(mentions(message, "newer program"));
}

TEST_CASE("store: any changed byte of a run is found and its sequence named") {
  const MemBackend sound = three_runs();
  const size_t used = run_head_bytes + 1 + 1 + 1 + (1 + 1 + 2 + 2 + 300) + (1 + 8 + 4 + 1);
  for (size_t at = 0; at < used; at += at < run_head_bytes ? 1 : 17) {
    CAPTURE(at);
    MemBackend backend(sound.image());
    const uint64_t sequence = 4 + at / 128;
    std::string value = *backend.get(Space::journal, journal_key(sequence));
    value[at % 128] = static_cast<char>(value[at % 128] ^ 0x41);
    overwrite(backend, Space::journal, journal_key(sequence), value);
    const std::string message = open_error(backend);
    CHECK(mentions(message, "journal: value "));
    if (at < 9 || at > 12) CHECK(mentions(message, "value 4"));  // a wrong length is noticed further on
  }
}

TEST_CASE("store: a missing value is found and named") {
  const MemBackend sound = three_runs();
  for (uint64_t sequence = 1; sequence <= 9; ++sequence) {
    CAPTURE(sequence);
    MemBackend backend(sound.image());
    REQUIRE(backend.begin().has_value());
    REQUIRE(backend.erase(Space::journal, journal_key(sequence)).has_value());
    REQUIRE(backend.commit().has_value());
    CHECK(mentions(open_error(backend), fmt::format("value {} is missing", sequence)));
  }
}

TEST_CASE("store: damaged rows of its own are refused") {
  Shard<MemHost> s;
  Writes w;
  w.put(test_key(1, "a"), "1");
  s.apply(1, w);
  s.commit();
  s.checkpoint_all();
  for (const std::string& key : {format_key(), state_key(), checkpoint_key(BucketId(1))}) {
    MemBackend backend(s.host.mem.image());
    std::string value = *backend.get(Space::tables, key);
    value.back() = static_cast<char>(value.back() + 1);
    overwrite(backend, Space::tables, key, value);
    CHECK(mentions(open_error(backend), "damaged"));
  }
}

TEST_CASE("store: rows without a format are no store") {
  MemBackend backend;
  overwrite(backend, Space::tables, "something", "else");
  CHECK(mentions(open_error(backend), "no format row"));
}

TEST_CASE("store: the size of journal values is the store's, whatever the options say later") {
  MemBackend backend = three_runs();
  StoreOptions options;
  options.journal_value_bytes = 4096;
  auto store = Store::open(backend, options);
  REQUIRE(store.has_value());
  CHECK((*store)->status().journal_bytes == 9 * 128);
  Writes w;
  w.put(test_key(1, "b"), "1");
  (*store)->apply(BucketId(1), Position(2), w);
  REQUIRE((*store)->commit().has_value());
  CHECK((*store)->status().journal_bytes == 10 * 128);
}

TEST_CASE("store: a row carries a checksum over its key and value") {
  const std::string stored = seal("key", "value");
  CHECK(stored.size() == 9);
  CHECK(unseal("key", stored) == "value");
  CHECK(!unseal("kez", stored));
  CHECK(!unseal("key", stored.substr(1)));
  CHECK(!unseal("key", "abc"));
  for (size_t i = 0; i < stored.size(); ++i) {
    std::string changed = stored;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    CHECK(!unseal("key", changed));
  }
}

TEST_CASE("journal: a run reads back as it was written") {
  Writes all;
  all.put(test_key(7, "k"), std::string("v\0w", 3));
  all.put(test_key(7, ""), "");
  all.erase(test_key(7, "e"));
  all.insert(test_key(7, "s"), UINT32_MAX);
  all.remove(test_key(7, "s"), 0);
  all.ref(test_ref(UINT64_MAX, UINT32_MAX), make_blob("body"));
  all.ref(test_ref(2), nullptr);
  all.unref(test_ref(3));
  all.deliver(Position(3, 1), {LeafNo(9), StreamNo(2, 8), test_ref(4), Position(2, 7), true, false}, make_blob("new"));
  all.deliver(Position(3, 3), {LeafNo(0), StreamNo(1), test_ref(5), Position(), false, false}, nullptr);
  all.die(Position(3, 2), test_ref(4));
  all.die(Position(3, 1), test_ref(5));       // took nothing: says no body
  all.forget(Position(1), test_ref(6));
  all.relink(Position(3, 4), Position(2));
  all.relink(Position(3, 4), Position());
  const auto extra = [](const Write& w) {
    return w.kind == Write::Kind::die || w.kind == Write::Kind::forget ? w.position != Position(3, 1) : w.body != nullptr;
  };
  DeliveryBatch batch{StreamNo(1, 5), test_ref(8), make_blob("batch"), true, {}};
  batch.to.push_back({BucketId(7), LeafNo(3), Position(3, 5), Position(3, 1)});
  batch.to.push_back({BucketId(4095), LeafNo(70'000), Position(1), Position()});
  batch.to.push_back({BucketId(0), LeafNo(0), Position(2), Position(1)});
  DeliveryBatch again{StreamNo(6), test_ref(9), nullptr, false, {}};
  again.to.push_back({BucketId(4095), LeafNo(1), Position(2), Position(1)});
  RunWriter writer;
  CHECK(writer.empty());
  writer.begin_record(BucketId(7), Position(3, 4), all.size());
  for (const Write& w : all.all()) writer.add(w, extra(w));
  writer.begin_record(BucketId(8), Position(5), 0);
  writer.add(batch, true);
  writer.add(again, false);
  writer.begin_record(BucketId(8), Position(6), 0);
  const std::string run(writer.finish(42));

  struct Seen final : RunReader::Visitor {
    std::vector<std::pair<BucketId, Position>> records;
    std::vector<Writes> writes;
    std::vector<BodyChange> bodies;
    std::vector<DeliveryBatch> batches;
    int ends = 0;
    Result<void> on_record(BucketId bucket, Position upto, const Writes& w, const std::vector<BodyChange>& b) override {
      records.push_back({bucket, upto});
      writes.push_back(w);
      bodies.insert(bodies.end(), b.begin(), b.end());
      return {};
    }
    Result<void> on_deliver(const DeliveryBatch& b) override {
      batches.push_back(b);
      return {};
    }
    Result<void> on_run_end() override {
      ++ends;
      return {};
    }
  } seen;
  RunReader reader;
  CHECK(reader.take(42, run + "padding", seen).has_value());
  CHECK(reader.between_runs());
  CHECK(seen.ends == 1);
  REQUIRE(seen.records.size() == 3);
  CHECK(seen.records[0] == std::pair(BucketId(7), Position(3, 4)));
  CHECK(seen.records[1] == std::pair(BucketId(8), Position(5)));
  CHECK(seen.records[2] == std::pair(BucketId(8), Position(6)));
  CHECK(seen.writes[1].empty());
  REQUIRE(seen.writes[0].size() == all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    const Write &in = all.all()[i], &out = seen.writes[0].all()[i];
    CHECK(out.kind == in.kind);
    CHECK(out.key == in.key);
    CHECK(out.value == in.value);
    CHECK(out.member == in.member);
    CHECK(out.position == in.position);
    CHECK((out.row == in.row));
    if (in.kind == Write::Kind::die && !extra(in)) {
      CHECK((out.ref == BodyRef()));
    } else {
      CHECK((out.ref == in.ref));
    }
    CHECK((out.body != nullptr) == (in.body != nullptr));
    if (in.body) CHECK(*out.body == *in.body);
  }
  const std::pair<BodyRef, int64_t> counts[] = {{test_ref(UINT64_MAX, UINT32_MAX), 1}, {test_ref(2), 1}, {test_ref(3), -1},
                                                {test_ref(4), 1}, {test_ref(5), 1}, {test_ref(4), -1}, {test_ref(6), -1}};
  REQUIRE(seen.bodies.size() == std::size(counts));
  for (size_t i = 0; i < std::size(counts); ++i) CHECK((std::pair(seen.bodies[i].ref, seen.bodies[i].change) == counts[i]));
  REQUIRE(seen.batches.size() == 2);
  for (const auto& [in, out] : {std::pair(&batch, &seen.batches[0]), std::pair(&again, &seen.batches[1])}) {
    CHECK(out->no == in->no);
    CHECK((out->ref == in->ref));
    CHECK(out->shared == in->shared);
    CHECK((out->body != nullptr) == (in->body != nullptr));
    REQUIRE(out->to.size() == in->to.size());
    for (size_t i = 0; i < in->to.size(); ++i) {
      CHECK(out->to[i].bucket == in->to[i].bucket);
      CHECK(out->to[i].leaf == in->to[i].leaf);
      CHECK(out->to[i].position == in->to[i].position);
      CHECK(out->to[i].before == in->to[i].before);
    }
  }
  // Never to change: the head of a run on disk.
  CHECK(run.substr(8, 13) == std::string("\x02\0\0", 3) + static_cast<char>((run.size() - run_head_bytes) >> 8) +
                                 static_cast<char>(run.size() - run_head_bytes) + std::string("\0\0\0\0\0\0\0\x2a", 8));
}

TEST_CASE("packed set: every order of insert and remove gives the sorted set") {
  std::string set;
  for (const uint32_t m : {9u, 1u, 0xffffffffu, 4u, 0u}) CHECK(set_insert(set, m));
  CHECK(!set_insert(set, 4));
  CHECK(set_size(set) == 5);
  const uint32_t sorted[] = {0, 1, 4, 9, 0xffffffff};
  for (size_t i = 0; i < 5; ++i) CHECK(set_at(set, i) == sorted[i]);
  CHECK(set_contains(set, 9));
  CHECK(!set_contains(set, 8));
  CHECK(set_lower_bound(set, 5) == 3);
  CHECK(set.substr(4, 4) == std::string("\x01\0\0\0", 4));
  CHECK(!set_remove(set, 5));
  for (const uint32_t m : sorted) CHECK(set_remove(set, m));
  CHECK(set.empty());
  CHECK(!set_contains(set, 0));
}

}  // namespace canopy::store
