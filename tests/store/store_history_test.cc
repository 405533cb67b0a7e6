// Random histories against a naive model: whatever is written, checkpointed, refused and crashed,
// the store holds what was committed, with exact counts of references.
#include "base/random.h"
#include "hosts.h"
#include "store/delivery_chunk.h"
#include "store/packed_set.h"

namespace canopy::store {
namespace {

constexpr int buckets[] = {0, 1, 2, 3, 255, 4095};
constexpr uint64_t bodies_max = 12;
constexpr int names = 8;
constexpr uint32_t leaves = 60;

BucketId id_of(int bucket) { return BucketId(static_cast<uint16_t>(bucket)); }
std::string applied_key(BucketId bucket, LeafNo leaf) { return KeyBuilder(bucket, Table::applied).add(leaf); }

struct Model {
  std::map<std::string, std::string> rows;
  std::map<BucketId, Position> positions;
  std::map<BodyRef, int64_t> counts;
  std::map<BodyRef, int64_t> plain;  // of these, by ref and not by deliver
  std::map<BucketId, std::map<Position, DeliveryRow>> deliveries;
  std::map<std::pair<BucketId, LeafNo>, LeafTail> tails;
  std::map<std::pair<BucketId, LeafNo>, bool> ended;

  bool operator==(const Model&) const = default;
  int64_t count(BodyRef ref) const {
    const auto at = counts.find(ref);
    return at == counts.end() ? 0 : at->second;
  }
};

std::string body_of(BodyRef ref) { return std::string(ref.id.packed() * 300, static_cast<char>('a' + ref.id.packed())); }

// Rows that a checkpoint makes or changes by itself: read by other ways.
bool deliveries_own(std::string_view key) {
  return key[2] == static_cast<char>(Table::applied) || key[2] == static_cast<char>(Table::delivery) ||
         key[2] == static_cast<char>(Table::tails);
}

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
      if (random_.chance(30)) {
        deliver_batch();
        continue;
      }
      const int bucket = buckets[random_.below(std::size(buckets))];
      Writes writes;
      Position& position = now_.positions[id_of(bucket)];
      const Position before = position;
      for (uint64_t n = random_.below(6); n > 0; --n) random_.chance(50) ? add(bucket, writes) : add_delivery(bucket, writes);
      if (position == before || random_.chance(20)) position = position.next();
      shard_.store->apply(id_of(bucket), position, writes);
    }
  }

  // Bytes are given where they are needed, and sometimes where they are not.
  Blob body_for(BodyRef ref) {
    const bool needed = now_.count(ref) == 0 && settled_.count(ref) == 0;
    return needed || random_.chance(30) ? make_blob(body_of(ref)) : nullptr;
  }
  BodyRef some_ref() { return test_ref(1 + random_.below(bodies_max)); }
  LeafNo some_leaf() { return LeafNo(static_cast<uint32_t>(random_.below(6) * random_.below(leaves / 5))); }
  // Of the bucket's rows, or where there is none.
  Position some_row(BucketId bucket) {
    const auto& rows = now_.deliveries[bucket];
    const Position any(1 + random_.below(std::max<uint64_t>(1, now_.positions[bucket].packed())));
    const auto at = rows.lower_bound(any);
    return at == rows.end() || random_.chance(10) ? any : at->first;
  }
  Position some_before(BucketId bucket, LeafNo leaf, Position position) {
    return random_.chance(80) ? now_.tails[{bucket, leaf}].newest : Position(random_.below(position.packed()));
  }
  void expect_row(BucketId bucket, Position position, const DeliveryRow& row) {
    now_.deliveries[bucket][position] = row;
    now_.tails[{bucket, row.leaf}] = {std::max(row.no, now_.tails[{bucket, row.leaf}].applied), position};
    ++now_.counts[row.ref];
  }

  void deliver_batch() {
    const BodyRef ref = some_ref();
    DeliveryBatch batch{StreamNo(++no_), ref, body_for(ref), random_.chance(20), {}};
    for (const int bucket : buckets) {
      const BucketId b = id_of(bucket);
      const LeafNo leaf = some_leaf();
      if (random_.chance(40) || now_.ended[{b, leaf}]) continue;
      Position& position = now_.positions[b];
      position = Position(position.packed() + 1 + random_.below(3));
      batch.to.push_back({b, leaf, position, some_before(b, leaf, position)});
      expect_row(b, position, {leaf, batch.no, ref, batch.to.back().before, batch.shared, false});
    }
    shard_.store->deliver(batch);
  }

  void add_delivery(int bucket, Writes& writes) {
    const BucketId b = id_of(bucket);
    const LeafNo leaf = some_leaf();
    const Position at = some_row(b);
    auto& rows = now_.deliveries[b];
    const auto row = rows.find(at);
    const bool live = row != rows.end() && !row->second.dead;
    const uint64_t what = random_.below(12);
    if (what < 5) {
      if (now_.ended[{b, leaf}]) return;
      Position& position = now_.positions[b];
      position = Position(position.packed() + 1 + random_.below(3));
      const BodyRef ref = some_ref();
      const DeliveryRow added{leaf, StreamNo(++no_), ref, some_before(b, leaf, position), random_.chance(20), false};
      writes.deliver(position, added, body_for(ref));
      expect_row(b, position, added);
    } else if (what < 7) {
      writes.die(at, live ? row->second.ref : BodyRef());
      if (!live) return;
      --now_.counts[row->second.ref];
      row->second = {row->second.leaf, row->second.no, {}, row->second.before, false, true};
    } else if (what < 9) {
      writes.forget(at, live ? row->second.ref : BodyRef());
      if (live) --now_.counts[row->second.ref];
      if (row != rows.end()) rows.erase(row);
    } else if (what < 10) {
      const Position before(random_.below(at.packed()));
      writes.relink(at, before);
      if (row != rows.end()) row->second.before = before;
    } else if (what < 11) {
      if (now_.ended[{b, leaf}]) return;
      LeafTail tail = now_.tails[{b, leaf}];
      tail.applied = StreamNo(tail.applied.packed() + random_.below(20));
      writes.put(applied_key(b, leaf), encode_tail(tail));
      now_.tails[{b, leaf}] = tail;
    } else if (random_.chance(30)) {
      writes.erase(applied_key(b, leaf));
      now_.ended[{b, leaf}] = true;
      now_.tails[{b, leaf}] = {};
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
        writes.ref(ref, body_for(ref));
        ++now_.counts[ref];
        ++now_.plain[ref];
        break;
      }
      default:
        // Any bucket may take a reference away, not only the one that made it.
        if (now_.plain[ref] == 0) break;
        writes.unref(ref);
        --now_.counts[ref];
        --now_.plain[ref];
    }
  }

  void check() {
    const Store& store = *shard_.store;
    std::map<std::string, std::string> rows;
    std::string last;
    store.scan(test_key(0, ""), "\xff\xff", [&](std::string_view key, std::string_view value) {
      CHECK(last < key);
      last = key;
      if (!deliveries_own(key)) rows.emplace(key, value);
      return true;
    });
    CHECK(rows == now_.rows);
    auto expected = now_.rows.rbegin();
    store.scan_back(test_key(0, ""), "\xff\xff", [&](std::string_view key, std::string_view value) {
      if (deliveries_own(key)) return true;
      const bool same = expected != now_.rows.rend() && expected->first == key && expected->second == value;
      CHECK(same);
      ++expected;
      return same;
    });
    CHECK(expected == now_.rows.rend());
    check_range();
    for (const int bucket : buckets) check_deliveries(id_of(bucket));
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

  void check_deliveries(BucketId bucket) {
    const Store& store = *shard_.store;
    const auto& rows = now_.deliveries[bucket];
    const uint64_t last = now_.positions[bucket].packed() + 2;
    for (int i = 0; i < 3; ++i) {
      const Position from = i == 0 ? Position() : Position(random_.below(last));
      const Position to = i == 0 ? Position(UINT64_MAX >> 8) : Position(random_.below(last));
      std::vector<PlacedRow> expected, forth, back;
      for (auto at = rows.lower_bound(from); at != rows.end() && at->first < to; ++at) expected.push_back({at->first, at->second});
      size_t stop = random_.chance(50) ? expected.size() : random_.below(expected.size() + 1);
      if (stop == 0) stop = expected.size() + 1;
      const auto into = [&](std::vector<PlacedRow>& seen) {
        return [&seen, stop](Position position, const DeliveryRow& row) {
          seen.push_back({position, row});
          return seen.size() != stop;
        };
      };
      store.deliveries(bucket, from, to, into(forth));
      store.deliveries_back(bucket, from, to, into(back));
      const auto shown = static_cast<std::ptrdiff_t>(std::min(stop, expected.size()));
      CHECK(std::equal(expected.begin(), expected.begin() + shown, forth.begin(), forth.end()));
      CHECK(std::equal(expected.rbegin(), expected.rbegin() + shown, back.begin(), back.end()));
    }
    for (int i = 0; i < 5; ++i) {
      const Position position(random_.below(last));
      const auto at = rows.find(position);
      CHECK((store.delivery(bucket, position) == (at == rows.end() ? std::nullopt : std::optional(at->second))));
    }
    for (uint32_t leaf = 0; leaf < leaves; ++leaf) CHECK((store.leaf_tail(bucket, LeafNo(leaf)) == now_.tails[{bucket, LeafNo(leaf)}]));
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
    CHECK(listing([&](const Reader::Visit& visit) {
            shard_.store->scan(from, to, [&](std::string_view key, std::string_view value) { return deliveries_own(key) || visit(key, value); });
          }) == naive);
    const std::string key = some_key();
    const auto at = now_.rows.find(key);
    CHECK(shard_.store->get(key) == (at == now_.rows.end() ? std::nullopt : std::optional(at->second)));
  }

  Random random_;
  uint64_t no_ = 0;
  Shard<Host> shard_;
  Model now_, settled_;
};

template <class Host>
void run(uint64_t seeds, int steps) {
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    StoreOptions options{.journal_value_bytes = 64 + seed * 61 % 400, .slice_bytes = seed % 3 ? 1u : 3000u,
                         .trim_values_max = 1 + seed % 5, .chunk_bytes = seed % 7 ? 200u : 4080u};
    // One half checkpoints only when told, the other half with nearly every commit.
    if (seed % 2 == 0) options.overlay_bytes_max = 2'000 * (seed % 4);
    if (seed % 5 == 0) options.journal_bytes_max = 3'000;
    if (seed % 3 == 0) options.bodies_bytes_max = 3'000;
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
