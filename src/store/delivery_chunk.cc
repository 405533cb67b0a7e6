#include "store/delivery_chunk.h"

#include "base/assert.h"
#include "base/bytes.h"

namespace canopy::store {
namespace {

constexpr char chunk_version = 1;
constexpr size_t checksum_bytes = 4;
// head 8, leaf 5, number 8, link 8, id 10, hash 4
constexpr size_t row_bytes_max = 43;
constexpr uint64_t shared_bit = 1, dead_bit = 2;
constexpr int head_bits = 2;

uint64_t zigzag(uint64_t difference) { return difference << 1 ^ (difference >> 63 ? ~uint64_t{0} : 0); }
uint64_t unzigzag(uint64_t coded) { return coded >> 1 ^ (~(coded & 1) + 1); }

}  // namespace

void ChunkWriter::begin(Position key) {
  key_ = key;
  last_position_ = key.packed();
  last_id_ = 0;
  value_[0] = chunk_version;
  size_ = 1;
}

bool ChunkWriter::add(Position position, const DeliveryRow& row) {
  if (size_ + row_bytes_max + checksum_bytes > chunk_bytes_max) return false;
  ASSERT(position.packed() >= last_position_ && row.before < position);
  const uint64_t flags = (row.shared ? shared_bit : 0) | (row.dead ? dead_bit : 0);
  char* out = value_.data() + size_;
  out = write_varint(out, (position.packed() - last_position_) << head_bits | flags);
  out = write_varint(out, row.leaf.value());
  out = write_varint(out, row.no.packed());
  out = write_varint(out, row.before.zero() ? 0 : position.packed() - row.before.packed());
  last_position_ = position.packed();
  if (!row.dead) {
    out = write_varint(out, zigzag(row.ref.id.packed() - last_id_));
    for (int shift = 24; shift >= 0; shift -= 8) *out++ = static_cast<char>(row.ref.hash >> shift);
    last_id_ = row.ref.id.packed();
  }
  size_ = static_cast<size_t>(out - value_.data());
  return true;
}

bool decode_chunk(Position key, std::string_view value, std::vector<PlacedRow>& rows) {
  Cursor in(value);
  if (in.u8() != chunk_version) return false;
  uint64_t position = key.packed(), id = 0;
  while (in.ok() && in.left() > 0) {
    const uint64_t head = in.varint();
    position += head >> head_bits;
    PlacedRow& placed = rows.emplace_back();
    DeliveryRow& row = placed.row;
    placed.position = Position(position);
    row.shared = head & shared_bit;
    row.dead = head & dead_bit;
    row.leaf = LeafNo(static_cast<uint32_t>(in.varint()));
    row.no = StreamNo(in.varint());
    const uint64_t back = in.varint();
    row.before = back == 0 ? Position() : Position(position - back);
    if (row.dead) continue;
    id += unzigzag(in.varint());
    row.ref.id = MessageId(id);
    row.ref.hash = in.be32();
  }
  return in.ok();
}

}  // namespace canopy::store
