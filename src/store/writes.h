// What a step asks the store to change: a compact vocabulary, each word touching one key, each
// giving the same result when applied twice above the same checkpointed position.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"
#include "store/deliveries.h"

namespace canopy::store {

struct Write {
  // The numbers stand in the journal: never to change.
  enum class Kind : uint8_t {
    put = 1,      // key ← value
    erase = 2,    // key ← nothing
    insert = 3,   // the sorted set of u32 (packed, 4 bytes little-endian each) under key gets `member`
    remove = 4,   // … loses it; an empty set is no key
    ref = 5,      // one more pointer at a body; `body` are its bytes, null when the shard has it already
    unref = 6,    // one less; the last one takes the bytes away
    deliver = 7,  // a delivery's row at `position`, which is above all others; its body has a pointer more.
                  // The leaf's tail (applied, newest) follows by itself: a leaf's numbers ascend
    die = 8,      // the row at `position` is dead: its link is left, its body has a pointer less (none when it was)
    forget = 9,   // the row at `position` goes, and its link; REQUIRES: nothing leads over it any more
    relink = 10,  // … gets another `row.before`
  };
  Kind kind = Kind::put;
  std::string key;
  std::string value;
  uint32_t member = 0;
  BodyRef ref;
  Blob body;
  Position position;
  DeliveryRow row;
};

// The writes of one step of one bucket. Keys begin with the bucket (keys.h).
class Writes {
 public:
  void put(std::string key, std::string value) { all_.push_back({Write::Kind::put, std::move(key), std::move(value), 0, {}, {}, {}, {}}); }
  void erase(std::string key) { all_.push_back({Write::Kind::erase, std::move(key), {}, 0, {}, {}, {}, {}}); }
  void insert(std::string key, uint32_t member) { all_.push_back({Write::Kind::insert, std::move(key), {}, member, {}, {}, {}, {}}); }
  void remove(std::string key, uint32_t member) { all_.push_back({Write::Kind::remove, std::move(key), {}, member, {}, {}, {}, {}}); }
  // REQUIRES: `body` is not null unless the shard already has the bytes.
  void ref(BodyRef ref, Blob body) { all_.push_back({Write::Kind::ref, {}, {}, 0, ref, std::move(body), {}, {}}); }
  void unref(BodyRef ref) { all_.push_back({Write::Kind::unref, {}, {}, 0, ref, {}, {}, {}}); }
  // The rows of deliveries (deliveries.h), all of the bucket that `apply` names.
  // REQUIRES: `body` is not null unless the shard already has the bytes.
  void deliver(Position position, const DeliveryRow& row, Blob body) { all_.push_back({Write::Kind::deliver, {}, {}, 0, row.ref, std::move(body), position, row}); }
  void die(Position position, BodyRef ref) { all_.push_back({Write::Kind::die, {}, {}, 0, ref, {}, position, {}}); }
  // REQUIRES: the row is dead, or `ref` is its body's.
  void forget(Position position, BodyRef ref) { all_.push_back({Write::Kind::forget, {}, {}, 0, ref, {}, position, {}}); }
  void relink(Position position, Position before) { all_.push_back({Write::Kind::relink, {}, {}, 0, {}, {}, position, {{}, {}, {}, before, false, false}}); }

  bool empty() const { return all_.empty(); }
  size_t size() const { return all_.size(); }
  const std::vector<Write>& all() const { return all_; }
  void clear() { all_.clear(); }

 private:
  std::vector<Write> all_;
};

}  // namespace canopy::store
