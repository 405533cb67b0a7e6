// The keys of the tables: bucket (2 bytes), table (1 byte), then fields, big-endian, so that a
// bucket is a range and lists are in order. Never to change; README.md lists them with their values.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/types.h"

namespace canopy::store {

enum class Table : char {
  bucket = 'B',        // → BucketRecord
  entity_no = 'N',     // name → entity number
  entity = 'E',        // number → EntityRecord
  sent = 's',          // entity, position → body ref
  message = 'i',       // message id → author's number, position in `sent`
  key = 'k',           // entity, PUBLISH key → KeyRecord
  key_age = 'K',       // position → entity, key: oldest first, for expiry
  edge = 'f',          // follower, leaf → since: whom an entity follows
  leaf_no = 'R',       // reflector's name → leaf
  leaf = 'L',          // leaf → LeafRecord
  applied = 'a',       // leaf → LeafTail, as it was written by hand (reader.h: leaf_tail)
  followers = 'l',     // leaf, first member → packed sorted set of entity numbers
  delivery = 'd',      // first position → a chunk of deliveries (the store's own: deliveries.h)
  tails = 'D',         // leaf / 64 → where these leaves stand by what was delivered (the store's own: leaf_tails.h)
  retired = 'g',       // leaf → its newest delivery: they are to be erased. leaf, follower → nothing: what his follow brought
  root = 'r',          // entity → RootRecord
  tree = 't',          // entity → the buckets that have leaves, packed
  stream = 'q',        // entity, stream number → body ref
  pending = 'p',       // entity → nothing: not every leaf has acknowledged its last number
  outbox = 'o',        // bucket, letter number → letter
  channel_out = 'O',   // bucket → number of the last letter written
  channel_in = 'm',    // bucket → mark
  mentions = 'M',      // entity, position → body ref
  replies = 'y',       // entity, position → body ref, parent's id
  topic = 'T',         // entity, position → body ref
  direct = 'h',        // entity, position → body ref: `to`, a part of home
  thread = 'Y',        // parent's id, position → entity: where in `replies` it stands
  list_head = 'c',     // entity, timeline → entries of the list
  retain = 'e',        // entity, timeline → retention of its own
  place = 'w',         // message id, PlaceKind, number … → where in this bucket a message is (places.h)
  dead = 'x',          // message id → position of its retraction
  dead_age = 'X',      // position → message id: the oldest stand first
  backfill = 'v',      // follower, leaf, position → body ref
  marker = 'u',        // entity, timeline, consumer → position
  alias = 'A',         // alias → entity's first name
  alias_of = 'V',      // entity, alias → granted u8
  forward = 'F',       // leaf, entity → since: what reaches the leaf goes on to the entity's stream
  forward_of = 'G',    // entity, leaf → nothing
  ending = 'z',        // entity → DeleteRecord: its deletion goes on
  lazy = 'Z',          // leaf → its root sends it no letters, or it has just asked for them again
};

class KeyBuilder {
 public:
  KeyBuilder(BucketId bucket, Table table) {
    put_be16(key_, bucket.value());
    key_.push_back(static_cast<char>(table));
  }
  KeyBuilder& add(EntityNo no) { put_be32(key_, no.value()); return *this; }
  KeyBuilder& add(LeafNo no) { put_be32(key_, no.value()); return *this; }
  KeyBuilder& add(BucketId b) { put_be16(key_, b.value()); return *this; }
  KeyBuilder& add(Position p) { put_be64(key_, p.packed()); return *this; }
  KeyBuilder& add(StreamNo n) { put_be64(key_, n.packed()); return *this; }
  KeyBuilder& add(MessageId id) { put_be64(key_, id.packed()); return *this; }
  KeyBuilder& add(LetterNo n) {
    put_be64(key_, n.position.packed());
    put_be32(key_, n.index);
    return *this;
  }
  KeyBuilder& add(uint32_t v) { put_be32(key_, v); return *this; }
  KeyBuilder& add(std::string_view last) { key_.append(last); return *this; }  // the last field only
  operator std::string() const { return key_; }
  operator std::string_view() const& { return key_; }  // valid as long as the builder
  const std::string& str() const { return key_; }

 private:
  std::string key_;
};

// Returns the first key after every key that begins with `prefix`.
inline std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

}  // namespace canopy::store
