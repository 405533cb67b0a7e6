// What must hold inside a store when nothing is on its way.
#pragma once

#include "store/store.h"

namespace canopy::sim {

// Each body is counted as often as lists point at it, and there is no other.
void audit_bodies(const store::Store& store, uint32_t bucket_count);
// Nothing is left of follows, leaves, deliveries, trees and letters.
void audit_nobody_follows(const store::Store& store, uint32_t bucket_count);

}  // namespace canopy::sim
