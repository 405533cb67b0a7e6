// What must hold inside a store when nothing is on its way.
#pragma once

#include "store/store.h"

namespace canopy::sim {

// Each body is counted as often as lists point at it, and there is no other.
void audit_bodies(const store::Store& store, uint32_t bucket_count);
// Every place leads to what it says, and what can be retracted from afar has its place; each list has as
// many entries as it counts; edges, followers and forwards agree.
void audit_places(const store::Store& store, uint32_t bucket_count);
// Nothing is left of follows, leaves, deliveries, trees and letters. `forwards`: but of those between streams.
void audit_nobody_follows(const store::Store& store, uint32_t bucket_count, bool forwards);
// Every entity was deleted: only what buckets remember of retractions, channels and keys is left.
void audit_nothing_left(const store::Store& store, uint32_t bucket_count);

}  // namespace canopy::sim
