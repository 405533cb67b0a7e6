#include "reflector/tree.h"

#include <doctest/doctest.h>

#include <set>

using namespace canopy;
using reflector::plan_tree;

namespace {

std::vector<BucketId> buckets(uint32_t n) {
  std::vector<BucketId> all;
  for (uint32_t i = 0; i < n; ++i) all.emplace_back(static_cast<uint16_t>(i));
  return all;
}

void walk(const wire::Route& route, uint32_t fanout, std::multiset<BucketId>& seen, std::set<NodeIndex>& nodes) {
  CHECK(route.letters() <= fanout);
  nodes.insert(route.node);
  seen.insert(route.leaves.begin(), route.leaves.end());
  for (const auto& child : route.children) walk(child, fanout, seen, nodes);
}

}  // namespace

TEST_CASE("tree: no reflector has more than fanout children and each leaf stands once") {
  for (const uint32_t fanout : {2u, 3u, 4u, 64u}) {
    for (const uint32_t leaves : {0u, 1u, 2u, 4u, 5u, 17u, 64u, 65u, 256u, 1000u, 4096u}) {
      for (const uint16_t nodes : {uint16_t(1), uint16_t(3), uint16_t(70)}) {
        CAPTURE(fanout);
        CAPTURE(leaves);
        CAPTURE(nodes);
        const auto owner = [&](BucketId b) { return NodeIndex(static_cast<uint16_t>(b.value() % nodes)); };
        const auto route = plan_tree(buckets(leaves), owner, NodeIndex(0), fanout);
        std::multiset<BucketId> seen;
        std::set<NodeIndex> on;
        walk(route, fanout, seen, on);
        CHECK(seen.size() == leaves);
        CHECK(std::set<BucketId>(seen.begin(), seen.end()).size() == leaves);
        CHECK(route.node == NodeIndex(0));
        if (leaves <= fanout) CHECK(reflector::levels(route) == 1);
        if (leaves > fanout) CHECK(reflector::levels(route) >= 2);
      }
    }
  }
}

TEST_CASE("tree: leaves below a branch are on the branch's node, so the last hop is memory") {
  const auto owner = [](BucketId b) { return NodeIndex(static_cast<uint16_t>(b.value() % 3)); };
  const auto route = plan_tree(buckets(256), owner, NodeIndex(1), 4);
  CHECK(reflector::levels(route) >= 3);
  const auto below = [&](const auto& self, const wire::Route& r) -> void {
    for (const BucketId leaf : r.leaves) CHECK(owner(leaf) == r.node);
    for (const auto& child : r.children) self(self, child);
  };
  below(below, route);
}

TEST_CASE("tree: one node alone needs no branch between the root and its groups") {
  const auto owner = [](BucketId) { return NodeIndex(0); };
  const auto route = plan_tree(buckets(5), owner, NodeIndex(0), 4);
  CHECK(reflector::levels(route) == 2);
  CHECK(route.children.size() == 2);
}
