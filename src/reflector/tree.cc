#include "reflector/tree.h"

#include <algorithm>
#include <map>

#include "base/assert.h"

namespace canopy::reflector {
namespace {

using wire::Route;

// Cuts `n` things into at most `fanout` runs of nearly the same length; calls run(begin, end) for each.
template <class Run>
void cut(size_t n, uint32_t fanout, const Run& run) {
  const size_t groups = std::min<size_t>(fanout, (n + fanout - 1) / fanout);
  size_t begin = 0;
  for (size_t g = 0; g < groups; ++g) {
    const size_t end = begin + (n - begin) / (groups - g);
    run(begin, end);
    begin = end;
  }
}

// One node's part: its leaves in as many levels as it takes.
Route plan_node(NodeIndex node, const BucketId* leaves, size_t n, uint32_t fanout) {
  Route route{node, {}, {}};
  if (n <= fanout) {
    route.leaves.assign(leaves, leaves + n);
    return route;
  }
  cut(n, fanout, [&](size_t begin, size_t end) {
    route.children.push_back(plan_node(node, leaves + begin, end - begin, fanout));
  });
  return route;
}

// Parts of several nodes under one reflector on `node`.
Route join(NodeIndex node, std::vector<Route> parts, uint32_t fanout) {
  Route route{node, {}, {}};
  if (parts.size() <= fanout) {
    route.children = std::move(parts);
    return route;
  }
  cut(parts.size(), fanout, [&](size_t begin, size_t end) {
    if (end - begin == 1) {
      route.children.push_back(std::move(parts[begin]));
      return;
    }
    const auto at = [&](size_t i) { return parts.begin() + static_cast<std::ptrdiff_t>(i); };
    std::vector<Route> group(std::make_move_iterator(at(begin)), std::make_move_iterator(at(end)));
    const NodeIndex first = group.front().node;
    route.children.push_back(join(first, std::move(group), fanout));
  });
  return route;
}

}  // namespace

Route plan_tree(const std::vector<BucketId>& leaves, const OwnerOf& owner, NodeIndex root_node,
                uint32_t fanout) {
  ASSERT(fanout >= 2);
  std::map<NodeIndex, std::vector<BucketId>> by_node;
  for (const BucketId leaf : leaves) by_node[owner(leaf)].push_back(leaf);

  if (leaves.size() <= fanout) {
    Route route{root_node, {}, {}};
    for (auto& [node, own] : by_node) {
      if (node == root_node) {
        route.leaves = std::move(own);
      } else {
        for (const BucketId leaf : own) route.children.push_back({node, {leaf}, {}});
      }
    }
    return route;
  }
  std::vector<Route> parts;
  for (const auto& [node, own] : by_node)
    parts.push_back(plan_node(node, own.data(), own.size(), fanout));
  if (parts.size() == 1 && parts.front().node == root_node) return std::move(parts.front());
  return join(root_node, std::move(parts), fanout);
}

bool is_leaf(const Route& route) { return route.leaves.size() == 1 && route.children.empty(); }

uint32_t levels(const Route& root) {
  uint32_t below = 0;
  for (const Route& child : root.children)
    if (!is_leaf(child)) below = std::max(below, levels(child));
  return below + 1;
}

}  // namespace canopy::reflector
