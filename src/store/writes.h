// What a step asks the store to change: a compact vocabulary, each word touching one key, each
// giving the same result when applied twice above the same checkpointed position.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"

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
  };
  Kind kind = Kind::put;
  std::string key;
  std::string value;
  uint32_t member = 0;
  BodyRef ref;
  Blob body;
};

// The writes of one step of one bucket. Keys begin with the bucket (keys.h).
class Writes {
 public:
  void put(std::string key, std::string value) { all_.push_back({Write::Kind::put, std::move(key), std::move(value), 0, {}, {}}); }
  void erase(std::string key) { all_.push_back({Write::Kind::erase, std::move(key), {}, 0, {}, {}}); }
  void insert(std::string key, uint32_t member) { all_.push_back({Write::Kind::insert, std::move(key), {}, member, {}, {}}); }
  void remove(std::string key, uint32_t member) { all_.push_back({Write::Kind::remove, std::move(key), {}, member, {}, {}}); }
  // REQUIRES: `body` is not null unless the shard already has the bytes.
  void ref(BodyRef ref, Blob body) { all_.push_back({Write::Kind::ref, {}, {}, 0, ref, std::move(body)}); }
  void unref(BodyRef ref) { all_.push_back({Write::Kind::unref, {}, {}, 0, ref, {}}); }

  bool empty() const { return all_.empty(); }
  size_t size() const { return all_.size(); }
  const std::vector<Write>& all() const { return all_; }
  void clear() { all_.clear(); }

 private:
  std::vector<Write> all_;
};

}  // namespace canopy::store
