#include "leaf/followers.h"

#include <doctest/doctest.h>

#include <set>

#include "base/random.h"
#include "store/mem_backend.h"
#include "store/store.h"

using namespace canopy;

TEST_CASE("followers: chunks hold what a set holds, whatever order the followers come and go in") {
  const BucketId bucket(3);
  const LeafNo leaf(7), neighbour(8);
  store::MemBackend backend;
  const auto store = std::move(store::Store::open(backend, {}).value());
  Position position(1, 0);
  const auto change = [&](LeafNo where, const auto& what) {
    store::Writes writes;
    what(leaf::Followers(bucket, where, *store), writes);
    position = position.next();
    store->apply(bucket, position, writes);
  };
  change(neighbour, [](const auto& f, auto& w) { f.insert(EntityNo(1), w); });

  Random random(1);
  std::set<uint32_t> model;
  for (int i = 0; i < 6000; ++i) {
    // Ascending at first, as entities get their numbers; then anything.
    const uint32_t no = i < 1500 ? static_cast<uint32_t>(i + 100) : static_cast<uint32_t>(random.below(3000) + 1);
    const bool insert = i < 1500 || random.chance(i < 4000 ? 60 : 20);
    const leaf::Followers followers(bucket, leaf, *store);
    REQUIRE(followers.contains(EntityNo(no)) == model.contains(no));
    if (insert == model.contains(no)) continue;
    if (insert) {
      model.insert(no);
      change(leaf, [&](const auto& f, auto& w) { f.insert(EntityNo(no), w); });
    } else {
      CHECK(followers.only(EntityNo(no)) == (model.size() == 1));
      model.erase(no);
      change(leaf, [&](const auto& f, auto& w) { f.remove(EntityNo(no), w); });
    }
    if (i % 100 == 0) {
      const auto after = static_cast<uint32_t>(random.below(3000));
      std::vector<uint32_t> seen;
      followers.visit(EntityNo(after), [&](EntityNo f) { return seen.push_back(f.value()), true; });
      CHECK(seen == std::vector<uint32_t>(model.upper_bound(after), model.end()));
      CHECK(followers.count() == model.size());
    }
  }
  for (const uint32_t no : std::set<uint32_t>(model)) {
    CHECK(leaf::Followers(bucket, leaf, *store).only(EntityNo(no)) == (model.size() == 1));
    model.erase(no);
    change(leaf, [&](const auto& f, auto& w) { f.remove(EntityNo(no), w); });
  }
  CHECK(leaf::Followers(bucket, leaf, *store).count() == 0);
  CHECK(leaf::Followers(bucket, neighbour, *store).only(EntityNo(1)));
}

TEST_CASE("followers: many at once join those that are there, in chunks") {
  const BucketId bucket(3);
  const LeafNo leaf(7);
  for (const size_t before : {0u, 1u, 499u, 500u, 1234u}) {
    for (const size_t fresh : {0u, 1u, 500u, 2000u}) {
      CAPTURE(before);
      CAPTURE(fresh);
      store::MemBackend backend;
      const auto store = std::move(store::Store::open(backend, {}).value());
      const leaf::Followers followers(bucket, leaf, *store);
      Position position(1, 0);
      const auto change = [&](const auto& what) {
        store::Writes writes;
        what(writes);
        position = position.next();
        if (!writes.empty()) store->apply(bucket, position, writes);
      };
      Random random(before * 10'000 + fresh + 1);
      std::set<uint32_t> model;
      while (model.size() < before) {
        const auto no = static_cast<uint32_t>(random.below(10'000) + 1);
        if (model.insert(no).second) change([&](auto& writes) { followers.insert(EntityNo(no), writes); });
      }
      std::set<EntityNo> added;
      while (added.size() < fresh) {
        const EntityNo no(static_cast<uint32_t>(random.below(10'000) + 1));
        if (!model.contains(no.value())) added.insert(no);
      }
      change([&](auto& writes) { followers.insert_all({added.begin(), added.end()}, writes); });
      for (const EntityNo no : added) model.insert(no.value());

      std::vector<uint32_t> seen;
      followers.visit(EntityNo(), [&](EntityNo no) { return seen.push_back(no.value()), true; });
      CHECK(seen == std::vector<uint32_t>(model.begin(), model.end()));
      CHECK(followers.count() == model.size());
      // Each is where a search for it looks, and goes from there.
      for (const uint32_t no : model) {
        REQUIRE(followers.contains(EntityNo(no)));
        change([&](auto& writes) { followers.remove(EntityNo(no), writes); });
      }
      CHECK(followers.count() == 0);
      change([&](auto& writes) { followers.clear(writes); });
    }
  }
}
