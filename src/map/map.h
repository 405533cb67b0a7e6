// The bucket map: which node owns each bucket, the node table, the settings of the fabric.
// On every node; a value that is replaced as a whole by a newer version.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/retention.h"
#include "base/types.h"

namespace canopy::map {

// What belongs to the fabric: taken at creation, kept in the map (PROTOCOL.md, "A node's settings").
struct FabricSettings {
  std::string name = "canopy";
  uint32_t bucket_count = 256;
  uint32_t replicas = 1;
  uint32_t min_in_sync = 1;
  uint32_t fanout = 64;
  uint32_t leaf_segment = 10'000;
  uint32_t max_hops = 16;
  uint32_t capacity = 800;
  uint64_t body_max = 1u << 20;
  uint64_t stream_retention = 10'000;   // [retention] stream: stream-list entries kept per reflector
  // [retention]: of lists whose entity has none of its own.
  Retention mentions{10'000, 0}, replies{10'000, 0}, topic{100'000, 0}, sent;
  uint64_t deliveries_max = 1u << 30;   // bytes of a bucket's delivery records
  bool operator==(const FabricSettings&) const = default;
};
// One "key=value" a line, in a fixed order: what nodes compare in their hello.
std::string canonical(const FabricSettings& settings);
// Returns the lines that differ, as "tree.fanout: 4 here, 64 there; …"; empty when they agree.
std::string difference(std::string_view here, std::string_view there);

struct NodeRow {
  std::string name, client, feed, link, zone;
  uint32_t weight_milli = 1000;
  bool operator==(const NodeRow&) const = default;
};

struct BucketRow {
  NodeIndex primary;
  std::vector<NodeIndex> backups;
  Epoch epoch{1};
  uint64_t incarnation = 1;
  bool operator==(const BucketRow&) const = default;
};

struct BucketMap {
  std::string fabric_id;  // 16 random bytes
  MapVersion version;
  FabricSettings settings;
  std::vector<NodeRow> nodes;      // by name, ascending; index = NodeIndex
  std::vector<BucketRow> buckets;  // index = BucketId
  bool operator==(const BucketMap&) const = default;

  std::optional<NodeIndex> find(std::string_view node) const;
  const NodeRow& node(NodeIndex index) const { return nodes[index.value()]; }
  const BucketRow& row(BucketId bucket) const { return buckets[bucket.value()]; }
  BucketId bucket_of(std::string_view entity) const;
  NodeIndex owner(BucketId bucket) const { return row(bucket).primary; }
  void check() const;  // Invariant: sizes agree, every index is a node, versions and incarnations > 0
};

// Returns the map of a new fabric: buckets dealt to the nodes by weight, each node's share contiguous
// in no way that resonates with hashing (dealt one by one, the node furthest below its share first).
// REQUIRES: nodes have distinct names.
BucketMap plan_fabric(std::string fabric_id, FabricSettings settings, std::vector<NodeRow> nodes);

// Record: version u8, checksum, fields. Never to change; newer versions are refused.
std::string encode_map(const BucketMap& map);
Result<BucketMap> decode_map(std::string_view bytes);

}  // namespace canopy::map
