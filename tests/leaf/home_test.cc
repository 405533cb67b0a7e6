// home() as a function of the rows.
#include "leaf/home.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "rows.h"

using namespace canopy;
using leaf::all;
using leaf::bob;
using leaf::carol;
using leaf::here;
using leaf::HomeEntry;
using leaf::Rows;

TEST_CASE("home: a message that comes by several ways stands at the lowest that leads to the reader") {
  Rows rows;
  rows.follow(bob, 1);           // 1
  rows.follow(bob, 2);           // 2
  rows.follow(carol, 2);         // 3
  rows.deliver(1, 100, true);    // 4: its author's
  rows.deliver(2, 100, true);    // 5: the topic's
  rows.address(bob, 100);        // 6
  rows.deliver(1, 101, false);   // 7
  CHECK(rows.home(bob) == "100@4 101@7 ");
  CHECK(rows.home(carol) == "100@5 ");
  rows.unfollow(bob, 1);         // 8: the first way is lost
  CHECK(rows.home(bob) == "100@5 ");
  rows.unfollow(bob, 2);         // 9
  CHECK(rows.home(bob) == "100@6 ");
}

TEST_CASE("home: what reached a leaf before the follow is no way, and a follow afresh does not bring it back") {
  Rows rows;
  rows.deliver(1, 100, true);    // 1
  rows.follow(bob, 1);           // 2
  rows.follow(bob, 2);           // 3
  rows.deliver(2, 100, true);    // 4
  rows.deliver(1, 101, false);   // 5
  CHECK(rows.home(bob) == "100@4 101@5 ");
  rows.unfollow(bob, 1);         // 6
  rows.follow(bob, 1);           // 7
  CHECK(rows.home(bob) == "100@4 ");
}

TEST_CASE("home: what a follow brought with it stands below it, and is known again") {
  Rows rows;
  rows.follow(bob, 2);                   // 1
  rows.deliver(2, 100, true);            // 2
  rows.follow(bob, 1, {102, 101, 100});  // 6: 102 at 5, 101 at 4, 100 at 3
  rows.deliver(2, 102, true);            // 7
  rows.deliver(1, 103, false);           // 8
  CHECK(rows.home(bob) == "100@2 (101@4) (102@5) 103@8 ");
  rows.unfollow(bob, 1);                 // 9
  CHECK(rows.home(bob) == "100@2 102@7 ");
  CHECK(rows.store->body_references(Rows::ref(101)) == 0);
}

TEST_CASE("home: a leaf that ended leads nowhere while its rows are still there") {
  Rows rows;
  rows.follow(bob, 1, {99});     // 2
  rows.follow(bob, 2);           // 3
  rows.deliver(1, 100, true);    // 4
  rows.deliver(2, 100, true);    // 5
  rows.deliver(1, 101, false);   // 6
  rows.retire(1);
  CHECK(rows.home(bob) == "100@5 ");
}

TEST_CASE("home: capacity counts messages, not ways, and says what has left") {
  Rows rows;
  rows.follow(bob, 1);   // 1
  rows.follow(bob, 2);   // 2
  for (uint64_t id = 100; id < 140; ++id) rows.deliver(1, id, true), rows.deliver(2, id, true);  // 3, 4; 5, 6; …
  CHECK(rows.home(bob, 3) == "137@77 138@79 139@81 ");
  CHECK(leaf::read_home(here, bob, 3, *rows.store).left == Position(1, 75));
  CHECK(leaf::read_home(here, bob, 40, *rows.store).entries.size() == 40);
  CHECK(leaf::read_home(here, bob, 40, *rows.store).left.zero());
}

TEST_CASE("home: the newest by the lowest way, whatever follows, addresses and backfills there were") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Rows rows;
    struct Follow {
      Position since;
      std::map<uint64_t, Position> earlier;
    };
    std::map<uint32_t, Follow> follows;
    std::map<uint32_t, std::map<uint64_t, Position>> delivered;
    std::map<uint64_t, Position> addressed;
    for (int turn = 0; turn < 120; ++turn) {
      const auto leaf = static_cast<uint32_t>(random.below(4) + 1);
      const uint64_t id = 100 + random.below(30);
      switch (random.below(8)) {
        case 0:
          if (follows.contains(leaf)) rows.unfollow(bob, leaf), follows.erase(leaf);
          break;
        case 1:
        case 2: {
          if (follows.contains(leaf)) break;
          std::vector<uint64_t> earlier;
          for (uint64_t n = random.below(3); n > 0; --n) earlier.push_back(200 + 10 * leaf + n);
          if (random.chance(50)) earlier.push_back(id);
          Follow follow;
          follow.since = rows.follow(bob, leaf, earlier);
          for (size_t i = 0; i < earlier.size(); ++i) follow.earlier[earlier[i]] = Position(follow.since.packed() - 1 - i);
          follows[leaf] = follow;
          break;
        }
        case 3:
          if (!addressed.contains(id)) addressed[id] = rows.address(bob, id);
          break;
        default:
          if (!delivered[leaf].contains(id)) delivered[leaf][id] = rows.deliver(leaf, id, true);
      }
      std::map<uint64_t, Position> lowest;
      const auto way = [&](uint64_t message, Position at) {
        const auto [it, fresh] = lowest.emplace(message, at);
        if (!fresh) it->second = std::min(it->second, at);
      };
      for (const auto& [no, follow] : follows) {
        for (const auto& [message, at] : delivered[no])
          if (at > follow.since) way(message, at);
        for (const auto& [message, at] : follow.earlier) way(message, at);
      }
      for (const auto& [message, at] : addressed) way(message, at);
      std::vector<std::pair<Position, uint64_t>> expected;
      for (const auto& [message, at] : lowest) expected.emplace_back(at, message);
      std::sort(expected.begin(), expected.end());
      const size_t capacity = random.chance(50) ? all : 5;
      if (expected.size() > capacity) expected.erase(expected.begin(), expected.end() - static_cast<long>(capacity));
      std::vector<std::pair<Position, uint64_t>> seen;
      for (const HomeEntry& entry : leaf::read_home(here, bob, capacity, *rows.store).entries)
        seen.emplace_back(entry.position, entry.ref.id.packed());
      REQUIRE(seen == expected);
    }
  }
}

TEST_CASE("ways: a lower one is one that leads to that reader") {
  Rows rows;
  rows.follow(bob, 1);
  rows.follow(carol, 2);
  const Position one = rows.deliver(1, 100, true), two = rows.deliver(2, 100, true), three = rows.address(carol, 100);
  const leaf::Ways ways(here, MessageId(100), *rows.store);
  CHECK_FALSE(ways.none());
  CHECK_FALSE(ways.single());
  CHECK_FALSE(ways.lower(bob, one, *rows.store));
  CHECK(ways.lower(bob, two, *rows.store));
  CHECK_FALSE(ways.lower(carol, two, *rows.store));
  CHECK(ways.lower(carol, three, *rows.store));
  CHECK(leaf::Ways(here).none());
  CHECK(leaf::Ways(here, MessageId(101), *rows.store).none());
}
