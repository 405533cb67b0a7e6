// Some rows of deliveries of one bucket, packed into one row of the tables. Pure.
// The bytes are on disk: never to change (README.md has the grammar).
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "store/deliveries.h"

namespace canopy::store {

struct PlacedRow {
  Position position;
  DeliveryRow row;
  friend bool operator==(const PlacedRow&, const PlacedRow&) = default;
};

// Of a chunk with its checksum: a page of LMDB without its head. A value of that size has a page of its own, so that
// chunks are written full: as rows of a page they stood before other rows of their bucket, and LMDB, splitting such
// pages in the middle, left them half empty.
constexpr size_t chunk_bytes_max = 4080;

// Packs one chunk. Its key has a position that no row of it is below, and no row of an earlier chunk above.
class ChunkWriter {
 public:
  // `bytes_max`: of a chunk with its checksum, at most chunk_bytes_max. Smaller ones are for tests.
  explicit ChunkWriter(Position key, size_t bytes_max = chunk_bytes_max) : bytes_max_(bytes_max) { begin(key); }
  void begin(Position key);
  // Returns false, and changes nothing, when the chunk is full.
  // REQUIRES: ascending positions, not below the key's; row.before is below the position.
  bool add(Position position, const DeliveryRow& row);
  Position key() const { return key_; }
  bool empty() const { return size_ == 1; }
  // Valid until the next change.
  std::string_view value() const { return {value_.data(), size_}; }

 private:
  size_t bytes_max_;
  Position key_;
  uint64_t last_position_ = 0, last_no_ = 0, last_ms_ = 0;
  size_t size_ = 0;
  std::array<char, chunk_bytes_max> value_;
};

// Appends the rows of a chunk. Returns false when it is damaged, or of a newer version.
bool decode_chunk(Position key, std::string_view value, std::vector<PlacedRow>& rows);

}  // namespace canopy::store
