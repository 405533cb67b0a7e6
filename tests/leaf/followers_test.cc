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
