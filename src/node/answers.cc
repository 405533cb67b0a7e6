#include "node/answers.h"

namespace canopy::node {
namespace {

std::vector<std::string> names_of(const map::BucketMap& map, const std::vector<NodeIndex>& nodes) {
  std::vector<std::string> names;
  for (const NodeIndex node : nodes) names.push_back(map.node(node).name);
  return names;
}

}  // namespace

std::string hexadecimal(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out.push_back("0123456789abcdef"[static_cast<uint8_t>(c) >> 4]);
    out.push_back("0123456789abcdef"[static_cast<uint8_t>(c) & 15]);
  }
  return out;
}

wire::PingResult answer_ping(const NodeOptions& options, const Place& place) {
  return {options.name, place.map->settings.name, options.version, hexadecimal(place.map->fabric_id), place.version()};
}

wire::LookupResult answer_lookup(const Place& place, const wire::Lookup& request) {
  const map::BucketMap& map = *place.map;
  const BucketId bucket = map.bucket_of(request.entity);
  const map::BucketRow& row = map.row(bucket);
  const map::NodeRow& primary = map.node(row.primary);
  return {request.entity, bucket, row.epoch, primary.name, names_of(map, row.backups), primary.client};
}

wire::MapResult answer_map(const Place& place, const Links& links, const wire::Map& request) {
  const map::BucketMap& map = *place.map;
  wire::MapResult result;
  result.version = place.version();
  result.bucket_count = map.settings.bucket_count;
  if (request.after >= result.version) return result;
  for (size_t i = 0; i < map.nodes.size(); ++i) {
    const NodeIndex index(static_cast<uint16_t>(i));
    const map::NodeRow& row = map.nodes[i];
    const bool up = index == place.self || links.with_session(index) != nullptr;
    result.nodes.push_back({row.name, row.client, row.feed, row.link, row.zone, up ? "up" : "down", row.weight_milli});
  }
  for (size_t i = 0; i < map.buckets.size(); ++i) {
    const map::BucketRow& row = map.buckets[i];
    result.buckets.push_back({BucketId(static_cast<uint16_t>(i)), map.node(row.primary).name,
                              names_of(map, row.backups), row.epoch, row.incarnation});
  }
  return result;
}

}  // namespace canopy::node
