#include "store/delivery_chunk.h"

#include "base/assert.h"
#include "base/bytes.h"

namespace canopy::store {
namespace {

constexpr char chunk_version = 2;
constexpr size_t checksum_bytes = 4;
// head 8, leaf 5, number 10, link 8, ms of the id 7, the rest of it 4, hash 4
constexpr size_t row_bytes_max = 46;
// An id's time, and what stands below it: counter and bucket. The first is mostly near that of the row before.
constexpr int id_low_bits = 22;
constexpr uint64_t id_low = (uint64_t{1} << id_low_bits) - 1;
constexpr uint64_t shared_bit = 1, dead_bit = 2;
constexpr int head_bits = 2;

uint64_t zigzag(uint64_t difference) { return difference << 1 ^ (difference >> 63 ? ~uint64_t{0} : 0); }
uint64_t unzigzag(uint64_t coded) { return coded >> 1 ^ (~(coded & 1) + 1); }

}  // namespace

void ChunkWriter::begin(Position key) {
  key_ = key;
  last_position_ = last_no_ = key.packed();
  last_ms_ = 0;
  value_[0] = chunk_version;
  size_ = 1;
}

bool ChunkWriter::add(Position position, const DeliveryRow& row) {
  if (size_ + row_bytes_max + checksum_bytes > bytes_max_) return false;
  ASSERT(position.packed() >= last_position_ && row.before < position);
  const uint64_t flags = (row.shared ? shared_bit : 0) | (row.dead ? dead_bit : 0);
  char* out = value_.data() + size_;
  out = write_varint(out, (position.packed() - last_position_) << head_bits | flags);
  out = write_varint(out, row.leaf.value());
  out = write_varint(out, zigzag(row.no.packed() - last_no_));
  out = write_varint(out, row.before.zero() ? 0 : position.packed() - row.before.packed());
  last_position_ = position.packed();
  last_no_ = row.no.packed();
  if (!row.dead) {
    const uint64_t ms = row.ref.id.packed() >> id_low_bits;
    out = write_varint(out, zigzag(ms - last_ms_));
    out = write_varint(out, row.ref.id.packed() & id_low);
    for (int shift = 24; shift >= 0; shift -= 8) *out++ = static_cast<char>(row.ref.hash >> shift);
    last_ms_ = ms;
  }
  size_ = static_cast<size_t>(out - value_.data());
  return true;
}

bool decode_chunk(Position key, std::string_view value, std::vector<PlacedRow>& rows) {
  Cursor in(value);
  if (in.u8() != chunk_version) return false;
  uint64_t position = key.packed(), no = key.packed(), ms = 0;
  while (in.ok() && in.left() > 0) {
    const uint64_t head = in.varint();
    position += head >> head_bits;
    PlacedRow& placed = rows.emplace_back();
    DeliveryRow& row = placed.row;
    placed.position = Position(position);
    row.shared = head & shared_bit;
    row.dead = head & dead_bit;
    row.leaf = LeafNo(static_cast<uint32_t>(in.varint()));
    no += unzigzag(in.varint());
    row.no = StreamNo(no);
    const uint64_t back = in.varint();
    row.before = back == 0 ? Position() : Position(position - back);
    if (row.dead) continue;
    ms += unzigzag(in.varint());
    row.ref.id = MessageId(ms << id_low_bits | (in.varint() & id_low));
    row.ref.hash = in.be32();
  }
  return in.ok();
}

}  // namespace canopy::store
