#include "store/delivery_log.h"

#include <algorithm>

#include "base/assert.h"

namespace canopy::store {

DeliveryRow DeliveryLog::Row::row() const {
  return {leaf(), no(), ref(), Position(before_), (position_ & shared_bit) != 0, dead()};
}

void DeliveryLog::Row::die() {
  position_ = (position_ | dead_bit) & ~shared_bit;
  id_ = 0;
  hash_ = 0;
}

void DeliveryLog::Row::forget() {
  die();
  position_ |= gone_bit;
}

size_t DeliveryLog::lower_bound(Position position) const {
  const auto at = std::lower_bound(rows_.begin(), rows_.end(), position,
                                   [](const Row& row, Position p) { return row.position() < p; });
  return static_cast<size_t>(at - rows_.begin());
}

std::optional<size_t> DeliveryLog::find(Position position) const {
  if (rows_.empty() || position < rows_[0].position()) return std::nullopt;
  const size_t index = lower_bound(position);
  if (index == rows_.size() || rows_[index].position() != position || rows_[index].gone()) return std::nullopt;
  return index;
}

void DeliveryLog::index() const {
  for (; indexed_ < rows_.size(); ++indexed_) {
    const uint32_t leaf = rows_[indexed_].leaf().value();
    if (leaf >= last_.size()) last_.resize(leaf + size_t{1});
    last_[leaf] = static_cast<uint32_t>(indexed_ + 1);
  }
}

const DeliveryLog::Row* DeliveryLog::last_of(LeafNo leaf) const {
  index();
  const uint32_t last = leaf.value() < last_.size() ? last_[leaf.value()] : 0;
  return last > 0 ? &rows_[last - 1] : nullptr;
}

// Only a refused commit comes here, so that a row need not know the one before it: all is found again.
void DeliveryLog::truncate(size_t size) {
  if (size == rows_.size()) return;
  if (size < indexed_) forget_index();
  rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(size), rows_.end());
}

void DeliveryLog::clear() {
  forget_index();
  rows_.clear();
}

void DeliveryLog::forget_index() {
  for (size_t i = 0; i < indexed_; ++i) last_[rows_[i].leaf().value()] = 0;
  indexed_ = 0;
}

}  // namespace canopy::store
