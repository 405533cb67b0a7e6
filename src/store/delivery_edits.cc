#include "store/delivery_edits.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace canopy::store {

// REQUIRES: there are slots, and a free one among them.
size_t DeliveryEdits::slot_of(uint64_t position) const {
  const size_t mask = slots_.size() - 1;
  const uint64_t hash = position * 0x9e3779b97f4a7c15;
  size_t at = static_cast<size_t>(hash ^ hash >> 32) & mask;
  while (slots_[at].position != 0 && slots_[at].position >> flag_bits != position) at = (at + 1) & mask;
  return at;
}

DeliveryEdits::Edit DeliveryEdits::find(Position position) const {
  if (slots_.empty()) return {};
  const Slot& slot = slots_[slot_of(position.packed())];
  return {(slot.position & gone_bit) != 0, (slot.position & dead_bit) != 0, (slot.position & relinked_bit) != 0,
          Position(slot.before)};
}

void DeliveryEdits::set(Position position, Edit edit) {
  ASSERT(!position.zero());
  if ((used_ + 1) * 3 > slots_.size() * 2) grow();
  Slot& slot = slots_[slot_of(position.packed())];
  used_ += slot.position == 0;
  size_ -= (slot.position & flags) != 0;
  size_ += !edit.none();
  slot.position = position.packed() << flag_bits | (edit.gone ? gone_bit : 0) | (edit.dead ? dead_bit : 0) |
                  (edit.relinked ? relinked_bit : 0);
  slot.before = edit.before.packed();
}

void DeliveryEdits::grow() {
  std::vector<Slot> old(std::max<size_t>(16, slots_.size() * 2));
  old.swap(slots_);
  used_ = size_;
  for (const Slot& slot : old)
    if (slot.position & flags) slots_[slot_of(slot.position >> flag_bits)] = slot;
}

std::vector<Position> DeliveryEdits::positions() const {
  std::vector<Position> all;
  all.reserve(size_);
  for (const Slot& slot : slots_)
    if (slot.position & flags) all.push_back(Position(slot.position >> flag_bits));
  std::sort(all.begin(), all.end());
  return all;
}

void DeliveryEdits::clear() {
  slots_ = {};
  used_ = size_ = 0;
}

}  // namespace canopy::store
