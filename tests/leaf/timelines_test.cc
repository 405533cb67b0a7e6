// The timelines in memory: lines of offsets, and the few entries beside them.
#include "leaf/timelines.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "base/random.h"
#include "rows.h"

using namespace canopy;
using leaf::bob;
using leaf::carol;
using leaf::here;
using leaf::Rows;
using leaf::Timelines;

namespace {

constexpr Now now{{1'000'000}, 0};

// What a view shows, by its positions.
std::vector<Position> up(const Timelines::View& view, Position from = {}) {
  std::vector<Position> shown;
  CHECK(view.up(from, [&](const Timelines::Shown& s) { return shown.push_back(s.position), true; }));
  return shown;
}
std::vector<Position> down(const Timelines::View& view, std::optional<Position> before = {}) {
  std::vector<Position> shown;
  CHECK(view.down(before, [&](const Timelines::Shown& s) { return shown.push_back(s.position), true; }));
  return shown;
}

// A delivery of a leaf that all of these follow.
Position deliver(Rows& rows, Timelines& timelines, uint32_t leaf, uint64_t id, const std::vector<uint32_t>& followers) {
  const Position at = rows.deliver(leaf, id, false);
  timelines.append_all(followers.data(), followers.size(), at);
  return at;
}

}  // namespace

TEST_CASE("timelines: a retraction takes the entry out, and drops a timeline that an older one is to fill again") {
  Rows rows;
  rows.follow(bob, 1);
  std::vector<Position> at;
  for (uint64_t id = 100; id < 103; ++id) at.push_back(rows.deliver(1, id, false));
  leaf::Timelines timelines(here);
  timelines.limit(3, 1u << 20, Duration::of_s(3600));
  const Now now{{1'000'000}, 0};
  CHECK_FALSE(timelines.retract(bob, at[0]));  // not in memory
  CHECK(timelines.open(bob, now, rows.deferred, *rows.store).size() == 3);
  CHECK(timelines.holds(bob, at[1]));
  CHECK_FALSE(timelines.holds(bob, Position(1, 1)));

  CHECK(timelines.retract(bob, at[1]));
  CHECK_FALSE(timelines.retract(bob, at[1]));
  REQUIRE(timelines.contains(bob));
  CHECK(timelines.entries() == 2);
  CHECK(timelines.open(bob, now, rows.deferred, *rows.store).left().zero());

  timelines.append(bob, {rows.deliver(1, 103, false), Rows::ref(103), false});
  const Position fourth = rows.deliver(1, 104, false);
  CHECK(timelines.append(bob, {fourth, Rows::ref(104), false}) < fourth);
  CHECK(timelines.open(bob, now, rows.deferred, *rows.store).left() == at[0]);
  CHECK_FALSE(timelines.retract(bob, at[0]));  // it has left: nothing changes
  REQUIRE(timelines.contains(bob));
  CHECK(timelines.retract(bob, fourth));
  CHECK_FALSE(timelines.contains(bob));
  CHECK(timelines.entries() == 0);
}

TEST_CASE("timelines: a retraction counts the lines that it goes through, each once") {
  Rows rows;
  rows.follow(bob, 1);
  leaf::Timelines timelines(here);
  timelines.limit(100, 1u << 20, Duration::of_s(3600));
  timelines.open(bob, now, rows.deferred, *rows.store);
  std::vector<Position> at;  // of three lines of 14 and a piece
  for (uint64_t id = 100; id < 145; ++id) at.push_back(deliver(rows, timelines, 1, id, {bob.value()}));
  const auto lines = [&](Position position) {
    const uint64_t before = timelines.lines_gone_through();
    timelines.retract(bob, position);
    return timelines.lines_gone_through() - before;
  };
  CHECK(lines(at.back().next()) == 0);  // no home has it
  CHECK(lines(at[44]) == 0);
  CHECK(lines(at[20]) == 2);
  CHECK(lines(at[20]) == 2);            // no longer there: it had to look
  CHECK(lines(at[0]) == 3);             // found at once, but those behind it move up
}

TEST_CASE("timelines: lines fill, come round at capacity, and are read from any place, up and down") {
  for (const size_t capacity : {1u, 3u, 13u, 14u, 15u, 28u, 100u}) {
    CAPTURE(capacity);
    Rows rows;
    rows.follow(bob, 1);
    Timelines timelines(here);
    timelines.limit(capacity, 1u << 20, Duration::of_s(3600));
    timelines.open(bob, now, rows.deferred, *rows.store);
    std::vector<Position> all;
    for (uint64_t id = 1; id <= 250; ++id) {
      all.push_back(deliver(rows, timelines, 1, id, {bob.value(), 999'999}));
      const auto view = timelines.view(bob);
      const size_t shown = std::min(all.size(), capacity);
      REQUIRE(view.size() == shown);
      REQUIRE(view.newest() == all.back());
      REQUIRE(view.before_newest() == (shown > 1 || all.size() > 1 ? all[all.size() - 2] : Position()));
      REQUIRE(view.left() == (all.size() > capacity ? all[all.size() - capacity - 1] : Position()));
      if (id % 7 > 0) continue;
      timelines.check(rows.deferred, *rows.store);
      const std::vector<Position> newest(all.end() - static_cast<ptrdiff_t>(shown), all.end());
      for (size_t i = 0; i < newest.size(); i += 1 + newest.size() / 9) {
        REQUIRE(up(view, newest[i]) == std::vector<Position>(newest.begin() + static_cast<ptrdiff_t>(i), newest.end()));
        REQUIRE(down(view, newest[i]) == std::vector<Position>(newest.rend() - static_cast<ptrdiff_t>(i), newest.rend()));
      }
      CHECK(up(view, newest.back().next()).empty());
    }
    CHECK(timelines.entries() == std::min<size_t>(capacity, 250));
  }
}

TEST_CASE("timelines: whatever arrives, is addressed, brought or taken back, warm is cold") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Rows rows;
    Timelines timelines(here);
    const size_t capacity = random.chance(50) ? 5 + random.below(40) : 800;
    timelines.limit(capacity, 1u << 20, Duration::of_s(3600));
    std::map<uint32_t, std::vector<uint32_t>> followers;  // of leaves
    std::map<Position, uint32_t> delivered;               // plain ones, by leaf
    uint64_t id = 100;
    for (int turn = 0; turn < 400; ++turn) {
      const auto leaf = static_cast<uint32_t>(1 + random.below(3));
      const auto who = static_cast<uint32_t>(5 + random.below(4));
      switch (random.below(12)) {
        case 0: {
          if (std::count(followers[leaf].begin(), followers[leaf].end(), who) > 0) break;
          std::vector<uint64_t> earlier;
          for (uint64_t n = random.below(4); n > 0; --n) earlier.push_back(++id);
          rows.follow(EntityNo(who), leaf, earlier);
          followers[leaf].push_back(who);
          std::sort(followers[leaf].begin(), followers[leaf].end());
          timelines.drop(EntityNo(who));
          break;
        }
        case 1: {
          const Position at = rows.address(EntityNo(who), ++id);
          if (timelines.contains(EntityNo(who))) timelines.append(EntityNo(who), {at, Rows::ref(id), false, true});
          break;
        }
        case 2:
        case 3: {
          if (delivered.empty()) break;
          auto one = std::prev(delivered.end());
          for (uint64_t back = random.chance(70) ? random.below(4) : random.below(60); back > 0 && one != delivered.begin(); --back) --one;
          rows.step([&](Position, store::Writes& writes) {
            leaf::retract_row(here, one->first, *rows.store->delivery(here, one->first), random.chance(50), Position(), *rows.store, writes);
          });
          for (const uint32_t follower : followers[one->second]) timelines.retract(EntityNo(follower), one->first);
          delivered.erase(one);
          break;
        }
        case 4: timelines.open(EntityNo(who), now, rows.deferred, *rows.store); break;
        case 5:
          if (random.chance(20)) rows.position = Position(rows.position.packed() + (uint64_t{1} << (20 + random.below(14))));
          break;
        default: delivered[deliver(rows, timelines, leaf, ++id, followers[leaf])] = leaf;
      }
      timelines.check(rows.deferred, *rows.store);
      if (!timelines.contains(EntityNo(who))) continue;
      const auto view = timelines.view(EntityNo(who));
      auto shown = up(view);
      for (const Position position : shown) REQUIRE(timelines.holds(EntityNo(who), position));
      REQUIRE_FALSE(timelines.holds(EntityNo(who), view.left()));
      std::reverse(shown.begin(), shown.end());
      REQUIRE(down(view) == shown);
    }
  }
}

TEST_CASE("timelines: what is too far above the base makes a new one, what is too far below stands beside the lines") {
  Rows rows;
  rows.follow(bob, 1);
  rows.follow(carol, 1);
  Timelines timelines(here);
  timelines.limit(800, 1u << 20, Duration::of_s(3600));
  timelines.open(bob, now, rows.deferred, *rows.store);
  const Position first = deliver(rows, timelines, 1, 100, {5, 6});
  rows.position = Position(rows.position.packed() + (uint64_t{1} << 33));
  const Position second = rows.deliver(1, 101, false);
  const uint32_t both[] = {5, 6};
  CHECK(timelines.append_all(both, 2, second) == 0);
  CHECK(timelines.empty());
  CHECK(timelines.bytes() == 0);
  CHECK(up(timelines.open(bob, now, rows.deferred, *rows.store)) == std::vector{first, second});
  timelines.open(carol, now, rows.deferred, *rows.store);
  const Position third = deliver(rows, timelines, 1, 102, {5, 6});
  CHECK(up(timelines.view(carol)) == std::vector{first, second, third});
  CHECK(down(timelines.view(bob), third) == std::vector{second, first});
  timelines.check(rows.deferred, *rows.store);
}

TEST_CASE("timelines: beyond the bound the coldest half goes, and all memory goes with the last") {
  constexpr uint32_t homes = 400;
  Rows rows;
  Timelines timelines(here);
  std::vector<uint32_t> followers;
  for (uint32_t no = 1; no <= homes; ++no) rows.follow(EntityNo(no), 1), followers.push_back(no);
  for (uint64_t id = 1; id <= 50; ++id) rows.deliver(1, id, false);
  constexpr size_t most = 96u << 10;
  timelines.limit(800, most, Duration::of_s(10));
  for (uint32_t no = 1; no <= homes; ++no) {
    timelines.open(EntityNo(no), {{no * 1'000'000}, 0}, rows.deferred, *rows.store);
    REQUIRE(timelines.contains(EntityNo(no)));
    REQUIRE(timelines.bytes() <= most);
  }
  CHECK(timelines.size() > homes / 4);
  CHECK(timelines.size() < homes);
  // Those that stayed were read last.
  uint32_t first = 1;
  while (!timelines.contains(EntityNo(first))) ++first;
  for (uint32_t no = first; no <= homes; ++no) CHECK(timelines.contains(EntityNo(no)));
  for (uint64_t id = 100; id < 400; ++id) {
    deliver(rows, timelines, 1, id, followers);
    REQUIRE(timelines.bytes() <= most);
  }
  CHECK(timelines.contains(EntityNo(homes)));
  timelines.check(rows.deferred, *rows.store);

  timelines.drop_unused({{(homes + 5) * 1'000'000}, 0}, [](EntityNo no) { return no == EntityNo(homes - 8); });
  CHECK_FALSE(timelines.contains(EntityNo(homes - 7)));
  CHECK(timelines.contains(EntityNo(homes - 4)));
  for (uint32_t no = 1; no <= homes; ++no) timelines.drop(EntityNo(no));
  CHECK(timelines.entries() == 0);
  CHECK(timelines.bytes() == 0);
}

TEST_CASE("timelines: an entry takes at most 8 bytes where there are a hundred of them") {
  constexpr uint32_t homes = 3'000;
  Rows rows;
  rows.follow(bob, 1);
  Timelines timelines(here);
  timelines.limit(800, 1u << 30, Duration::of_s(10));
  std::vector<uint32_t> followers;
  for (uint32_t no = 1; no <= homes; ++no) timelines.open(EntityNo(no), now, rows.deferred, *rows.store), followers.push_back(no);
  for (uint64_t id = 1; id <= 100; ++id) deliver(rows, timelines, 1, id, followers);
  CHECK(timelines.entries() == 100 * homes);
  CHECK(timelines.bytes() <= 8 * timelines.entries());
  for (uint64_t id = 101; id <= 1'600; ++id) deliver(rows, timelines, 1, id, followers);
  CHECK(timelines.bytes() <= 5 * 800 * homes);
}

TEST_CASE("timelines: those with entries below a horizon go") {
  Rows rows;
  rows.follow(bob, 1);
  rows.follow(carol, 2);
  Timelines timelines(here);
  rows.deliver(1, 100, false);
  const Position second = rows.deliver(2, 101, false);
  timelines.open(bob, now, rows.deferred, *rows.store), timelines.open(carol, now, rows.deferred, *rows.store), timelines.open(EntityNo(7), now, rows.deferred, *rows.store);
  timelines.drop_with_entries_below(second);
  CHECK_FALSE(timelines.contains(bob));
  CHECK(timelines.contains(carol));
  CHECK(timelines.contains(EntityNo(7)));
  timelines.drop_with_entries_below(second.next());
  CHECK_FALSE(timelines.contains(carol));
  CHECK(timelines.contains(EntityNo(7)));
}
