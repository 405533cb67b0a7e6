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

const DeliveryLog::Row* DeliveryLog::last_of(LeafNo leaf) const {
  const uint32_t last = leaf.value() < last_.size() ? last_[leaf.value()] : 0;
  return last > 0 ? &rows_[last - 1] : nullptr;
}

void DeliveryLog::append(Position position, const DeliveryRow& row) {
  ASSERT(rows_.empty() || rows_.back().position() < position);
  ASSERT(row.before < position);
  rows_.emplace_back(position, row);
  if (row.leaf.value() >= last_.size()) last_.resize(row.leaf.value() + size_t{1});
  last_[row.leaf.value()] = static_cast<uint32_t>(rows_.size());
}

// Only a refused commit comes here, so that a row need not know the one before it: all is found again.
void DeliveryLog::truncate(size_t size) {
  if (size == rows_.size()) return;
  for (size_t i = size; i < rows_.size(); ++i) last_[rows_[i].leaf().value()] = 0;
  rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(size), rows_.end());
  for (size_t i = 0; i < size; ++i) last_[rows_[i].leaf().value()] = static_cast<uint32_t>(i + 1);
}

void DeliveryLog::clear() {
  for (const Row& row : rows_) last_[row.leaf().value()] = 0;
  rows_.clear();
}

}  // namespace canopy::store
