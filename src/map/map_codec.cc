// The map's record, in stores and in offers: version u8 = 2, checksum be32 (the low half of XXH3 of
// what follows), then the fields in the order below. Never to change; later versions append.
#include <bit>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "map/map.h"

namespace canopy::map {
namespace {

constexpr uint8_t record_version = 2;  // 1 ended with the buckets: its retention is the default

void put_settings(std::string& out, const FabricSettings& s) {
  put_string(out, s.name);
  put_varint(out, s.bucket_count);
  put_varint(out, s.replicas);
  put_varint(out, s.min_in_sync);
  put_varint(out, s.fanout);
  put_varint(out, s.leaf_segment);
  put_varint(out, s.max_hops);
  put_varint(out, s.capacity);
  put_varint(out, s.body_max);
  put_varint(out, s.stream_retention);
  put_varint(out, s.deliveries_max);
}

// Reads numbers of a given width; one that does not fit spoils the record.
struct Fields {
  Cursor in;
  bool fits = true;
  uint32_t u32() {
    const uint64_t v = in.varint();
    if (v > UINT32_MAX) fits = false;
    return static_cast<uint32_t>(v);
  }
  std::string string() { return std::string(in.string()); }
  bool ok() const { return fits && in.ok(); }
};

void get_settings(Fields& in, FabricSettings& s) {
  s.name = in.string();
  s.bucket_count = in.u32();
  s.replicas = in.u32();
  s.min_in_sync = in.u32();
  s.fanout = in.u32();
  s.leaf_segment = in.u32();
  s.max_hops = in.u32();
  s.capacity = in.u32();
  s.body_max = in.in.varint();
  s.stream_retention = in.in.varint();
  s.deliveries_max = in.in.varint();
}

bool get_nodes(Fields& in, std::vector<NodeRow>& nodes) {
  const uint32_t count = in.u32();
  if (!in.ok() || count == 0 || count > limits::nodes_max) return false;
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    NodeRow row;
    row.name = in.string();
    row.client = in.string();
    row.feed = in.string();
    row.link = in.string();
    row.zone = in.string();
    row.weight_milli = in.u32();
    if (!nodes.empty() && !(nodes.back().name < row.name)) return false;
    nodes.push_back(std::move(row));
  }
  return in.ok();
}

bool get_node(Fields& in, size_t nodes, NodeIndex& index) {
  const uint32_t value = in.u32();
  if (!in.ok() || value >= nodes) return false;
  index = NodeIndex(static_cast<uint16_t>(value));
  return true;
}

bool get_bucket(Fields& in, size_t nodes, BucketRow& row) {
  if (!get_node(in, nodes, row.primary)) return false;
  const uint32_t backups = in.u32();
  if (!in.ok() || backups >= nodes) return false;
  for (uint32_t i = 0; i < backups; ++i) {
    NodeIndex backup;
    if (!get_node(in, nodes, backup) || backup == row.primary) return false;
    row.backups.push_back(backup);
  }
  row.epoch = Epoch(in.u32());
  row.incarnation = in.in.varint();
  return in.ok() && row.epoch.value() > 0 && row.incarnation > 0 && row.incarnation <= Position::incarnation_max;
}

void get_retention(Fields& in, Retention& r) {
  r.count = in.in.varint();
  r.age_s = in.in.varint();
}

bool get_map(Fields& in, uint8_t version, BucketMap& map) {
  map.fabric_id = in.string();
  map.version = MapVersion(in.in.varint());
  get_settings(in, map.settings);
  const uint32_t buckets = map.settings.bucket_count;
  if (!in.ok() || map.fabric_id.size() != 16 || map.version.value() == 0) return false;
  if (!std::has_single_bit(buckets) || buckets > limits::bucket_count_max) return false;
  if (!get_nodes(in, map.nodes)) return false;
  for (uint32_t i = 0; i < buckets; ++i)
    if (!get_bucket(in, map.nodes.size(), map.buckets.emplace_back())) return false;
  if (version >= 2) {
    FabricSettings& s = map.settings;
    for (Retention* r : {&s.mentions, &s.replies, &s.topic, &s.sent}) get_retention(in, *r);
  }
  return in.ok() && in.in.done();
}

}  // namespace

std::string encode_map(const BucketMap& map) {
  std::string fields;
  put_string(fields, map.fabric_id);
  put_varint(fields, map.version.value());
  put_settings(fields, map.settings);
  put_varint(fields, map.nodes.size());
  for (const NodeRow& row : map.nodes) {
    for (const std::string* text : {&row.name, &row.client, &row.feed, &row.link, &row.zone}) put_string(fields, *text);
    put_varint(fields, row.weight_milli);
  }
  for (const BucketRow& row : map.buckets) {
    put_varint(fields, row.primary.value());
    put_varint(fields, row.backups.size());
    for (NodeIndex backup : row.backups) put_varint(fields, backup.value());
    put_varint(fields, row.epoch.value());
    put_varint(fields, row.incarnation);
  }
  const FabricSettings& s = map.settings;
  for (const Retention* r : {&s.mentions, &s.replies, &s.topic, &s.sent}) {
    put_varint(fields, r->count);
    put_varint(fields, r->age_s);
  }
  std::string out;
  put_u8(out, record_version);
  put_be32(out, static_cast<uint32_t>(hash64(fields)));
  out += fields;
  return out;
}

Result<BucketMap> decode_map(std::string_view bytes) {
  Cursor head(bytes);
  const uint8_t version = head.u8();
  const uint32_t checksum = head.be32();
  if (!head.ok() || version == 0) return failure(Code::internal, "bucket map: the record is damaged");
  if (version > record_version)
    return failure(Code::internal, "bucket map: the record has version " + std::to_string(version) +
                                       ", this program reads up to " + std::to_string(record_version));
  if (static_cast<uint32_t>(hash64(head.rest())) != checksum)
    return failure(Code::internal, "bucket map: the record's checksum is wrong");
  Fields in{Cursor(head.rest())};
  BucketMap map;
  if (!get_map(in, version, map)) return failure(Code::internal, "bucket map: the record is damaged");
  return map;
}

}  // namespace canopy::map
