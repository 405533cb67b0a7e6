// The deliveries of one bucket above its checkpointed position, in RAM, in the order of their positions.
// One array: a delivery is one entry at its end. Which row is its leaf's last is found when somebody asks: for all rows
// since then at once, and not for each as it comes, which would be memory far away.
//
// Invariants: positions ascend; last_[leaf] is 1 + the index of the leaf's last among the first `indexed_` rows, 0 without one.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/types.h"
#include "store/deliveries.h"

namespace canopy::store {

class DeliveryLog {
 public:
  // As small as it gets: a busy shard holds a million of them.
  class Row {
   public:
    Row(Position position, const DeliveryRow& row);
    Position position() const { return Position(position_ >> flag_bits); }
    LeafNo leaf() const { return LeafNo(leaf_); }
    StreamNo no() const { return StreamNo(no_); }
    bool dead() const { return position_ & dead_bit; }
    bool gone() const { return position_ & gone_bit; }
    BodyRef ref() const { return {MessageId(id_), hash_}; }
    DeliveryRow row() const;
    void die();
    void forget();
    void relink(Position before) { before_ = before.packed(); }

   private:
    static constexpr int flag_bits = 3;
    static constexpr uint64_t shared_bit = 1, dead_bit = 2, gone_bit = 4;
    uint64_t position_;  // and the flags below it: a position has 53 bits
    uint64_t no_;
    uint64_t id_;
    uint64_t before_;
    uint32_t hash_;
    uint32_t leaf_;
  };
  static_assert(sizeof(Row) == 40);

  bool empty() const { return rows_.empty(); }
  size_t size() const { return rows_.size(); }
  const Row& operator[](size_t index) const { return rows_[index]; }
  Row& at(size_t index) { return rows_[index]; }
  // Returns the index of the first row at or above `position`, size() without one.
  size_t lower_bound(Position position) const;
  // Returns the index of the row at `position`, if it is here and not gone.
  std::optional<size_t> find(Position position) const;
  // Returns the leaf's last row, gone or not, or null. Valid until the next change.
  const Row* last_of(LeafNo leaf) const;
  // Shows the last row of each leaf that has one, by ascending leaf.
  template <class Show>
  void last_rows(const Show& show) const {
    index();
    for (const uint32_t last : last_)
      if (last > 0) show(rows_[last - 1]);
  }

  // REQUIRES: the position is above all others.
  void append(Position position, const DeliveryRow& row);
  void prefetch() const { __builtin_prefetch(rows_.data() + rows_.size(), 1); }
  // Takes back what was appended behind the first `size` rows.
  void truncate(size_t size);
  void clear();
  size_t bytes() const { return rows_.size() * sizeof(Row); }

 private:
  std::vector<Row> rows_;
  void index() const;
  void forget_index();
  mutable std::vector<uint32_t> last_;  // by leaf: leaf numbers are given out one after the other
  mutable size_t indexed_ = 0;
};

inline DeliveryLog::Row::Row(Position position, const DeliveryRow& row)
    : position_(position.packed() << flag_bits | (row.dead ? dead_bit : 0) | (row.shared ? shared_bit : 0)),
      no_(row.no.packed()), id_(row.ref.id.packed()), before_(row.before.packed()), hash_(row.ref.hash),
      leaf_(row.leaf.value()) {}

inline void DeliveryLog::append(Position position, const DeliveryRow& row) {
  ASSERT(rows_.empty() || rows_.back().position() < position);
  ASSERT(row.before < position);
  rows_.emplace_back(position, row);
}

}  // namespace canopy::store
