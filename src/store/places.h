// Where in a bucket a message is, beside its author's `sent` and the plain deliveries, which are found
// without help. One row for each place, so that a retraction finds them all and a message that can come
// by several ways is known again.
//   key: message id, kind u8, number be32 [, second be32]; value: position or stream number, be64
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/assert.h"
#include "store/keys.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::store {

// Stored: never to change.
enum class PlaceKind : uint8_t {
  delivery = 1,   // leaf → position: a shared message in a leaf's list
  stream = 2,     // entity → stream number: another author's message in its stream list
  mentions = 3,   // entity → position, in the list of that name
  replies = 4,
  topic = 5,
  direct = 6,
  backfill = 7,   // follower, leaf → position
  passed = 8,     // entity → stream number: of its retraction in the stream list
};

struct Place {
  PlaceKind kind = PlaceKind::delivery;
  uint32_t number = 0, second = 0;
  uint64_t at = 0;   // packed
  Position position() const { return Position(at); }
  StreamNo stream_no() const { return StreamNo(at); }
};

inline std::string place_key(BucketId bucket, MessageId id, PlaceKind kind, uint32_t number, uint32_t second = 0) {
  std::string key = KeyBuilder(bucket, Table::place).add(id);
  put_u8(key, static_cast<uint8_t>(kind));
  put_be32(key, number);
  if (kind == PlaceKind::backfill) put_be32(key, second);
  return key;
}

inline void put_place(BucketId bucket, MessageId id, PlaceKind kind, uint32_t number, uint64_t at, Writes& writes,
                      uint32_t second = 0) {
  std::string value;
  put_be64(value, at);
  writes.put(place_key(bucket, id, kind, number, second), value);
}

inline std::optional<uint64_t> find_place(BucketId bucket, MessageId id, PlaceKind kind, uint32_t number,
                                          const Reader& reader) {
  const auto value = reader.get(place_key(bucket, id, kind, number));
  if (!value) return std::nullopt;
  return Cursor(*value).be64();
}

// Visits the places of a message until `visit` returns false.
inline void visit_places(BucketId bucket, MessageId id, const Reader& reader, const std::function<bool(const Place&)>& visit) {
  const std::string prefix = KeyBuilder(bucket, Table::place).add(id);
  reader.scan(prefix, after_prefix(prefix), [&](std::string_view key, std::string_view value) {
    Cursor in(key.substr(prefix.size())), at(value);
    Place place;
    place.kind = static_cast<PlaceKind>(in.u8());
    place.number = in.be32();
    if (place.kind == PlaceKind::backfill) place.second = in.be32();
    place.at = at.be64();
    ASSERT(in.done() && at.done());
    return visit(place);
  });
}

}  // namespace canopy::store
