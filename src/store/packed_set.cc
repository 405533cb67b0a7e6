#include "store/packed_set.h"

namespace canopy::store {

uint32_t set_at(std::string_view set, size_t index) {
  uint32_t v = 0;
  for (size_t i = 0; i < 4; ++i) v |= static_cast<uint32_t>(static_cast<uint8_t>(set[index * 4 + i])) << (8 * i);
  return v;
}

size_t set_lower_bound(std::string_view set, uint32_t member) {
  size_t low = 0;
  size_t high = set_size(set);
  // Numbers are given out in order, so most members arrive above the last one.
  if (high > 0 && set_at(set, high - 1) < member) return high;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (set_at(set, middle) < member) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool set_contains(std::string_view set, uint32_t member) {
  const size_t at = set_lower_bound(set, member);
  return at < set_size(set) && set_at(set, at) == member;
}

bool set_insert(std::string& set, uint32_t member) {
  const size_t at = set_lower_bound(set, member);
  if (at < set_size(set) && set_at(set, at) == member) return false;
  char packed[4];
  for (int i = 0; i < 4; ++i) packed[i] = static_cast<char>(member >> (8 * i));
  set.insert(at * 4, packed, 4);
  return true;
}

bool set_remove(std::string& set, uint32_t member) {
  const size_t at = set_lower_bound(set, member);
  if (at >= set_size(set) || set_at(set, at) != member) return false;
  set.erase(at * 4, 4);
  return true;
}

}  // namespace canopy::store
