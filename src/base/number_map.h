// Values under numbers that are given out one after the other: what is in flight. An allocation only when there are more
// at once than ever before, and no division: std::unordered_map's nodes showed in the profile of small requests.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace canopy {

// T can be made without arguments. A value stays where it is until it is erased. Pure.
template <class T>
class NumberMap {
 public:
  // REQUIRES: number != 0, and it is not in the map. Valid until it is erased.
  T& add(uint64_t number) {
    ASSERT(number != 0);
    if (2 * (size_ + 1) > slots_.size()) grow();
    size_t slot = first_slot(number);
    while (slots_[slot].number != 0) {
      ASSERT(slots_[slot].number != number);
      slot = (slot + 1) & mask();
    }
    slots_[slot] = {number, place()};
    ++size_;
    return value(slots_[slot].at);
  }
  // Returns null when there is none.
  T* find(uint64_t number) {
    const size_t slot = slot_of(number);
    return slot == none ? nullptr : &value(slots_[slot].at);
  }
  // REQUIRES: it is in the map.
  T& at(uint64_t number) {
    T* found = find(number);
    ASSERT(found != nullptr);
    return *found;
  }
  // REQUIRES: it is in the map.
  void erase(uint64_t number) {
    size_t hole = slot_of(number);
    ASSERT(hole != none);
    value(slots_[hole].at) = T();
    free_.push_back(slots_[hole].at);
    --size_;
    // What stands behind, as far as the hole is on its way from its own slot, moves up.
    for (size_t slot = (hole + 1) & mask(); slots_[slot].number != 0; slot = (slot + 1) & mask()) {
      const size_t way = (slot - first_slot(slots_[slot].number)) & mask();
      if (way < ((slot - hole) & mask())) continue;
      slots_[hole] = slots_[slot];
      hole = slot;
    }
    slots_[hole].number = 0;
  }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // In no order that means anything: whoever shows it sorts.
  template <class Visit>
  void each(const Visit& visit) const {
    for (const Slot& slot : slots_)
      if (slot.number != 0) visit(slot.number, const_cast<const T&>(value(slot.at)));
  }

 private:
  struct Slot {
    uint64_t number = 0;  // 0: free
    uint32_t at = 0;      // its place in the chunks
  };
  static constexpr size_t none = SIZE_MAX, slots_at_first = 64;
  static constexpr uint32_t chunk = 64;

  size_t mask() const { return slots_.size() - 1; }
  // Scattered: numbers side by side in slots side by side would be one long row, which erase() walks along.
  size_t first_slot(uint64_t number) const { return number * 0x9e37'79b9'7f4a'7c15 >> (64 - std::countr_zero(slots_.size())); }
  T& value(uint32_t at) const { return chunks_[at / chunk][at % chunk]; }
  size_t slot_of(uint64_t number) const {
    if (slots_.empty() || number == 0) return none;
    for (size_t slot = first_slot(number); slots_[slot].number != 0; slot = (slot + 1) & mask())
      if (slots_[slot].number == number) return slot;
    return none;
  }
  uint32_t place() {
    if (free_.empty()) {
      const auto from = static_cast<uint32_t>(chunks_.size()) * chunk;
      chunks_.push_back(std::make_unique<T[]>(chunk));
      for (uint32_t i = chunk; i-- > 0;) free_.push_back(from + i);
    }
    const uint32_t at = free_.back();
    free_.pop_back();
    return at;
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? slots_at_first : 2 * slots_.size());
    old.swap(slots_);
    for (const Slot& one : old) {
      if (one.number == 0) continue;
      size_t slot = first_slot(one.number);
      while (slots_[slot].number != 0) slot = (slot + 1) & mask();
      slots_[slot] = one;
    }
  }

  std::vector<Slot> slots_;                   // a power of two, at most half of them taken
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<uint32_t> free_;
  size_t size_ = 0;
};

}  // namespace canopy
