// A root's stream list as its leaves would fetch it, and what stands in the tables for it.
#include "reflector/roots.h"

#include <doctest/doctest.h>

#include <memory>

#include "store/keys.h"
#include "store/mem_backend.h"
#include "store/places.h"
#include "store/store.h"
#include "wire/message.h"

using namespace canopy;
using store::KeyBuilder;
using store::PlaceKind;
using store::Table;
using wire::StreamItem;

namespace {

constexpr BucketId here(3);
constexpr EntityNo alice(1);

class Desk {
 public:
  explicit Desk(uint64_t retention = 10'000) : retention_(retention) {
    store_ = std::move(store::Store::open(backend_, {}).value());
    open();
  }
  void open() {
    roots = std::make_unique<reflector::Roots>(here);
    roots->on_map({[](BucketId) { return NodeIndex(0); }, NodeIndex(0), 64, retention_, 1});
    roots->open(*store_, [](EntityNo) { return std::string("alice"); }, now);
  }
  template <class Work>
  void step(const Work& work) {
    store::Writes writes;
    roots->begin_step(position);
    work(writes);
    position = position.next();
    if (!writes.empty()) store_->apply(here, position, writes);
    roots->check();
  }
  // A leaf in `bucket` joins; returns the first number that it will get.
  StreamNo join(uint16_t bucket = 9) {
    StreamNo first;
    step([&](store::Writes& writes) {
      first = roots->on_join(alice, "alice", BucketId(bucket), {"alice", position.next()}, {}, *store_, writes).first;
    });
    return first;
  }
  reflector::Entering message(uint64_t id, bool foreign = false, bool shared = false, uint8_t hops = 0) const {
    return {ref(id), make_blob("m" + std::to_string(id)), shared, foreign, hops};
  }
  static BodyRef ref(uint64_t id) { return {MessageId(id), static_cast<uint32_t>(id)}; }
  // In the step's own hands, as the bucket does it: a message of others has its place written.
  StreamNo publish(const reflector::Entering& entering, store::Writes& writes) {
    const auto letter = roots->publish(alice, "alice", entering, *store_, writes);
    if (!letter) return {};
    if (entering.foreign) store::put_place(here, entering.ref.id, PlaceKind::stream, alice.value(), letter->item.no.packed(), writes);
    return letter->item.no;
  }
  StreamNo retract(uint64_t id, StreamNo target, uint8_t hops, store::Writes& writes) {
    const auto letter = roots->retract(alice, "alice", MessageId(id), target, hops, *store_, writes);
    if (!letter) return {};
    store::put_place(here, MessageId(id), PlaceKind::passed, alice.value(), letter->item.no.packed(), writes);
    return letter->item.no;
  }
  StreamNo publish(uint64_t id, bool foreign = false) {
    StreamNo no;
    step([&](store::Writes& writes) { no = publish(message(id, foreign), writes); });
    return no;
  }
  StreamNo retract(uint64_t id, StreamNo target) {
    StreamNo no;
    step([&](store::Writes& writes) { no = retract(id, target, 0, writes); });
    return no;
  }
  wire::Fetched fetch(StreamNo first, uint64_t numbers = 100) const {
    return roots->on_fetch(alice, "alice", {BucketId(9), here, "alice", {}, first, StreamNo(first.packed() + numbers - 1)}, *store_);
  }
  // "m7" for a message, "-" for a void number, "r7" for a retraction, "end"; "<n" before them when n numbers are gone.
  std::string listing(StreamNo first) const {
    const wire::Fetched answer = fetch(first);
    std::string out;
    if (!answer.gone_below.zero()) out += "<" + std::to_string(answer.gone_below.packed() - first.packed()) + " ";
    for (const StreamItem& item : answer.items) {
      switch (item.kind) {
        case StreamItem::Kind::message: out += *item.message; break;
        case StreamItem::Kind::void_number: out += "-"; break;
        case StreamItem::Kind::retraction: out += "r" + std::to_string(item.ref.id.packed()); break;
        case StreamItem::Kind::ended: out += "end"; break;
      }
      out += " ";
    }
    return out;
  }
  uint64_t references(uint64_t id) const { return store_->body_references(ref(id)); }
  size_t rows(Table table) const {
    size_t n = 0;
    const std::string prefix = KeyBuilder(here, table);
    store_->scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view) { return ++n > 0; });
    return n;
  }
  const store::Store& reader() const { return *store_; }

  Now now{{1'000'000}, 1'700'000'000'000};
  Position position{1, 0};
  std::unique_ptr<reflector::Roots> roots;

 private:
  uint64_t retention_;
  store::MemBackend backend_;
  std::unique_ptr<store::Store> store_;
};

}  // namespace

TEST_CASE("roots: what a leaf fetches is the message, the retraction, the end, and nothing where a message was") {
  Desk desk;
  const StreamNo first = desk.join();
  const StreamNo one = desk.publish(1);
  desk.publish(2);
  CHECK(one == first);
  desk.retract(1, one);
  desk.step([&](store::Writes& writes) { CHECK(desk.roots->end(alice, "alice", desk.reader(), writes)); });
  CHECK(desk.listing(first) == "- m2 r1 end ");
  CHECK(desk.fetch(first).items[2].target == one);
  CHECK(desk.references(1) == 0);
  CHECK(desk.references(2) == 1);
  desk.open();  // after a restart as well
  CHECK(desk.listing(first) == "- m2 r1 end ");
}

TEST_CASE("roots: a row keeps whether a message is shared and how often it was forwarded") {
  Desk desk;
  const StreamNo first = desk.join();
  desk.step([&](store::Writes& writes) { desk.publish(desk.message(1), writes); });
  desk.step([&](store::Writes& writes) { desk.publish(desk.message(2, false, true), writes); });
  desk.step([&](store::Writes& writes) { desk.publish(desk.message(3, true, true, 7), writes); });
  desk.step([&](store::Writes& writes) { desk.retract(8, {}, 5, writes); });
  const auto items = desk.fetch(first).items;
  REQUIRE(items.size() == 4);
  CHECK_FALSE(items[0].shared);
  CHECK(items[1].shared);
  CHECK(items[1].hops == 0);
  CHECK(items[2].shared);
  CHECK(items[2].hops == 7);
  CHECK(items[3].hops == 5);
  CHECK(items[3].target.zero());
}

TEST_CASE("roots: from share on everything is shared, after a restart too") {
  Desk desk;
  const StreamNo first = desk.join();
  desk.publish(1);
  desk.step([&](store::Writes& writes) { desk.roots->share(alice, "alice", desk.reader(), writes); });
  desk.publish(2);
  desk.open();
  desk.publish(3);
  const auto items = desk.fetch(first).items;
  REQUIRE(items.size() == 3);
  CHECK_FALSE(items[0].shared);
  CHECK(items[1].shared);
  CHECK(items[2].shared);
}

TEST_CASE("roots: without leaves nothing gets a number, and a leaf that comes later begins behind") {
  Desk desk;
  CHECK(desk.publish(1).zero());
  CHECK(desk.retract(1, {}).zero());
  CHECK(desk.references(1) == 0);
  const StreamNo first = desk.join();
  CHECK(desk.publish(2) == first);
}

TEST_CASE("roots: retention takes the rows with their bodies and places, and a leaf is told below what") {
  Desk desk(2);
  const StreamNo first = desk.join();
  for (uint64_t id = 1; id <= 3; ++id) desk.publish(id, true);
  CHECK(desk.listing(first) == "<1 m2 m3 ");
  CHECK(desk.references(1) == 0);
  CHECK(desk.references(2) == 1);
  CHECK_FALSE(store::find_place(here, MessageId(1), PlaceKind::stream, alice.value(), desk.reader()));
  CHECK(store::find_place(here, MessageId(2), PlaceKind::stream, alice.value(), desk.reader()));
  desk.retract(9, {});
  desk.retract(8, {});
  desk.publish(4, true);
  CHECK(desk.listing(first) == "<4 r8 m4 ");
  CHECK_FALSE(store::find_place(here, MessageId(9), PlaceKind::passed, alice.value(), desk.reader()));
  CHECK(store::find_place(here, MessageId(8), PlaceKind::passed, alice.value(), desk.reader()));
  CHECK(desk.rows(Table::place) == 2);
  CHECK(desk.rows(Table::stream) == 2);
}

TEST_CASE("roots: a retention of one or two holds when a step gives out several") {
  for (const uint64_t retention : {1u, 2u, 3u}) {
    CAPTURE(retention);
    Desk desk(retention);
    desk.join();
    uint64_t id = 0;
    for (int turn = 0; turn < 4; ++turn) {
      desk.step([&](store::Writes& writes) {
        for (int i = 0; i < 5; ++i) {
          ++id;
          if (i % 2 == 0) desk.publish(desk.message(id, true, true, 1), writes);
          else desk.retract(id, {}, 1, writes);
        }
      });
      CHECK(desk.rows(Table::stream) == retention);
      CHECK(desk.rows(Table::place) == retention);
      uint64_t bodies = 0;
      for (uint64_t i = 1; i <= id; ++i) bodies += desk.references(i);
      CHECK(bodies == (retention + 1) / 2);
    }
  }
}

TEST_CASE("roots: retracting the oldest message that is kept lets go of its body once") {
  for (const uint64_t retention : {1u, 2u, 3u}) {
    CAPTURE(retention);
    Desk desk(retention);
    desk.join();
    desk.step([&](store::Writes& writes) { writes.ref(Desk::ref(1), make_blob("m1")); });  // a leaf of this shard has it, too
    const StreamNo one = desk.publish(1, true);
    for (uint64_t id = 2; id <= retention; ++id) desk.publish(id);
    desk.retract(1, one);
    CHECK(desk.references(1) == 1);
    CHECK(desk.rows(Table::stream) <= retention);
  }
}

TEST_CASE("roots: the numbers of an entity that is used again after its deletion are above the old ones") {
  Desk desk;
  const StreamNo first = desk.join();
  for (uint64_t id = 1; id <= 5; ++id) desk.publish(id, id % 2 == 0);
  desk.step([&](store::Writes& writes) { desk.roots->end(alice, "alice", desk.reader(), writes); });
  const StreamNo last(first.packed() + 5);
  desk.step([&](store::Writes& writes) { desk.roots->on_leave(alice, "alice", BucketId(9), desk.reader(), writes); });
  desk.step([&](store::Writes&) { desk.roots->on_pushed(alice, "alice", last, {}, desk.now, desk.reader()); });
  CHECK_FALSE(desk.roots->idle(alice, "alice", desk.reader()));
  desk.open();  // owes nobody anything, and leaves the pending set
  desk.now.instant = desk.now.instant + Duration::of_s(1);
  desk.step([&](store::Writes& writes) {
    std::vector<wire::Packet> packets;
    desk.roots->on_time(desk.now, packets, writes);
    CHECK(packets.empty());
  });
  REQUIRE(desk.roots->idle(alice, "alice", desk.reader()));
  int slices = 0;
  for (bool gone = false; !gone; ++slices)
    desk.step([&](store::Writes& writes) { gone = desk.roots->erase(alice, "alice", 2, desk.reader(), writes); });
  CHECK(slices == 4);  // the last finds nothing
  desk.step([&](store::Writes& writes) { desk.roots->forget(alice, writes); });
  for (const Table table : {Table::stream, Table::root, Table::tree, Table::pending, Table::place}) CHECK(desk.rows(table) == 0);
  for (uint64_t id = 1; id <= 5; ++id) CHECK(desk.references(id) == 0);
  CHECK(desk.join() > last);
}

TEST_CASE("roots: a lazy leaf gets no letters and is owed nothing, until it is lazy no longer") {
  Desk desk;
  desk.join(9);
  const auto mode = [&](bool lazy) {
    desk.step([&](store::Writes& writes) { desk.roots->on_mode(alice, "alice", BucketId(9), lazy, desk.now, desk.reader(), writes); });
  };
  const auto tails = [&] {
    std::vector<wire::Packet> packets;
    desk.step([&](store::Writes& writes) { desk.roots->on_time(desk.now, packets, writes); });
    return packets;
  };
  mode(true);
  CHECK(desk.roots->leaves_of(alice, desk.reader()) == std::vector<BucketId>{BucketId(9)});
  StreamNo first;
  desk.step([&](store::Writes& writes) {
    const auto letter = desk.roots->publish(alice, "alice", desk.message(1), desk.reader(), writes);
    REQUIRE(letter);
    CHECK(letter->route.letters() == 0);
    first = letter->item.no;
  });
  CHECK(desk.roots->pending() == 0);
  CHECK(desk.rows(Table::pending) == 0);
  CHECK(desk.listing(first) == "m1 ");
  CHECK(desk.fetch(first.next()).items.empty());
  CHECK(desk.fetch(first.next()).newest == first);
  SUBCASE("also after a restart") {}
  SUBCASE("in the same life") { desk.open(); }
  CHECK(tails().empty());

  mode(false);
  CHECK(desk.roots->pending() == 1);
  const auto owed = tails();
  REQUIRE(owed.size() == 1);
  CHECK(std::get<wire::Tail>(owed[0]).last == first);
  desk.open();
  CHECK(tails().size() == 1);
  desk.roots->on_have(alice, "alice", {BucketId(9), here, "alice", first}, desk.now, desk.reader());
  desk.now.instant = desk.now.instant + Duration::of_s(1);
  CHECK(tails().empty());
  CHECK(desk.roots->pending() == 0);
  desk.step([&](store::Writes& writes) {
    const auto letter = desk.roots->publish(alice, "alice", desk.message(2), desk.reader(), writes);
    CHECK(letter->route.letters() == 1);
  });
}

TEST_CASE("roots: lazy leaves are told to come before half of the list has gone by twice") {
  Desk desk(6);
  desk.join(9);
  desk.join(10);
  desk.step([&](store::Writes& writes) { desk.roots->on_mode(alice, "alice", BucketId(10), true, desk.now, desk.reader(), writes); });
  StreamNo told, no;
  for (uint64_t i = 1; i <= 12; ++i) {
    no = desk.publish(i);
    desk.roots->on_pushed(alice, "alice", no, {}, desk.now, desk.reader());
    std::vector<wire::Packet> packets;
    desk.step([&](store::Writes& writes) { desk.roots->on_time(desk.now, packets, writes); });
    for (const auto& packet : packets) {
      const auto& tail = std::get<wire::Tail>(packet);
      CHECK(tail.to == BucketId(10));
      CHECK(tail.last == no);
      told = no;
      desk.roots->on_have(alice, "alice", {BucketId(10), here, "alice", no}, desk.now, desk.reader());
    }
    if (i >= 3) CHECK(no.packed() - told.packed() < 3);
  }
}

TEST_CASE("roots: a tree is kept as it was as long as no leaf is lazy; the end goes to the lazy ones, too") {
  Desk desk;
  const auto record = [&] { return *desk.reader().get(KeyBuilder(here, Table::tree).add(alice)); };
  desk.join(9);
  desk.join(300);
  CHECK(record() == std::string("\x01\x00\x09\x01\x2c", 5));
  desk.step([&](store::Writes& writes) { desk.roots->on_mode(alice, "alice", BucketId(9), true, desk.now, desk.reader(), writes); });
  CHECK(record() == std::string("\x02\x01\x01\x2c\x00\x09", 6));
  desk.open();
  CHECK(desk.roots->leaves_of(alice, desk.reader()) == std::vector<BucketId>{BucketId(9), BucketId(300)});
  SUBCASE("its end") {
    desk.step([&](store::Writes& writes) {
      const auto letter = desk.roots->end(alice, "alice", desk.reader(), writes);
      CHECK(letter->route.letters() == 2);
    });
    CHECK(record() == std::string("\x01\x00\x09\x01\x2c", 5));
  }
  SUBCASE("a lazy leaf that joins afresh gets letters") {
    desk.join(9);
    CHECK(record() == std::string("\x01\x00\x09\x01\x2c", 5));
  }
  SUBCASE("a lazy leaf leaves") {
    desk.step([&](store::Writes& writes) { desk.roots->on_leave(alice, "alice", BucketId(9), desk.reader(), writes); });
    CHECK(record() == std::string("\x01\x01\x2c", 3));
  }
}
