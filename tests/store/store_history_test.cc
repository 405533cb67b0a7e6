// Random histories against a naive model: whatever is written, checkpointed, refused and crashed,
// the store holds what was committed, with exact counts of references.
#include "base/random.h"
#include "hosts.h"
#include "store/packed_set.h"

namespace canopy::store {
namespace {

constexpr int buckets[] = {0, 1, 2, 3, 255, 4095};
constexpr uint64_t bodies_max = 12;
constexpr int names = 8;

struct Model {
  std::map<std::string, std::string> rows;
  std::map<BucketId, Position> positions;
  std::map<BodyRef, int64_t> counts;

  bool operator==(const Model&) const = default;
  int64_t count(BodyRef ref) const {
    const auto at = counts.find(ref);
    return at == counts.end() ? 0 : at->second;
  }
};

std::string body_of(BodyRef ref) { return std::string(ref.id.packed() * 300, static_cast<char>('a' + ref.id.packed())); }

template <class Host>
class History {
 public:
  History(uint64_t seed, StoreOptions options) : random_(seed) {
    shard_.options = options;
    shard_.crash();
  }

  void step() {
    switch (random_.below(10)) {
      case 0: crash(); break;
      case 1:
        for (uint64_t n = random_.below(4); n > 0; --n) checkpoint();
        break;
      case 2:
        fill();
        shard_.disk->fail_commits(1);
        if (shard_.store->dirty()) {
          REQUIRE(!shard_.store->commit().has_value());
          now_ = settled_;
        }
        shard_.disk->fail_commits(0);
        break;
      case 3:
        fill();
        crash();
        break;
      default:
        fill();
        check();
        shard_.commit();
        settled_ = now_;
    }
    check();
  }

  // When nothing is left in the journal, the tables must hold the bodies that count, and no others.
  void finish() {
    shard_.checkpoint_all();
    check();
    CHECK(shard_.store->status().overlay_bytes == 0);
    uint64_t heads = 0, counted = 0;
    shard_.host.backend().scan(Space::tables, "\xff\xff" "b", "\xff\xff" "c", [&](std::string_view key, std::string_view) {
      heads += key.substr(key.size() - 2) == std::string_view("\0\0", 2);
      return true;
    });
    for (const auto& [ref, count] : now_.counts) counted += count > 0;
    CHECK(heads == counted);
    crash();
    check();
  }

 private:
  void crash() {
    shard_.crash();
    now_ = settled_;
  }

  void checkpoint() {
    const auto more = shard_.store->checkpoint();
    REQUIRE(more.has_value());
    if (random_.chance(30)) shard_.crash();
    check();
  }

  void fill() {
    for (uint64_t steps = 1 + random_.below(4); steps > 0; --steps) {
      const int bucket = buckets[random_.below(std::size(buckets))];
      Writes writes;
      for (uint64_t n = random_.below(6); n > 0; --n) add(bucket, writes);
      shard_.apply(bucket, writes);
      const BucketId b(static_cast<uint16_t>(bucket));
      now_.positions[b] = now_.positions[b].next();
    }
  }

  void add(int bucket, Writes& writes) {
    const uint64_t name = random_.below(names);
    const std::string key = test_key(bucket, fmt::format("row{}", name));
    const std::string set = test_key(bucket, fmt::format("set{}", name % 3));
    const BodyRef ref = test_ref(1 + random_.below(bodies_max));
    const auto member = static_cast<uint32_t>(random_.below(6));
    switch (random_.below(7)) {
      case 0:
      case 1: {
        const std::string value = std::to_string(random_.next()) + std::string(random_.below(200), '.');
        writes.put(key, value);
        now_.rows[key] = value;
        break;
      }
      case 2:
        writes.erase(key);
        now_.rows.erase(key);
        break;
      case 3:
        writes.insert(set, member);
        set_insert(now_.rows[set], member);
        break;
      case 4:
        writes.remove(set, member);
        set_remove(now_.rows[set], member);
        if (now_.rows[set].empty()) now_.rows.erase(set);
        break;
      case 5: {
        // Bytes are given where they are needed, and sometimes where they are not.
        const bool needed = now_.count(ref) == 0 && settled_.count(ref) == 0;
        const bool given_in_batch = needed || random_.chance(30);
        writes.ref(ref, given_in_batch ? make_blob(body_of(ref)) : nullptr);
        ++now_.counts[ref];
        break;
      }
      default:
        // Any bucket may take a reference away, not only the one that made it.
        if (now_.count(ref) == 0) break;
        writes.unref(ref);
        --now_.counts[ref];
    }
  }

  void check() {
    const Store& store = *shard_.store;
    std::map<std::string, std::string> rows;
    std::string last;
    store.scan(test_key(0, ""), "\xff\xff", [&](std::string_view key, std::string_view value) {
      CHECK(last < key);
      last = key;
      rows.emplace(key, value);
      return true;
    });
    CHECK(rows == now_.rows);
    auto expected = now_.rows.rbegin();
    store.scan_back(test_key(0, ""), "\xff\xff", [&](std::string_view key, std::string_view value) {
      const bool same = expected != now_.rows.rend() && expected->first == key && expected->second == value;
      CHECK(same);
      ++expected;
      return same;
    });
    CHECK(expected == now_.rows.rend());
    check_range();
    for (const int bucket : buckets) {
      const BucketId b(static_cast<uint16_t>(bucket));
      CHECK(store.position(b) == now_.positions[b]);
    }
    uint64_t counted = 0;
    for (uint64_t id = 1; id <= bodies_max; ++id) {
      const BodyRef ref = test_ref(id);
      CHECK(store.body_references(ref) == now_.count(ref));
      counted += now_.count(ref) > 0;
      const Blob body = store.body(ref);
      CHECK((body != nullptr) == (now_.count(ref) > 0 || settled_.count(ref) > 0));
      if (body) CHECK(*body == body_of(ref));
    }
    CHECK(store.status().bodies == counted);
  }

  void check_range() {
    const auto some_key = [&] {
      const int bucket = buckets[random_.below(std::size(buckets))];
      return test_key(bucket, fmt::format("{}{}", random_.chance(50) ? "row" : "set", random_.below(names)));
    };
    const std::string from = some_key(), to = some_key();
    std::string naive;
    for (auto at = now_.rows.lower_bound(from); at != now_.rows.end() && at->first < to; ++at)
      naive += (naive.empty() ? "" : " ") + at->first.substr(3) + "=" + at->second;
    CHECK(forth(*shard_.store, from, to) == naive);
    const std::string key = some_key();
    const auto at = now_.rows.find(key);
    CHECK(shard_.store->get(key) == (at == now_.rows.end() ? std::nullopt : std::optional(at->second)));
  }

  Random random_;
  Shard<Host> shard_;
  Model now_, settled_;
};

template <class Host>
void run(uint64_t seeds, int steps) {
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    StoreOptions options{.journal_value_bytes = 64 + seed * 61 % 400, .slice_bytes = seed % 3 ? 1u : 3000u,
                         .trim_values_max = 1 + seed % 5};
    // One half checkpoints only when told, the other half with nearly every commit.
    if (seed % 2 == 0) options.overlay_bytes_max = 2'000 * (seed % 4);
    if (seed % 5 == 0) options.journal_bytes_max = 3'000;
    History<Host> history(seed, options);
    for (int i = 0; i < steps; ++i) {
      CAPTURE(i);
      history.step();
    }
    history.finish();
  }
}

}  // namespace

TEST_CASE("store: random histories with crashes, refusals and checkpoints, on the memory backend") {
  run<MemHost>(40, 250);
}

TEST_CASE("store: random histories with crashes, refusals and checkpoints, on LMDB") {
  run<LmdbHost>(4, 150);
}

TEST_CASE("store: every durable state between two slices opens to the same contents") {
  Shard<MemHost> s;
  for (int i = 0; i < 30; ++i) {
    Writes w;
    w.put(test_key(i % 7, fmt::format("k{}", i)), std::string(50, static_cast<char>('a' + i % 26)));
    w.ref(test_ref(1 + static_cast<uint64_t>(i % 4)), make_blob("body"));
    if (i % 3 == 2) w.unref(test_ref(1 + static_cast<uint64_t>((i - 1) % 4)));
    s.apply(i % 7, w);
    s.commit();
  }
  const auto contents = [](const Store& store) {
    std::string out = forth(store, test_key(0, ""), test_key(4095, ""));
    for (uint64_t id = 1; id <= 4; ++id)
      out += fmt::format(" {}:{}:{}", id, store.body_references(test_ref(id)), store.body(test_ref(id)) ? "there" : "gone");
    for (uint16_t b = 0; b < 7; ++b) out += fmt::format(" {}", store.position(BucketId(b)).packed());
    return out;
  };
  const std::string expected = contents(*s.store);
  int states = 0;
  for (bool more = true; more; ++states) {
    more = *s.store->checkpoint();
    MemBackend copy(s.host.mem.image());
    auto reopened = Store::open(copy, s.options);
    REQUIRE(reopened.has_value());
    CHECK(contents(**reopened) == expected);
    // The copy goes on checkpointing from there and ends in the same place.
    while (*(*reopened)->checkpoint()) {}
    CHECK(contents(**reopened) == expected);
  }
  CHECK(states > 7);
}

}  // namespace canopy::store
