#include "bucket/lists.h"

#include <doctest/doctest.h>

#include <memory>

#include "store/keys.h"
#include "store/mem_backend.h"
#include "store/store.h"

using namespace canopy;
using bucket::ListEntry;
using bucket::ListKind;
using bucket::Lists;
using store::KeyBuilder;
using store::PlaceKind;
using store::Table;

namespace {

constexpr BucketId here(3);
constexpr EntityNo alice(1), bob(2);
constexpr uint64_t start_ms = 1'700'000'000'000;
constexpr ListKind all_kinds[] = {ListKind::sent, ListKind::mentions, ListKind::replies, ListKind::topic, ListKind::direct};

// The lists of one bucket; what is appended has the ids 1, 2, … of the moment.
class Shelf {
 public:
  explicit Shelf(Lists::Defaults defaults = {}) : defaults_(std::move(defaults)) {
    store_ = std::move(store::Store::open(backend_, {}).value());
    open();
  }
  void open() {
    lists = std::make_unique<Lists>(here);
    lists->open(*store_);
    lists->on_settings(defaults_);
  }
  template <class Work>
  void step(const Work& work) {
    store::Writes writes;
    lists->begin_step();
    work(writes);
    position = position.next();
    if (!writes.empty()) store_->apply(here, position, writes);
  }
  BodyRef next_ref() {
    last_ = MessageId::after(last_, now.wall_ms, here);
    return {last_, 7};
  }
  ListEntry append(ListKind kind, EntityNo entity = alice, MessageId parent = {}, std::vector<ListEntry>* fell_out = nullptr) {
    ListEntry entry;
    step([&](store::Writes& writes) {
      entry = {position.next(), next_ref(), parent};
      lists->append(kind, entity, entry, make_blob("m"), now, *store_, writes, [&](const ListEntry& old) {
        if (fell_out) fell_out->push_back(old);
      });
    });
    return entry;
  }
  void append(ListKind kind, int many) {
    for (int i = 0; i < many; ++i) append(kind);
  }
  void retain(ListKind kind, Retention retention, EntityNo entity = alice) {
    step([&](store::Writes& writes) { lists->retain(kind, entity, retention, writes); });
  }
  size_t trim(size_t max) {
    size_t taken = 0;
    step([&](store::Writes& writes) { taken = lists->trim(max, now, *store_, writes); });
    return taken;
  }
  // The numbers of rows: of the list itself, and what its reader sees.
  size_t stored(ListKind kind, EntityNo entity = alice) const {
    size_t n = 0;
    lists->all(kind, entity, *store_, [&](const ListEntry&) { return ++n > 0; });
    return n;
  }
  std::vector<Position> seen(ListKind kind, EntityNo entity = alice) const {
    std::vector<Position> up, down;
    lists->up(kind, entity, Position(), now, *store_, [&](const ListEntry& e) { return up.push_back(e.position), true; });
    lists->down(kind, entity, std::nullopt, now, *store_, [&](const ListEntry& e) { return down.push_back(e.position), true; });
    CHECK(std::vector<Position>(down.rbegin(), down.rend()) == up);
    return up;
  }
  std::optional<uint64_t> counter(ListKind kind, EntityNo entity = alice) const {
    std::string key = KeyBuilder(here, Table::list_head).add(entity);
    put_u8(key, static_cast<uint8_t>(kind));
    const auto value = store_->get(key);
    return value ? std::optional(Cursor(*value).be64()) : std::nullopt;
  }
  size_t rows(Table table) const {
    size_t n = 0;
    const std::string prefix = KeyBuilder(here, table);
    store_->scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view) { return ++n > 0; });
    return n;
  }
  uint64_t references(const ListEntry& entry) const { return store_->body_references(entry.ref); }
  const store::Store& reader() const { return *store_; }
  void pass(uint64_t s) { now.wall_ms += s * 1000; }

  Now now{{1'000'000}, start_ms};
  Position position{1, 0};
  std::unique_ptr<Lists> lists;

 private:
  Lists::Defaults defaults_;
  store::MemBackend backend_;
  std::unique_ptr<store::Store> store_;
  MessageId last_;
};

}  // namespace

TEST_CASE("lists: what is appended is found by its position, has a body, a place and in replies a thread") {
  for (const ListKind kind : all_kinds) {
    CAPTURE(static_cast<int>(kind));
    Shelf shelf;
    const MessageId parent = kind == ListKind::replies ? MessageId(99) : MessageId();
    const ListEntry one = shelf.append(kind, alice, parent), two = shelf.append(kind, alice, parent);
    shelf.append(kind, bob, parent);
    CHECK(shelf.seen(kind) == std::vector{one.position, two.position});
    CHECK(shelf.lists->newest(kind, alice, shelf.reader()) == two.position);
    const auto found = shelf.lists->find(kind, alice, one.position, shelf.now, shelf.reader());
    REQUIRE(found);
    CHECK(found->ref == one.ref);
    CHECK(found->parent == parent);
    CHECK_FALSE(shelf.lists->find(kind, bob, one.position, shelf.now, shelf.reader()));
    CHECK(shelf.references(one) == 1);
    CHECK(shelf.rows(Table::place) == (kind == ListKind::sent ? 0 : 3));
    CHECK(shelf.rows(Table::thread) == (kind == ListKind::replies ? 3 : 0));
    if (kind != ListKind::sent)
      CHECK(store::find_place(here, one.ref.id, bucket::place_kind(kind), alice.value(), shelf.reader()) == one.position.packed());

    shelf.step([&](store::Writes& writes) { shelf.lists->erase(kind, alice, one, shelf.reader(), writes); });
    CHECK(shelf.seen(kind) == std::vector{two.position});
    CHECK(shelf.references(one) == 0);
    CHECK(shelf.rows(Table::place) == (kind == ListKind::sent ? 0 : 2));
    CHECK(shelf.rows(Table::thread) == (kind == ListKind::replies ? 2 : 0));
    CHECK(shelf.counter(kind) == (kind == ListKind::sent ? std::nullopt : std::optional<uint64_t>(1)));
  }
}

TEST_CASE("lists: retention by count takes the oldest, with body, place and thread, and says so") {
  for (const ListKind kind : all_kinds) {
    CAPTURE(static_cast<int>(kind));
    Shelf shelf({{kind, {3, 0}}});
    std::vector<ListEntry> entries, fell_out;
    for (int i = 0; i < 10; ++i) {
      entries.push_back(shelf.append(kind, alice, kind == ListKind::replies ? MessageId(99) : MessageId(), &fell_out));
      CHECK(shelf.stored(kind) == std::min<size_t>(entries.size(), 3));
      CHECK(shelf.counter(kind) == shelf.stored(kind));
    }
    CHECK(shelf.seen(kind) == std::vector{entries[7].position, entries[8].position, entries[9].position});
    REQUIRE(fell_out.size() == 7);
    for (int i = 0; i < 7; ++i) {
      CHECK(fell_out[i].position == entries[i].position);
      CHECK(shelf.references(entries[i]) == 0);
    }
    CHECK(shelf.rows(Table::place) == (kind == ListKind::sent ? 0 : 3));
    CHECK(shelf.rows(Table::thread) == (kind == ListKind::replies ? 3 : 0));
  }
}

TEST_CASE("lists: retention of one holds") {
  Shelf shelf({{ListKind::mentions, {1, 0}}});
  shelf.append(ListKind::mentions, 4);
  CHECK(shelf.seen(ListKind::mentions) == std::vector{shelf.position});
}

TEST_CASE("lists: what is too old is not seen, and goes two at a time as others come") {
  for (const ListKind kind : {ListKind::sent, ListKind::topic}) {
    CAPTURE(static_cast<int>(kind));
    Shelf shelf({{kind, {0, 60}}});
    shelf.append(kind, 5);
    shelf.pass(60);
    CHECK(shelf.seen(kind).size() == 5);  // not older than a minute
    const ListEntry young = shelf.append(kind);
    CHECK(shelf.stored(kind) == 6);
    shelf.pass(1);
    CHECK(shelf.seen(kind) == std::vector{young.position});
    CHECK_FALSE(shelf.lists->find(kind, alice, Position(1, 1), shelf.now, shelf.reader()));
    CHECK(shelf.lists->find_any(kind, alice, Position(1, 1), shelf.reader()));
    for (const size_t left : {5u, 4u, 4u, 5u}) {  // two out for one in, until none is too old
      shelf.append(kind);
      CHECK(shelf.stored(kind) == left);
    }
    CHECK(shelf.seen(kind).size() == 5);
    CHECK(shelf.counter(kind) == 5);
    CHECK(shelf.lists->left(kind, alice, shelf.reader()) == Position(1, 5));
  }
}

TEST_CASE("lists: what retention took is told by the newest position that it took, and nothing else is") {
  Shelf shelf({{ListKind::topic, {3, 0}}});
  std::vector<ListEntry> entries;
  const auto left = [&] { return shelf.lists->left(ListKind::topic, alice, shelf.reader()); };
  for (int i = 0; i < 5; ++i) entries.push_back(shelf.append(ListKind::topic));
  CHECK(left() == entries[1].position);
  const auto erase = [&](const ListEntry& entry) {
    shelf.step([&](store::Writes& writes) { shelf.lists->erase(ListKind::topic, alice, entry, shelf.reader(), writes); });
  };
  for (int i = 2; i < 5; ++i) erase(entries[i]);  // retracted: that is not to be told
  CHECK(shelf.stored(ListKind::topic) == 0);
  CHECK(left() == entries[1].position);
  shelf.open();
  CHECK(left() == entries[1].position);
  CHECK(shelf.lists->left(ListKind::sent, alice, shelf.reader()).zero());
}

TEST_CASE("lists: a reader brings what is too old to be taken out, also when nothing is appended any more") {
  Shelf shelf({{ListKind::mentions, {0, 60}}});
  shelf.append(ListKind::mentions, 5);
  shelf.pass(61);
  CHECK_FALSE(shelf.lists->trim_due());
  CHECK_FALSE(shelf.lists->touch(ListKind::topic, alice, shelf.now, shelf.reader()));
  CHECK(shelf.lists->touch(ListKind::mentions, alice, shelf.now, shelf.reader()));
  REQUIRE(shelf.lists->trim_due());
  CHECK(shelf.trim(100) == 5);
  CHECK(shelf.stored(ListKind::mentions) == 0);
  CHECK(shelf.rows(Table::place) == 0);
}

TEST_CASE("lists: a retention of its own goes above the fabric's, and survives a restart") {
  Shelf shelf({{ListKind::mentions, {3, 0}}});
  shelf.retain(ListKind::mentions, {5, 0});
  for (int i = 0; i < 2; ++i) {
    CHECK(shelf.lists->retention(ListKind::mentions, alice) == Retention{5, 0});
    CHECK(shelf.lists->retention(ListKind::mentions, bob) == Retention{3, 0});
    CHECK(shelf.lists->retention(ListKind::topic, alice) == Retention{});
    shelf.append(ListKind::mentions, 10);
    CHECK(shelf.stored(ListKind::mentions) == 5);
    shelf.open();
  }
  shelf.retain(ListKind::mentions, {0, 0});  // none: it is not the fabric's again
  shelf.append(ListKind::mentions, 10);
  CHECK(shelf.stored(ListKind::mentions) == 15);
  shelf.step([&](store::Writes& writes) { shelf.lists->forget_retention(alice, writes); });
  CHECK(shelf.lists->retention(ListKind::mentions, alice) == Retention{3, 0});
  CHECK(shelf.rows(Table::retain) == 0);
  CHECK(shelf.rows(Table::list_head) == 0);
}

TEST_CASE("lists: a bound that was lowered is reached in slices, also after a restart") {
  for (const bool restart : {false, true}) {
    CAPTURE(restart);
    Shelf shelf;
    shelf.append(ListKind::topic, 25);
    CHECK_FALSE(shelf.lists->trim_due());
    shelf.retain(ListKind::topic, {4, 0});
    if (restart) shelf.open();
    std::vector<size_t> left;
    while (shelf.lists->trim_due()) {
      REQUIRE(left.size() < 10);
      CHECK(shelf.trim(10) <= 10);
      left.push_back(shelf.stored(ListKind::topic));
    }
    CHECK(left == std::vector<size_t>{15, 5, 4});
    CHECK(shelf.counter(ListKind::topic) == 4);
    CHECK(shelf.rows(Table::place) == 4);
  }
}

TEST_CASE("lists: a slice takes what is too old, whatever the count allows") {
  Shelf shelf;
  shelf.append(ListKind::sent, 5);
  shelf.pass(100);
  shelf.append(ListKind::sent, 3);
  shelf.retain(ListKind::sent, {100, 50});
  CHECK(shelf.trim(100) == 5);
  CHECK(shelf.counter(ListKind::sent) == 3);
  CHECK_FALSE(shelf.lists->trim_due());
}

TEST_CASE("lists: sent has no counter until it has a bound, and then counts what is there") {
  Shelf shelf;
  const ListEntry first = shelf.append(ListKind::sent);
  shelf.append(ListKind::sent, 4);
  CHECK_FALSE(shelf.counter(ListKind::sent));
  shelf.retain(ListKind::sent, {4, 0});

  SUBCASE("with the next message") {
    shelf.append(ListKind::sent);
    CHECK(shelf.stored(ListKind::sent) == 4);
    CHECK(shelf.counter(ListKind::sent) == 4);
  }
  SUBCASE("with a retraction") {
    shelf.step([&](store::Writes& writes) { shelf.lists->erase(ListKind::sent, alice, first, shelf.reader(), writes); });
    CHECK(shelf.counter(ListKind::sent) == 4);
  }
  SUBCASE("with several retractions in one step") {
    shelf.step([&](store::Writes& writes) {
      shelf.lists->all(ListKind::sent, alice, shelf.reader(), [&](const ListEntry& entry) {
        shelf.lists->erase(ListKind::sent, alice, entry, shelf.reader(), writes);
        return true;
      });
    });
    CHECK_FALSE(shelf.counter(ListKind::sent));
    CHECK(shelf.stored(ListKind::sent) == 0);
    shelf.append(ListKind::sent, 6);
    CHECK(shelf.stored(ListKind::sent) == 4);
    CHECK(shelf.counter(ListKind::sent) == 4);
  }
  SUBCASE("with a slice") {
    CHECK(shelf.trim(100) == 1);
    CHECK(shelf.counter(ListKind::sent) == 4);
  }
  SUBCASE("and forgets it with the bound") {
    shelf.append(ListKind::sent);
    shelf.retain(ListKind::sent, {0, 0});
    CHECK_FALSE(shelf.counter(ListKind::sent));
    shelf.append(ListKind::sent, 5);
    CHECK_FALSE(shelf.counter(ListKind::sent));
    shelf.retain(ListKind::sent, {7, 0});
    shelf.append(ListKind::sent);
    shelf.trim(100);
    CHECK(shelf.stored(ListKind::sent) == 7);
    CHECK(shelf.counter(ListKind::sent) == 7);
  }
}
