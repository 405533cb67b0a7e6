#include "map/map.h"

#include <algorithm>
#include <map>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/values.h"

namespace canopy::map {
namespace {

// A value stands on one line, whatever the operator has put into a name.
std::string one_line(std::string_view value) {
  std::string out;
  for (char c : value) {
    if (c == '\n') out += "\\n";
    else if (c == '\\') out += "\\\\";
    else out.push_back(c);
  }
  return out;
}

void line(std::string& out, std::string_view key, std::string_view value) {
  out.append(key);
  out.push_back('=');
  out.append(value);
  out.push_back('\n');
}

void line(std::string& out, std::string_view key, uint64_t value) { line(out, key, std::to_string(value)); }

// The lines of a canonical text, in their order: (key, value).
std::vector<std::pair<std::string_view, std::string_view>> lines_of(std::string_view text) {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equal = std::min(one.find('='), one.size());
    out.emplace_back(one.substr(0, equal), one.substr(std::min(equal + 1, one.size())));
  }
  return out;
}

void differ(std::string& out, std::string_view key, std::string_view here, std::string_view there) {
  if (!out.empty()) out += "; ";
  out.append(key).append(": ").append(here).append(" here, ").append(there).append(" there");
}

}  // namespace

std::string canonical(const FabricSettings& s) {
  std::string out;
  line(out, "fabric.name", one_line(s.name));
  line(out, "fabric.bucket_count", s.bucket_count);
  line(out, "fabric.replicas", s.replicas);
  line(out, "fabric.min_in_sync", s.min_in_sync);
  line(out, "tree.fanout", s.fanout);
  line(out, "tree.leaf_segment", s.leaf_segment);
  line(out, "tree.max_hops", s.max_hops);
  line(out, "timeline.capacity", s.capacity);
  line(out, "limits.body_max", s.body_max);
  line(out, "retention.mentions", show_retention(s.mentions));
  line(out, "retention.replies", show_retention(s.replies));
  line(out, "retention.topic", show_retention(s.topic));
  line(out, "retention.sent", show_retention(s.sent));
  line(out, "retention.stream", s.stream_retention);
  line(out, "limits.deliveries_max", s.deliveries_max);
  return out;
}

std::string difference(std::string_view here, std::string_view there) {
  const auto ours = lines_of(here);
  const auto theirs = lines_of(there);
  const std::map<std::string_view, std::string_view> their_values(theirs.begin(), theirs.end());
  const std::map<std::string_view, std::string_view> our_values(ours.begin(), ours.end());
  std::string out;
  for (const auto& [key, value] : ours) {
    const auto found = their_values.find(key);
    if (found == their_values.end()) differ(out, key, value, "nothing");
    else if (found->second != value) differ(out, key, value, found->second);
  }
  for (const auto& [key, value] : theirs)
    if (!our_values.contains(key)) differ(out, key, "nothing", value);
  return out;
}

std::optional<NodeIndex> BucketMap::find(std::string_view node) const {
  const auto at = std::lower_bound(nodes.begin(), nodes.end(), node,
                                   [](const NodeRow& row, std::string_view name) { return row.name < name; });
  if (at == nodes.end() || at->name != node) return std::nullopt;
  return NodeIndex(static_cast<uint16_t>(at - nodes.begin()));
}

BucketId BucketMap::bucket_of(std::string_view entity) const {
  return canopy::bucket_of(entity, settings.bucket_count);
}

void BucketMap::check() const {
  ASSERT(fabric_id.size() == 16);
  ASSERT(version.value() > 0);
  ASSERT(!nodes.empty() && nodes.size() <= limits::nodes_max);
  ASSERT(buckets.size() == settings.bucket_count);
  for (size_t i = 1; i < nodes.size(); ++i) ASSERT(nodes[i - 1].name < nodes[i].name);
  for (const BucketRow& bucket : buckets) {
    ASSERT(bucket.primary.value() < nodes.size());
    for (NodeIndex backup : bucket.backups) ASSERT(backup.value() < nodes.size() && backup != bucket.primary);
    ASSERT(bucket.epoch.value() > 0);
    ASSERT(bucket.incarnation > 0);
  }
}

// Dealt bucket by bucket to the node that is furthest below its share. All terms are integers:
// after `dealt` buckets a node's share is dealt * weight / total, compared without the division.
// No backups: copies come with replication.
BucketMap plan_fabric(std::string fabric_id, FabricSettings settings, std::vector<NodeRow> nodes) {
  ASSERT(!nodes.empty());
  BucketMap map;
  map.fabric_id = std::move(fabric_id);
  map.version = MapVersion(1);
  map.settings = std::move(settings);
  map.nodes = std::move(nodes);
  std::sort(map.nodes.begin(), map.nodes.end(),
            [](const NodeRow& a, const NodeRow& b) { return a.name < b.name; });

  std::vector<int64_t> weights;
  int64_t total = 0;
  for (const NodeRow& node : map.nodes) total += weights.emplace_back(node.weight_milli);
  if (total == 0) {  // nobody wants any: all alike
    std::fill(weights.begin(), weights.end(), 1);
    total = static_cast<int64_t>(weights.size());
  }
  std::vector<int64_t> dealt(weights.size(), 0);
  for (uint32_t bucket = 0; bucket < map.settings.bucket_count; ++bucket) {
    const auto below = [&](size_t node) { return int64_t{bucket + 1} * weights[node] - dealt[node] * total; };
    size_t best = 0;
    for (size_t node = 1; node < weights.size(); ++node)
      if (below(node) > below(best)) best = node;
    ++dealt[best];
    map.buckets.push_back(BucketRow{NodeIndex(static_cast<uint16_t>(best)), {}, Epoch{1}, 1});
  }
  map.check();
  return map;
}

}  // namespace canopy::map
