// A sorted set of u32, packed: 4 bytes little-endian each, ascending, no repeats, no header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace canopy::store {

inline size_t set_size(std::string_view set) { return set.size() / 4; }
// REQUIRES: index < set_size(set).
uint32_t set_at(std::string_view set, size_t index);
// Returns the index of the first member that is not below `member`.
size_t set_lower_bound(std::string_view set, uint32_t member);
bool set_contains(std::string_view set, uint32_t member);

// Return whether the set changed.
bool set_insert(std::string& set, uint32_t member);
bool set_remove(std::string& set, uint32_t member);

}  // namespace canopy::store
