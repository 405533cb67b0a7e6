#include "leaf/leaves.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "base/limits.h"
#include "base/random.h"
#include "leaf/chains.h"
#include "leaf/followers.h"
#include "leaf/home.h"
#include "store/keys.h"
#include "store/mem_backend.h"
#include "store/store.h"

using namespace canopy;
using store::KeyBuilder;
using store::Table;
using wire::StreamItem;

namespace {

constexpr BucketId here(3);

// The leaves of one bucket, stepped by hand.
class Desk {
 public:
  Desk() { store = std::move(store::Store::open(backend_, {}).value()); }
  template <class Work>
  void step(const Work& work) {
    store::Writes writes;
    work(writes);
    position = position.next();
    if (!writes.empty()) store->apply(here, position, writes);
    leaves.check();
  }
  leaf::Leaf& create(std::string_view reflector, uint32_t no, bool welcome = true) {
    leaf::Leaf* leaf = nullptr;
    step([&](store::Writes& writes) {
      leaf = leaves.create(reflector, LeafNo(no), position.next(), writes);
      if (welcome) REQUIRE(leaves.on_welcome(*leaf, {std::string(reflector), leaf->generation, StreamNo(1, 1), {}}, writes));
    });
    return *leaf;
  }
  // Applies items as one step does; `dead` are known as retracted before.
  leaf::Taken on_item(leaf::Leaf& leaf, const StreamItem& item, std::set<MessageId> dead = {}) {
    leaf::Taken taken = leaf::Taken::refused;
    deliveries.clear();
    retractions.clear();
    step([&](store::Writes& writes) {
      const std::function<Position()> take = [this] { return position = position.next(); };
      const std::function<bool(MessageId)> is_dead = [&](MessageId id) { return dead.contains(id); };
      leaf::Applying applying{take, is_dead, *store, writes, {}, {}, {}, false};
      taken = leaves.on_item(leaf, item, applying);
      deliveries = applying.deliveries;
      retractions = applying.retractions;
      ended = applying.ended;
    });
    return taken;
  }
  static StreamItem message(uint64_t no, uint64_t id, bool shared = false, uint8_t hops = 0) {
    StreamItem item;
    item.no = StreamNo(1, no);
    item.ref = {MessageId(id), 7};
    item.message = make_blob("m");
    item.shared = shared;
    item.hops = hops;
    return item;
  }
  static StreamItem retraction(uint64_t no, uint64_t id, uint64_t target, uint8_t hops = 0) {
    StreamItem item;
    item.no = StreamNo(1, no);
    item.kind = StreamItem::Kind::retraction;
    item.ref.id = MessageId(id);
    item.target = target == 0 ? StreamNo() : StreamNo(1, target);
    item.hops = hops;
    return item;
  }
  static StreamItem end(uint64_t no) {
    StreamItem item;
    item.no = StreamNo(1, no);
    item.kind = StreamItem::Kind::ended;
    return item;
  }
  size_t rows(Table table) const {
    size_t n = 0;
    const std::string prefix = KeyBuilder(here, table);
    store->scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view) { return ++n > 0; });
    return n;
  }

  size_t deliveries_kept() const {
    size_t n = 0;
    store->deliveries(here, Position(), Position(UINT64_MAX), [&](Position, const store::DeliveryRow& row) { return n += !row.dead, true; });
    return n;
  }

  std::unique_ptr<store::Store> store;
  leaf::Leaves leaves{here};
  Position position{1, 0};
  std::vector<leaf::Delivery> deliveries;
  std::vector<leaf::Retracted> retractions;
  bool ended = false;

 private:
  store::MemBackend backend_;
};

}  // namespace

TEST_CASE("leaves: one slice erases the deliveries of many retired leaves, and no more than it may") {
  const BucketId bucket(3);
  store::MemBackend backend;
  const auto store = std::move(store::Store::open(backend, {}).value());
  const BodyRef ref{MessageId(1), 1};
  store::Writes writes;
  Position position(1, 1);
  for (uint32_t leaf = 1; leaf <= 10; ++leaf) {
    Position before;
    for (int i = 0; i < 3; ++i) {
      position = position.next();
      writes.deliver(position, {LeafNo(leaf), StreamNo(1, 1), ref, std::exchange(before, position)}, make_blob("body"));
    }
    std::string newest;
    put_be64(newest, before.packed());
    writes.put(KeyBuilder(bucket, Table::retired).add(LeafNo(leaf)), newest);
  }
  store->apply(bucket, position, writes);

  const auto slice = [&](size_t most, size_t& erased) {
    writes.clear();
    const bool more = leaf::erase_retired(bucket, *store, most, writes, erased = 0);
    position = position.next();
    if (!writes.empty()) store->apply(bucket, position, writes);
    return more;
  };
  size_t erased = 0;
  CHECK(slice(20, erased));
  CHECK(erased == 20);
  CHECK(store->body_references(ref) == 10);
  CHECK(slice(20, erased));
  CHECK(erased == 10);
  CHECK(store->body_references(ref) == 0);
  CHECK_FALSE(slice(20, erased));
  CHECK(erased == 0);
}

TEST_CASE("leaves: a retraction that waits behind a gap takes its message before it is delivered") {
  Desk desk;
  leaf::Leaf& leaf = desk.create("alice", 1);
  CHECK(desk.on_item(leaf, Desk::retraction(4, 102, 2)) == leaf::Taken::parked);
  CHECK(desk.on_item(leaf, Desk::message(3, 103)) == leaf::Taken::parked);
  CHECK(desk.on_item(leaf, Desk::message(2, 102)) == leaf::Taken::parked);
  CHECK(desk.on_item(leaf, Desk::message(1, 101)) == leaf::Taken::applied);
  CHECK(leaf.applied == StreamNo(1, 4));
  REQUIRE(desk.deliveries.size() == 2);
  CHECK(desk.deliveries[0].ref.id == MessageId(101));
  CHECK(desk.deliveries[1].ref.id == MessageId(103));
  REQUIRE(desk.retractions.size() == 1);
  CHECK(desk.retractions[0].id == MessageId(102));
  CHECK(desk.retractions[0].target == StreamNo(1, 2));
  CHECK(desk.deliveries_kept() == 2);
  CHECK(desk.store->body_references({MessageId(102), 7}) == 0);
}

TEST_CASE("leaves: what is dead here is passed over, and its number is applied") {
  Desk desk;
  leaf::Leaf& leaf = desk.create("alice", 1);
  CHECK(desk.on_item(leaf, Desk::message(1, 101, true), {MessageId(101)}) == leaf::Taken::applied);
  CHECK(desk.deliveries.empty());
  CHECK(desk.deliveries_kept() == 0);
  CHECK(desk.rows(Table::place) == 0);
  CHECK(desk.on_item(leaf, Desk::message(1, 101)) == leaf::Taken::repeat);
}

TEST_CASE("leaves: only a shared delivery has a place, and both go together") {
  Desk desk;
  leaf::Leaf& leaf = desk.create("alice", 1);
  desk.on_item(leaf, Desk::message(1, 101));
  CHECK(desk.rows(Table::place) == 0);
  desk.on_item(leaf, Desk::message(2, 102, true, 3));
  REQUIRE(desk.deliveries.size() == 1);
  CHECK(desk.deliveries[0].shared);
  CHECK(desk.deliveries[0].hops == 3);
  const Position at = desk.deliveries[0].position;
  CHECK(store::find_place(here, MessageId(102), store::PlaceKind::delivery, 1, *desk.store) == at.packed());
  desk.step([&](store::Writes& writes) {
    const auto row = desk.store->delivery(here, at);
    REQUIRE(row);
    leaf::retract_row(here, at, *row, false, Position(), *desk.store, writes);
  });
  CHECK(desk.rows(Table::place) == 0);
  CHECK(desk.deliveries_kept() == 1);
}

TEST_CASE("leaves: behind the end of a stream nothing is applied") {
  Desk desk;
  leaf::Leaf& leaf = desk.create("alice", 1);
  CHECK(desk.on_item(leaf, Desk::message(3, 103)) == leaf::Taken::parked);
  CHECK(desk.on_item(leaf, Desk::end(2)) == leaf::Taken::parked);
  CHECK(desk.on_item(leaf, Desk::message(1, 101)) == leaf::Taken::applied);
  CHECK(desk.ended);
  CHECK(desk.deliveries.size() == 1);
  CHECK(leaf.applied == StreamNo(1, 2));
}

TEST_CASE("leaves: a leaf of an alias becomes its entity's, with its followers and forwards, and joins again") {
  Desk desk;
  leaf::Leaf& before = desk.create("al", 7, false);
  before.forwards.push_back({EntityNo(9), Position(1, 5), false, false});
  desk.step([&](store::Writes& writes) {
    std::string edge;
    put_be64(edge, Position(1, 5).packed());
    put_u8(edge, 0), put_u8(edge, 0);
    writes.put(KeyBuilder(here, Table::forward).add(LeafNo(7)).add(EntityNo(9)), edge);
    leaf::Followers(here, LeafNo(7), *desk.store).insert(EntityNo(4), writes);
  });
  const Position old = before.generation, again(1, 50);
  leaf::Leaf* after = nullptr;
  desk.step([&](store::Writes& writes) { after = desk.leaves.rename("al", "alice", again, writes); });
  for (int i = 0; i < 2; ++i) {
    REQUIRE(after);
    CHECK(after->no == LeafNo(7));
    CHECK(after->reflector == "alice");
    CHECK(after->generation == again);
    CHECK_FALSE(after->welcomed);
    REQUIRE(after->forwards.size() == 1);
    CHECK(after->forwards[0].to == EntityNo(9));
    CHECK_FALSE(desk.leaves.find("al", *desk.store));
    CHECK(desk.leaves.find("alice", *desk.store) == after);
    CHECK(desk.leaves.reflector_of(LeafNo(7), *desk.store) == "alice");
    CHECK(leaf::Followers(here, LeafNo(7), *desk.store).contains(EntityNo(4)));
    desk.leaves.reset();  // from the store as well
    after = desk.leaves.find("alice", *desk.store);
  }
  desk.step([&](store::Writes& writes) {
    CHECK_FALSE(desk.leaves.on_welcome(*after, {"alice", old, StreamNo(1, 1), {}}, writes));
    CHECK(desk.leaves.on_welcome(*after, {"alice", again, StreamNo(1, 1), {}}, writes));
  });
}

TEST_CASE("leaves: a delivery is found by its stream number, wherever numbers and positions have holes") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Desk desk;
    leaf::Leaf& leaf = desk.create("alice", 2);
    std::map<uint64_t, Position> there;
    // Messages come about in the order of their times.
    const auto id_of = [&](uint64_t no) { return MessageId::after(MessageId(), 1'000 + no * 100 + no % 7 * 300, BucketId(9)); };
    const auto deliver = [&](uint32_t to, Position at, uint64_t no, store::Writes& writes) {
      writes.deliver(at, {LeafNo(to), StreamNo(1, no), {id_of(no), 7}, desk.store->leaf_tail(here, LeafNo(to)).newest}, make_blob("m"));
      if (to == 2) leaf.newest = at;
    };
    const auto find = [&](uint64_t no) {
      const auto plain = leaf::find_in_chain(here, LeafNo(2), StreamNo(1, no), id_of(no), Position(), *desk.store);
      CHECK(desk.leaves.find_delivery(leaf, StreamNo(1, no), id_of(no), Position(), *desk.store) == plain);
      if (plain) {
        CHECK_FALSE(leaf::find_in_chain(here, LeafNo(2), StreamNo(1, no), id_of(no), *plain, *desk.store));
        CHECK(leaf::find_in_chain(here, LeafNo(2), StreamNo(1, no), id_of(no), Position(plain->packed() - 1), *desk.store) == plain);
      }
      return plain;
    };
    CHECK_FALSE(find(1));
    uint64_t no = random.below(5);
    Position at(1, 10 + random.below(1000));
    for (int i = 0; i < 600; ++i) {
      no += 1 + (random.chance(70) ? 0 : random.below(50));
      at = Position(at.packed() + 1 + (random.chance(70) ? 0 : random.below(10'000)));
      there[no] = at;
      store::Writes writes;
      deliver(2, at, no, writes);
      const uint32_t other = random.chance(50) ? 1 : 3;
      for (uint64_t n = random.below(20); n > 0; --n) {
        desk.store->apply(here, at, writes);
        writes.clear();
        at = at.next();
        deliver(other, at, no + 1, writes);
      }
      desk.store->apply(here, at, writes);
    }
    for (int turn = 0; turn < 3; ++turn) {
      for (uint64_t n = 0; n <= no + 2; ++n) {
        const auto known = there.find(n);
        const auto expected = known == there.end() ? std::nullopt : std::optional(known->second);
        if (find(n) != expected) FAIL_CHECK("number ", n);
      }
      for (int i = 0; i < 60; ++i) {  // some are retracted
        const auto one = there.lower_bound(random.below(no));
        if (one == there.end()) continue;
        store::Writes writes;
        const auto row = desk.store->delivery(here, one->second);
        REQUIRE(row);
        leaf::retract_row(here, one->second, *row, random.chance(80), random.chance(50) ? leaf.found_at : Position(), *desk.store, writes);
        there.erase(one);
        at = at.next();
        desk.store->apply(here, at, writes);
        const uint64_t n = random.below(no);
        CHECK(find(n).has_value() == there.contains(n));
      }
    }
  }
}

TEST_CASE("leaves: before it goes on behind what is gone, a leaf asks about everything it holds, by the authors' buckets") {
  Desk desk;
  leaf::Leaf& leaf = desk.create("#x", 1);
  constexpr uint64_t held = limits::check_ids_max + 50;
  const auto id_of = [](uint64_t n) { return MessageId::after(MessageId(), 1'000 + n, BucketId(static_cast<uint16_t>(n % 3))); };
  for (uint64_t n = 1; n <= held; ++n) {
    StreamItem item = Desk::message(n, 1);
    item.ref.id = id_of(n);
    REQUIRE(desk.on_item(leaf, item) == leaf::Taken::applied);
  }
  std::multiset<MessageId> asked;
  size_t rounds = 0;
  for (bool more = true; more;) {
    std::vector<wire::Packet> packets;
    more = desk.leaves.audit(leaf, StreamNo(1, 1000), *desk.store, packets);
    if (!more) {
      CHECK(packets.empty());
      break;
    }
    ++rounds;
    std::vector<wire::Packet> again;
    // A repeat asks the same, and goes no further: what was answered before knows nothing of later retractions.
    CHECK(desk.leaves.audit(leaf, StreamNo(1, 2000), *desk.store, again));
    CHECK(leaf.audit->until == StreamNo(1, 1000));
    CHECK(again.size() == packets.size());
    size_t ids = 0;
    for (const wire::Packet& packet : packets) {
      const auto& check = std::get<wire::Check>(packet);
      for (const MessageId id : check.ids) CHECK(id.bucket() == check.to);
      asked.insert(check.ids.begin(), check.ids.end());
      ids += check.ids.size();
    }
    CHECK(ids <= limits::check_ids_max);
    leaf.audit->asked.clear();  // answered
  }
  CHECK(rounds == 2);
  CHECK(asked.size() == held);
  CHECK(std::set<MessageId>(asked.begin(), asked.end()).size() == held);
  desk.step([&](store::Writes& writes) { desk.leaves.skip_to(leaf, StreamNo(1, 1000), writes); });
  CHECK(leaf.applied == StreamNo(1, 999));
  CHECK_FALSE(leaf.audit);
}

TEST_CASE("leaves: the end of an entity takes its followers' edges, and what came with their follows, in slices") {
  Desk desk;
  desk.create("alice", 1);
  desk.step([&](store::Writes& writes) {
    std::vector<EntityNo> followers;
    for (uint32_t no = 1; no <= 1'200; ++no) {
      followers.push_back(EntityNo(no));
      writes.put(KeyBuilder(here, Table::edge).add(EntityNo(no)).add(LeafNo(1)), leaf::encode_edge({Position(20), no == 3 ? 1u : 0u}));
    }
    leaf::Followers(here, LeafNo(1), *desk.store).insert_all(followers, writes);
    const BodyRef ref{MessageId(5), 7};
    std::string value;
    put_be64(value, 5), put_be32(value, 7);
    writes.put(KeyBuilder(here, Table::backfill).add(EntityNo(3)).add(LeafNo(1)).add(Position(19)), value);
    writes.ref(ref, make_blob("m"));
    store::put_place(here, ref.id, store::PlaceKind::backfill, 3, 19, writes, 1);
  });
  desk.step([&](store::Writes& writes) { desk.leaves.retire("alice", writes); });
  size_t slices = 0, erased = 0;
  for (bool more = true; more; ++slices) {
    REQUIRE(slices < 20);
    desk.step([&](store::Writes& writes) { more = leaf::erase_retired(here, *desk.store, 100, writes, erased); });
  }
  CHECK(slices >= 12);  // a hundred edges each
  CHECK(erased == 0);
  for (const Table table : {Table::edge, Table::followers, Table::backfill, Table::place, Table::retired, Table::leaf, Table::leaf_no})
    CHECK(desk.rows(table) == 0);
  CHECK(desk.store->body_references({MessageId(5), 7}) == 0);
}
