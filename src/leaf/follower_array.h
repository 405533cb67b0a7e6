// The followers of a leaf in memory: entity numbers, ascending. Most leaves have a few, so that these stand in the leaf
// itself: no memory of their own, and a delivery that comes to the leaf has them at hand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/assert.h"

namespace canopy::leaf {

class FollowerArray {
 public:
  FollowerArray() = default;
  explicit FollowerArray(const std::vector<uint32_t>& ascending) { grow(ascending.size()), fill(ascending); }
  FollowerArray(const FollowerArray&) = delete;
  FollowerArray& operator=(const FollowerArray&) = delete;
  FollowerArray& operator=(FollowerArray&& other) noexcept {
    if (this == &other) return *this;
    clear();
    std::swap(size_, other.size_), std::swap(capacity_, other.capacity_), std::swap(numbers_, other.numbers_);
    return *this;
  }
  ~FollowerArray() { clear(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Valid until the next change; so are the others.
  const uint32_t* data() const { return capacity_ == inside ? numbers_.here : numbers_.elsewhere; }
  const uint32_t* begin() const { return data(); }
  const uint32_t* end() const { return data() + size_; }
  bool contains(uint32_t follower) const { return std::binary_search(begin(), end(), follower); }
  size_t bytes() const { return capacity_ == inside ? 0 : capacity_ * sizeof(uint32_t); }  // beside the leaf

  void insert(uint32_t follower) {  // REQUIRES: !contains(follower)
    const auto at = static_cast<size_t>(std::lower_bound(begin(), end(), follower) - begin());
    ASSERT(at == size_ || data()[at] != follower);
    if (size_ == capacity_) grow(size_t{2} * capacity_);
    uint32_t* const all = mutable_data();
    std::memmove(all + at + 1, all + at, (size_ - at) * sizeof *all);
    all[at] = follower;
    ++size_;
  }
  void erase(uint32_t follower) {  // REQUIRES: contains(follower)
    const auto at = static_cast<size_t>(std::lower_bound(begin(), end(), follower) - begin());
    ASSERT(at < size_ && data()[at] == follower);
    uint32_t* const all = mutable_data();
    std::memmove(all + at, all + at + 1, (size_ - at - 1) * sizeof *all);
    --size_;
  }
  void clear() {
    if (capacity_ != inside) delete[] numbers_.elsewhere;
    size_ = 0, capacity_ = inside;
  }

 private:
  static constexpr uint32_t inside = 4;
  uint32_t* mutable_data() { return const_cast<uint32_t*>(data()); }
  void grow(size_t capacity) {
    if (capacity <= capacity_) return;
    ASSERT(capacity <= UINT32_MAX);
    auto* const more = new uint32_t[capacity];
    if (size_ > 0) std::memcpy(more, data(), size_ * sizeof *more);
    if (capacity_ != inside) delete[] numbers_.elsewhere;
    numbers_.elsewhere = more;
    capacity_ = static_cast<uint32_t>(capacity);
  }
  void fill(const std::vector<uint32_t>& all) {
    if (!all.empty()) std::memcpy(mutable_data(), all.data(), all.size() * sizeof all[0]);
    size_ = static_cast<uint32_t>(all.size());
  }

  uint32_t size_ = 0, capacity_ = inside;  // `inside`: the numbers are here
  union {
    uint32_t here[inside];
    uint32_t* elsewhere;
  } numbers_ = {};
};
static_assert(sizeof(FollowerArray) == 24, "a leaf's first line of memory has room for so much");

}  // namespace canopy::leaf
