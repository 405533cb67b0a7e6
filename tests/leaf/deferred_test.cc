// Rows that were written to no timeline, and the timelines that take them in.
#include "leaf/deferred.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "leaf/timelines.h"
#include "rows.h"

using namespace canopy;
using leaf::bob;
using leaf::carol;
using leaf::Deferred;
using leaf::here;
using leaf::Rows;
using leaf::Timelines;

namespace {

constexpr Now now{{1'000'000}, 0};

// A row that no timeline gets.
Position defer(Rows& rows, uint32_t leaf, uint64_t id, bool shared = false) {
  const Position at = rows.deliver(leaf, id, shared);
  auto* late = rows.deferred.find(LeafNo(leaf));
  if (!late) late = rows.deferred.add(LeafNo(leaf), at);
  REQUIRE(late);
  rows.deferred.defer(*late, at);
  return at;
}

std::vector<Position> lacking(const Rows& rows, EntityNo who, Position synced, size_t max = 1'000) {
  std::vector<Position> found;
  REQUIRE(rows.deferred.collect(who, synced, max, *rows.store, found));
  return found;
}

std::vector<Position> shown(const Timelines::View& view) {
  std::vector<Position> all;
  view.up(Position(), [&](const Timelines::Shown& s) { return all.push_back(s.position), true; });
  return all;
}

void retract(Rows& rows, Position at, bool join = true) {
  rows.step([&](Position, store::Writes& writes) {
    leaf::retract_row(here, at, *rows.store->delivery(here, at), join, Position(), *rows.store, writes);
  });
}

// Other operations of the bucket, so that the rows before are not looked at one by one.
void pass(Rows& rows) { rows.position = Position(rows.position.packed() + 1'000); }

}  // namespace

TEST_CASE("deferred: a timeline lacks what came after its reader's follow, from the leaves that he follows, and after he read") {
  // In few positions; in many of few leaves; of many leaves.
  for (const int many : {0, 1, 2}) {
    CAPTURE(many);
    Rows rows;
    const auto between = [&] {
      if (many >= 1) pass(rows);
    };
    for (uint32_t leaf = 100; many == 2 && leaf < 150; ++leaf) defer(rows, leaf, leaf);
    const Position begin = rows.position;
    defer(rows, 1, 200);
    between();
    rows.follow(bob, 1);
    rows.follow(bob, 2);
    rows.follow(carol, 2);
    const Position first = defer(rows, 1, 201);
    between();
    const Position second = defer(rows, 2, 202);
    defer(rows, 3, 203);
    rows.address(bob, 204);
    const Position by_leaf = defer(rows, 2, 204, true);  // he has it already, where it was addressed to him
    const Position third = defer(rows, 1, 205);
    CHECK(rows.deferred.newest() == third);
    CHECK(lacking(rows, bob, begin) == std::vector{first, second, third});
    CHECK(lacking(rows, carol, begin) == std::vector{second, by_leaf});
    CHECK(lacking(rows, EntityNo(7), begin).empty());
    CHECK(lacking(rows, bob, first) == std::vector{second, third});
    CHECK(lacking(rows, bob, third).empty());
    std::vector<Position> found;
    CHECK_FALSE(rows.deferred.collect(bob, begin, 2, *rows.store, found));
  }
}

TEST_CASE("deferred: what was retracted is lacked by nobody, and leads on to what stands below") {
  for (const bool far : {false, true}) {
    CAPTURE(far);
    Rows rows;
    rows.follow(bob, 1);
    const Position begin = rows.position;
    std::vector<Position> at;
    for (uint64_t id = 1; id <= 6; ++id) {
      if (far) pass(rows);
      at.push_back(defer(rows, 1, id));
    }
    retract(rows, at[1]);
    retract(rows, at[5]);
    CHECK(lacking(rows, bob, begin) == std::vector{at[0], at[2], at[3], at[4]});
    // It is in append now. The newest deferred row goes for good when the one above is retracted too.
    const Position above = rows.deliver(1, 7, false);
    retract(rows, above);
    REQUIRE_FALSE(rows.store->delivery(here, at[5]));
    CHECK(lacking(rows, bob, begin) == std::vector{at[0], at[2], at[3], at[4]});
  }
}

TEST_CASE("deferred: a long way down a chain is given up") {
  Rows rows;
  rows.follow(bob, 1);
  const Position begin = rows.position;
  pass(rows);
  std::vector<Position> at;
  for (uint64_t id = 1; id <= 300; ++id) at.push_back(defer(rows, 1, id));
  CHECK(lacking(rows, bob, begin, 300) == at);
  for (const Position row : at) retract(rows, row, false);
  std::vector<Position> found;
  CHECK_FALSE(rows.deferred.collect(bob, begin, 100, *rows.store, found));
  CHECK(lacking(rows, bob, begin, 300).empty());
}

TEST_CASE("deferred: leaves that everybody has everything of are forgotten; there may be so many, and no more") {
  Deferred deferred(here);
  auto* one = deferred.add(LeafNo(1), Position(10));
  REQUIRE(one);
  CHECK(one->since == Position(9));
  deferred.defer(*one, Position(10));
  deferred.defer(*deferred.add(LeafNo(2), Position(20)), Position(20));
  CHECK(deferred.newest() == Position(20));
  deferred.settle(Position(19));
  CHECK(deferred.size() == 1);
  CHECK_FALSE(deferred.find(LeafNo(1)));
  CHECK(deferred.newest() == Position(20));
  deferred.settle(Position(20));
  CHECK(deferred.empty());
  CHECK(deferred.newest().zero());

  uint32_t leaf = 1;
  while (deferred.add(LeafNo(leaf), Position(leaf))) REQUIRE(++leaf < 1'000'000);
  CHECK(leaf == 100'001);
  deferred.erase(LeafNo(7));
  CHECK(deferred.add(LeafNo(leaf), Position(leaf)));
}

TEST_CASE("timelines: what was deferred comes in at its place when the timeline is opened, once") {
  Rows rows;
  rows.follow(bob, 1);
  rows.follow(bob, 2);
  Timelines timelines(here);
  timelines.limit(40, 1u << 20, Duration::of_s(3600));
  timelines.open(bob, now, rows.deferred, *rows.store);
  std::vector<Position> all;
  const uint32_t only = bob.value();
  for (uint64_t id = 1; id <= 60; ++id) {
    if (id % 3 == 0) {
      all.push_back(defer(rows, 1, id));
    } else {
      all.push_back(rows.deliver(id % 3, id, false));
      timelines.append_all(&only, 1, all.back());
    }
    timelines.check(rows.deferred, *rows.store);
    if (id == 20) CHECK(shown(timelines.open(bob, now, rows.deferred, *rows.store)) == all);
  }
  CHECK_FALSE(timelines.lacks_nothing(bob, rows.deferred));
  // 40 were appended: those of the others that are not above what has left must not come back.
  const auto view = timelines.open(bob, now, rows.deferred, *rows.store);
  CHECK(shown(view) == std::vector<Position>(all.end() - 40, all.end()));
  CHECK(view.left() == all[19]);
  CHECK(timelines.lacks_nothing(bob, rows.deferred));
  CHECK(timelines.all_brought_up() == rows.position);
  CHECK(timelines.reads(bob) == 3);
  CHECK(timelines.taken_in().times == 2);
  CHECK(timelines.taken_in().rows == 20);
  // Rows of the leaf that were appended between two deferred ones are there: they count as repeats.
  CHECK(timelines.taken_in().repeats > 0);
  timelines.check(rows.deferred, *rows.store);
  timelines.drop(bob);
  CHECK(timelines.reads(carol) == 0);
  CHECK(timelines.all_brought_up() == Position(UINT64_MAX));
}

TEST_CASE("timelines: one that lacks more than it shows is read from the store instead") {
  Rows rows;
  rows.follow(bob, 1);
  rows.follow(carol, 1);
  Timelines timelines(here);
  timelines.limit(20, 1u << 20, Duration::of_s(3600));
  timelines.open(bob, now, rows.deferred, *rows.store);
  timelines.open(carol, now, rows.deferred, *rows.store);
  std::vector<Position> all;
  for (uint64_t id = 1; id <= 21; ++id) all.push_back(defer(rows, 1, id));
  CHECK(shown(timelines.open(bob, now, rows.deferred, *rows.store)) == std::vector<Position>(all.begin() + 1, all.end()));
  CHECK(timelines.taken_in().given_up == 1);
  CHECK(timelines.taken_in().times == 0);
  CHECK(timelines.reads(bob) == 2);
  timelines.check(rows.deferred, *rows.store);
}

TEST_CASE("timelines: whatever is appended, deferred, addressed, brought or taken back, warm is cold") {
  uint64_t taken_in = 0, repeats = 0, given_up = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Rows rows;
    Timelines timelines(here);
    const size_t capacity = random.chance(50) ? 2 + random.below(12) : 800;
    timelines.limit(capacity, random.chance(20) ? 4'000 : 1u << 20, Duration::of_s(3600));
    const uint32_t leaves = random.chance(50) ? 3 : 60;
    std::map<uint32_t, std::vector<uint32_t>> followers;  // of leaves
    std::map<Position, uint32_t> delivered;               // plain ones, by leaf
    std::set<uint32_t> merged;
    uint64_t id = 100;
    for (int turn = 0; turn < 500; ++turn) {
      const auto leaf = static_cast<uint32_t>(1 + random.below(leaves));
      const auto who = static_cast<uint32_t>(5 + random.below(4));
      switch (random.below(16)) {
        case 0:
        case 1: {
          auto& all = followers[leaf];
          const auto at = std::find(all.begin(), all.end(), who);
          timelines.drop(EntityNo(who));
          if (at != all.end()) {
            if (random.chance(70)) break;
            all.erase(at);
            rows.unfollow(EntityNo(who), leaf);
            break;
          }
          std::vector<uint64_t> earlier;
          for (uint64_t n = random.below(4); n > 0; --n) earlier.push_back(++id);
          rows.follow(EntityNo(who), leaf, earlier);
          all.push_back(who);
          std::sort(all.begin(), all.end());
          break;
        }
        case 2: {
          const Position at = rows.address(EntityNo(who), ++id);
          if (timelines.contains(EntityNo(who))) timelines.append(EntityNo(who), {at, Rows::ref(id), false, true});
          break;
        }
        case 3:
        case 4: {
          if (delivered.empty()) break;
          auto one = std::prev(delivered.end());
          for (uint64_t back = random.chance(70) ? random.below(4) : random.below(60); back > 0 && one != delivered.begin(); --back) --one;
          retract(rows, one->first, random.chance(50));
          for (const uint32_t follower : followers[one->second]) timelines.retract(EntityNo(follower), one->first);
          delivered.erase(one);
          break;
        }
        case 5: timelines.open(EntityNo(who), now, rows.deferred, *rows.store); break;
        case 6:
          if (random.chance(20)) rows.position = Position(rows.position.packed() + (uint64_t{1} << (5 + random.below(29))));
          break;
        case 7: merged.contains(leaf) ? void(merged.erase(leaf)) : void(merged.insert(leaf)); break;
        case 8:
          if (random.chance(10)) rows.deferred.settle(timelines.all_brought_up());
          break;
        default:
          for (uint64_t n = random.chance(5) ? random.below(30) : 1; n > 0; --n) {
            if (merged.contains(leaf)) {
              delivered[defer(rows, leaf, ++id)] = leaf;
              continue;
            }
            const Position at = rows.deliver(leaf, ++id, false);
            timelines.append_all(followers[leaf].data(), followers[leaf].size(), at);
            delivered[at] = leaf;
          }
      }
      timelines.check(rows.deferred, *rows.store);
    }
    taken_in += timelines.taken_in().rows;
    repeats += timelines.taken_in().repeats;
    given_up += timelines.taken_in().given_up;
  }
  CHECK(taken_in > 100);
  CHECK(repeats > 10);
  CHECK(given_up > 5);
}
