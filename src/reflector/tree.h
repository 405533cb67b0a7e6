// The shape of a follower tree: which reflector serves which leaves. A function of the leaf buckets,
// of who owns them and of the fanout, so a push-down, a merge or a move takes effect with the next
// message and there is no shape to keep in step.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/types.h"
#include "wire/letter.h"

namespace canopy::reflector {

using OwnerOf = std::function<NodeIndex(BucketId)>;

// Returns the root's route. Up to `fanout` leaves it serves itself: its own node's in `leaves`, each
// other one as a child with that one leaf. Beyond, leaves are grouped by node, a node's leaves in
// groups of at most `fanout`, nodes in groups when there are more than `fanout`, in as many levels
// as it takes. Invariant: no route has more than `fanout` letters(); each leaf stands once.
// REQUIRES: fanout >= 2; `leaves` ascending.
wire::Route plan_tree(const std::vector<BucketId>& leaves, const OwnerOf& owner, NodeIndex root_node,
                      uint32_t fanout);

// Returns whether a child route is just a leaf (one leaf, nothing below): no reflector of its own.
bool is_leaf(const wire::Route& route);
// Returns the reflectors on the longest path, leaves not counted.
uint32_t levels(const wire::Route& root);

}  // namespace canopy::reflector
