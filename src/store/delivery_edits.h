// What was changed in the rows of one bucket's chunks since they were written. Retention forgets as many rows
// as arrive, so an edit is two numbers in an open table of them.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace canopy::store {

class DeliveryEdits {
 public:
  struct Edit {
    bool gone = false, dead = false, relinked = false;
    Position before = {};  // if relinked
    bool none() const { return !gone && !dead && !relinked; }
  };

  // Of edits that change anything.
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  Edit find(Position position) const;
  // REQUIRES: the position is not zero.
  void set(Position position, Edit edit);
  // In ascending order.
  std::vector<Position> positions() const;
  void clear();

 private:
  static constexpr int flag_bits = 3;
  static constexpr uint64_t flags = 7, gone_bit = 1, dead_bit = 2, relinked_bit = 4;
  struct Slot {
    uint64_t position = 0;  // and the flags below it (a position has 53 bits); zero: free
    uint64_t before = 0;
  };
  // Returns where the position stands, or where it would.
  size_t slot_of(uint64_t position) const;
  void grow();

  std::vector<Slot> slots_;  // a power of two, or none
  size_t used_ = 0;          // also of edits that were taken back
  size_t size_ = 0;
};

}  // namespace canopy::store
