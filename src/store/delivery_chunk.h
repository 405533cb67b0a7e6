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

// Of a chunk with its checksum: six share a page of LMDB. Chunks are put behind one another in the middle of the
// tree, where LMDB splits a full page before its last row: of n rows in a page n - 1 stay. With two it was half.
constexpr size_t chunk_bytes_max = 656;

// Packs one chunk. Its key has a position that no row of it is below, and no row of an earlier chunk above.
class ChunkWriter {
 public:
  explicit ChunkWriter(Position key) { begin(key); }
  void begin(Position key);
  // Returns false, and changes nothing, when the chunk is full.
  // REQUIRES: ascending positions, not below the key's; row.before is below the position.
  bool add(Position position, const DeliveryRow& row);
  Position key() const { return key_; }
  bool empty() const { return size_ == 1; }
  // Valid until the next change.
  std::string_view value() const { return {value_.data(), size_}; }

 private:
  Position key_;
  uint64_t last_position_ = 0;
  uint64_t last_id_ = 0;
  size_t size_ = 0;
  std::array<char, chunk_bytes_max> value_;
};

// Appends the rows of a chunk. Returns false when it is damaged, or of a newer version.
bool decode_chunk(Position key, std::string_view value, std::vector<PlacedRow>& rows);

}  // namespace canopy::store
