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
  value[3] = 2;
  overwrite(backend, Space::tables, format_key(), value);
  CHECK(mentions(open_error(backend), "newer program"));
}

TEST_CASE("store: a run of a newer version is refused and named") {
  MemBackend backend = three_runs();
  std::string value = *backend.get(Space::journal, journal_key(4));
  value[8] = 2;
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
  RunWriter writer;
  CHECK(writer.empty());
  writer.begin_record(BucketId(7), Position(3, 4), all.size());
  for (const Write& w : all.all()) writer.add(w, w.body != nullptr);
  writer.begin_record(BucketId(8), Position(5), 0);
  const std::string run(writer.finish(42));

  int records = 0;
  RunReader reader;
  const auto done = reader.take(42, run + "padding", [&](BucketId bucket, Position upto, const Writes& writes) -> Result<void> {
    if (++records == 2) {
      CHECK(bucket == BucketId(8));
      CHECK(writes.empty());
      return {};
    }
    CHECK(bucket == BucketId(7));
    CHECK(upto == Position(3, 4));
    REQUIRE(writes.size() == all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      const Write &in = all.all()[i], &out = writes.all()[i];
      CHECK(out.kind == in.kind);
      CHECK(out.key == in.key);
      CHECK(out.value == in.value);
      CHECK(out.member == in.member);
      CHECK((out.ref == in.ref));
      CHECK((out.body != nullptr) == (in.body != nullptr));
      if (in.body) CHECK(*out.body == *in.body);
    }
    return {};
  });
  CHECK(done.has_value());
  CHECK(records == 2);
  CHECK(reader.between_runs());
  // Never to change: the head of a run on disk.
  CHECK(run.substr(8, 13) == std::string("\x01\0\0\0", 4) + static_cast<char>(run.size() - run_head_bytes) + std::string("\0\0\0\0\0\0\0\x2a", 8));
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
