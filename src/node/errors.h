// Errors that several parts of the front give.
#pragma once

#include "base/result.h"

namespace canopy::node {

// How often a request may be answered Moved on its way. An alias leads to an entity, never to another
// alias: the second time is for one that became an alias meanwhile.
constexpr unsigned moves_max = 2;

inline Error moved_too_often() { return {Code::internal, "alias leads to an alias", 0}; }
inline Error misfit() { return {Code::internal, "the bucket's answer does not fit the request", 0}; }

}  // namespace canopy::node
