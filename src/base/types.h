// Distinct types for ids and counters: an EntityNo cannot stand where a LeafNo belongs.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace canopy {

// A number that mixes with no other: Tag makes the type. Ordered, hashable, no arithmetic.
template <class Tag, class Rep>
class Id {
 public:
  using rep = Rep;
  constexpr Id() = default;
  constexpr explicit Id(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  friend constexpr auto operator<=>(Id, Id) = default;

 private:
  Rep value_ = 0;
};

using BucketId = Id<struct BucketTag, uint16_t>;
using NodeIndex = Id<struct NodeTag, uint16_t>;     // a row of the map's node table
using EntityNo = Id<struct EntityTag, uint32_t>;    // of an entity inside its bucket; never used again
using LeafNo = Id<struct LeafTag, uint32_t>;        // of a leaf inside its bucket; never used again
using MapVersion = Id<struct MapVersionTag, uint64_t>;
using Epoch = Id<struct EpochTag, uint32_t>;

// (incarnation, number) in 12 + 41 bits, so that it orders and fits the 53 bits that every JSON
// reader keeps. Past 2^40 the owner takes the next incarnation as a planned change.
template <class Tag>
class Numbered {
 public:
  static constexpr int number_bits = 41;
  static constexpr uint64_t number_max = (uint64_t{1} << number_bits) - 1;
  static constexpr uint64_t incarnation_max = (uint64_t{1} << 12) - 1;

  constexpr Numbered() = default;
  constexpr explicit Numbered(uint64_t packed) : packed_(packed) {}
  constexpr Numbered(uint64_t incarnation, uint64_t number)
      : packed_(incarnation << number_bits | number) {}

  constexpr uint64_t packed() const { return packed_; }
  constexpr uint64_t incarnation() const { return packed_ >> number_bits; }
  constexpr uint64_t number() const { return packed_ & number_max; }
  constexpr bool zero() const { return packed_ == 0; }
  constexpr Numbered next() const { return Numbered(packed_ + 1); }
  friend constexpr auto operator<=>(Numbered, Numbered) = default;

 private:
  uint64_t packed_ = 0;
};

using Position = Numbered<struct PositionTag>;  // a bucket's operation number, a reader's cursor
using StreamNo = Numbered<struct StreamTag>;    // a reflector's; zero is "before the first"

static_assert(Position::incarnation_max << Position::number_bits < uint64_t{1} << 53,
              "positions are JSON numbers: they must stay below 2^53");

// 64 bits: 42 of milliseconds since 1970, 8 of counter, 14 of bucket, in this order. Never to change.
class MessageId {
 public:
  static constexpr int bucket_bits = 14;
  constexpr MessageId() = default;
  constexpr explicit MessageId(uint64_t packed) : packed_(packed) {}
  // Returns the next id of a bucket: the upper 50 bits are max(ms * 256, last + 1).
  static constexpr MessageId after(MessageId last, uint64_t wall_ms, BucketId bucket) {
    const uint64_t wanted = wall_ms << 8;
    const uint64_t least = (last.packed_ >> bucket_bits) + 1;
    return MessageId((wanted > least ? wanted : least) << bucket_bits | bucket.value());
  }
  constexpr uint64_t packed() const { return packed_; }
  constexpr BucketId bucket() const {
    return BucketId(static_cast<uint16_t>(packed_ & ((1u << bucket_bits) - 1)));
  }
  constexpr uint64_t time_ms() const { return packed_ >> (bucket_bits + 8); }
  constexpr bool zero() const { return packed_ == 0; }
  friend constexpr auto operator<=>(MessageId, MessageId) = default;

 private:
  uint64_t packed_ = 0;
};

// What a list points at: a body in the shard's store. The hash tells apart two messages that were
// given the same id by two histories of a bucket (a restore).
struct BodyRef {
  MessageId id;
  uint32_t hash = 0;
  friend constexpr auto operator<=>(const BodyRef&, const BodyRef&) = default;
};

// A letter's number in its channel: the position of the operation that wrote it, and its index there.
struct LetterNo {
  Position position;
  uint32_t index = 0;
  constexpr bool zero() const { return position.zero() && index == 0; }
  friend constexpr auto operator<=>(const LetterNo&, const LetterNo&) = default;
};

}  // namespace canopy

template <class Tag, class Rep>
struct std::hash<canopy::Id<Tag, Rep>> {
  size_t operator()(canopy::Id<Tag, Rep> id) const { return std::hash<Rep>{}(id.value()); }
};
template <class Tag>
struct std::hash<canopy::Numbered<Tag>> {
  size_t operator()(canopy::Numbered<Tag> n) const { return std::hash<uint64_t>{}(n.packed()); }
};
template <>
struct std::hash<canopy::MessageId> {
  size_t operator()(canopy::MessageId id) const { return std::hash<uint64_t>{}(id.packed()); }
};
