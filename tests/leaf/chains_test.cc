// A leaf's deliveries: what is found, what stays, what goes.
#include "leaf/chains.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "leaf/leaves.h"
#include "rows.h"

using namespace canopy;
using leaf::here;
using leaf::Rows;
using store::DeliveryRow;
using store::KeyBuilder;
using store::Table;

namespace {

// A leaf that is there, or is being erased.
void put_leaf(Rows& rows, uint32_t leaf) {
  rows.step([&](Position, store::Writes& writes) { writes.put(KeyBuilder(here, Table::leaf).add(LeafNo(leaf)), "x"); });
}
size_t rows_of(const Rows& rows, bool dead) {
  size_t n = 0;
  rows.store->deliveries(here, Position(), Position(UINT64_MAX), [&](Position, const DeliveryRow& row) { return n += row.dead == dead, true; });
  return n;
}
std::vector<Position> chain(const Rows& rows, uint32_t leaf) {
  std::vector<Position> all;
  leaf::down_chain(here, LeafNo(leaf), rows.store->leaf_tail(here, LeafNo(leaf)).newest, *rows.store,
                   [&](Position position, const DeliveryRow& row) {
                     if (!row.dead) all.push_back(position);
                     return true;
                   });
  return all;
}
Position retract(Rows& rows, Position at, bool join, Position newer = {}) {
  leaf::Died died;
  rows.step([&](Position, store::Writes& writes) {
    died = leaf::retract_row(here, at, *rows.store->delivery(here, at), join, newer, *rows.store, writes);
  });
  return died.link;
}
// Every row stands in its leaf's chain.
void check_chains(const Rows& rows, uint32_t leaves) {
  size_t linked = 0;
  for (uint32_t leaf = 1; leaf <= leaves; ++leaf)
    leaf::down_chain(here, LeafNo(leaf), rows.store->leaf_tail(here, LeafNo(leaf)).newest, *rows.store,
                     [&](Position, const DeliveryRow&) { return ++linked > 0; });
  CHECK(linked == rows_of(rows, true) + rows_of(rows, false));
}

}  // namespace

TEST_CASE("chains: a leaf whose messages are all taken back, in any order, keeps a few dead links only") {
  for (const int order : {0, 1, 2}) {
    CAPTURE(order);
    Rows rows;
    put_leaf(rows, 1);
    std::vector<Position> at;
    for (uint64_t id = 1; id <= 500; ++id) at.push_back(rows.deliver(1, id, false));
    if (order == 1) std::reverse(at.begin(), at.end());
    Random random(7);
    for (size_t i = at.size(); order == 2 && i > 1; --i) std::swap(at[i - 1], at[random.below(i)]);
    Position last;
    std::set<Position> live(at.begin(), at.end());
    for (const Position position : at) {
      last = retract(rows, position, true, last);
      live.erase(position);
      REQUIRE(chain(rows, 1) == std::vector<Position>(live.rbegin(), live.rend()));
    }
    CHECK(rows_of(rows, false) == 0);
    CHECK(rows_of(rows, true) < 40);
    check_chains(rows, 1);
    CHECK(rows.store->status().bodies == 0);
  }
}

TEST_CASE("chains: a message far down is found by its time, and by its number where times lie") {
  Rows rows;
  std::map<uint64_t, Position> at;
  const auto id_at = [](uint64_t ms) { return MessageId::after(MessageId(), ms, BucketId(1)).packed(); };
  for (uint64_t i = 1; i <= 4'000; ++i) {
    rows.deliver(2, id_at(1'000 + i * 10), false);
    at[i] = rows.deliver(1, id_at(1'000 + i * 10), false);
  }
  for (const uint64_t i : {1u, 2u, 700u, 2'000u, 3'500u, 3'999u, 4'000u}) {
    CAPTURE(i);
    const StreamNo no(at[i].packed());  // as Rows numbers them
    for (const uint64_t ms : {uint64_t{0}, uint64_t{1}, 1'000 + i * 10, uint64_t{9'000}, uint64_t{1'000'000}}) {
      CAPTURE(ms);
      CHECK(leaf::find_in_chain(here, LeafNo(1), no, MessageId(id_at(ms)), Position(), *rows.store) == at[i]);
      CHECK_FALSE(leaf::find_in_chain(here, LeafNo(2), no, MessageId(id_at(ms)), Position(), *rows.store));
      CHECK_FALSE(leaf::find_in_chain(here, LeafNo(1), StreamNo(no.packed() - 1), MessageId(id_at(ms)), Position(), *rows.store));
      CHECK_FALSE(leaf::find_in_chain(here, LeafNo(1), no, MessageId(id_at(ms)), at[i], *rows.store));
    }
  }
  CHECK_FALSE(leaf::find_in_chain(here, LeafNo(9), StreamNo(1), MessageId(5), Position(), *rows.store));
}

TEST_CASE("chains: below the horizon the newest of each leaf stay, whatever died, and the rest goes in slices") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Rows rows;
    constexpr uint32_t leaves = 4;
    for (uint32_t leaf = 1; leaf <= leaves; ++leaf) put_leaf(rows, leaf);
    std::map<Position, uint32_t> live;
    uint64_t id = 0;
    for (int turn = 0; turn < 1'500; ++turn) {
      const auto leaf = static_cast<uint32_t>(1 + std::min<uint64_t>(random.below(leaves), random.below(leaves)));
      live[rows.deliver(leaf, ++id, random.chance(10))] = leaf;
      if (!random.chance(40)) continue;
      auto one = live.begin();
      std::advance(one, static_cast<long>(random.below(live.size())));
      retract(rows, one->first, random.chance(30));
      live.erase(one);
    }
    check_chains(rows, leaves);
    leaf::Trim trim;
    CHECK_FALSE(trim.active());
    for (int pass = 0; pass < 2; ++pass) {
      const Position horizon(rows.position.packed() - random.below(600));
      trim.begin(horizon);
      size_t slices = 0, gone = 0;
      const size_t before = rows_of(rows, true) + rows_of(rows, false);
      while (trim.active()) {
        REQUIRE(++slices < 1'000);
        rows.step([&](Position, store::Writes& writes) { gone += trim.slice(here, 50, *rows.store, writes).gone; });
        check_chains(rows, leaves);
        if (random.chance(20) && !live.empty()) {  // life goes on
          const Position at = live.rbegin()->first;
          retract(rows, at, random.chance(50));
          live.erase(at);
        }
      }
      CHECK(slices > (pass == 0 ? 5 : 0));
      for (uint32_t leaf = 1; leaf <= leaves; ++leaf) {
        std::vector<Position> expected;
        for (auto one = live.rbegin(); one != live.rend(); ++one)
          if (one->second == leaf && (expected.size() < leaf::newest_kept || one->first >= horizon)) expected.push_back(one->first);
        const auto left = chain(rows, leaf);
        // A row that died meanwhile may have let one more stay or go.
        CHECK(left.size() + 40 >= expected.size());
        for (size_t i = 0; i < std::min(left.size(), expected.size()); ++i) REQUIRE(left[i] == expected[i]);
        for (size_t i = leaf::newest_kept; i < left.size(); ++i) CHECK(left[i] >= Position(horizon.packed() - 1'000));
      }
      std::erase_if(live, [&](const auto& one) { return !rows.store->delivery(here, one.first); });
      CHECK(before >= gone);
    }
    check_chains(rows, leaves);
    // Every body is a live row's.
    CHECK(rows.store->status().bodies == rows_of(rows, false));
    size_t places = 0, shared = 0;
    const std::string prefix = KeyBuilder(here, Table::place);
    rows.store->scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view) { return ++places > 0; });
    rows.store->deliveries(here, Position(), Position(UINT64_MAX), [&](Position, const DeliveryRow& row) { return shared += row.shared && !row.dead, true; });
    CHECK(places == shared);
  }
}

TEST_CASE("chains: long runs of dead links are led over by a trimming walk") {
  Rows rows;
  put_leaf(rows, 1);
  std::vector<Position> at;
  for (uint64_t id = 1; id <= 300; ++id) at.push_back(rows.deliver(1, id, false));
  for (size_t i = 10; i < 290; ++i) retract(rows, at[i], false);  // no other way to shorten it
  CHECK(rows_of(rows, true) == 280);
  leaf::Trim trim;
  trim.begin(at[5]);
  while (trim.active()) rows.step([&](Position, store::Writes& writes) { trim.slice(here, 1'000, *rows.store, writes); });
  CHECK(rows_of(rows, true) == 0);
  CHECK(chain(rows, 1).size() == 16);
  CHECK(chain(rows, 1).back() == at[4]);
}

TEST_CASE("chains: a retired leaf is erased from its newest on, while its shared messages are retracted") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Rows rows;
    std::vector<Position> at;
    for (uint64_t id = 1; id <= 200; ++id) {
      at.push_back(rows.deliver(1, id, true));
      rows.deliver(2, id, false);
    }
    rows.retire(1);
    size_t erased = 0, slices = 0;
    for (bool more = true; more; ++slices) {
      REQUIRE(slices < 100);
      rows.step([&](Position, store::Writes& writes) { more = leaf::erase_retired(here, *rows.store, 30, writes, erased); });
      const Position one = at[random.below(at.size())];
      const auto row = rows.store->delivery(here, one);
      if (row && !row->dead) retract(rows, one, false);
    }
    CHECK(erased == 200);
    CHECK(rows_of(rows, false) == 200);
    CHECK(rows_of(rows, true) == 0);
    CHECK(chain(rows, 2).size() == 200);
    const std::string prefix = KeyBuilder(here, Table::retired);
    size_t left = 0;
    rows.store->scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view) { return ++left > 0; });
    CHECK(left == 0);
  }
}
