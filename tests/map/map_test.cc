#include "map/map.h"

#include <doctest/doctest.h>

#include <map>

#include "base/bytes.h"
#include "base/hash.h"

namespace canopy::map {
namespace {

const std::string fabric_id(16, 'f');

std::vector<NodeRow> nodes(const std::vector<std::pair<std::string, uint32_t>>& names) {
  std::vector<NodeRow> rows;
  for (const auto& [name, weight] : names)
    rows.push_back({name, "tcp://" + name + ":7700", "tcp://" + name + ":7701", "tcp://" + name + ":7703", "", weight});
  return rows;
}

FabricSettings settings(uint32_t buckets) {
  FabricSettings out;
  out.bucket_count = buckets;
  return out;
}

std::map<std::string, int> shares(const BucketMap& map) {
  std::map<std::string, int> count;
  for (const BucketRow& row : map.buckets) ++count[map.node(row.primary).name];
  return count;
}

TEST_CASE("map: buckets are dealt to nodes by weight, and the order in which nodes are given does not matter") {
  const BucketMap even = plan_fabric(fabric_id, settings(256), nodes({{"n3", 1000}, {"n1", 1000}, {"n2", 1000}}));
  CHECK(even == plan_fabric(fabric_id, settings(256), nodes({{"n1", 1000}, {"n2", 1000}, {"n3", 1000}})));
  CHECK(shares(even) == std::map<std::string, int>{{"n1", 86}, {"n2", 85}, {"n3", 85}});
  const BucketMap weighed = plan_fabric(fabric_id, settings(256), nodes({{"a", 3000}, {"b", 1000}}));
  CHECK(shares(weighed) == std::map<std::string, int>{{"a", 192}, {"b", 64}});
  // dealt one by one: no long run belongs to one node
  for (size_t i = 0; i + 4 <= 256; i += 4) {
    int b = 0;
    for (size_t k = i; k < i + 4; ++k) b += weighed.buckets[k].primary == NodeIndex(1);
    CHECK(b == 1);
  }
  CHECK(shares(plan_fabric(fabric_id, settings(64), nodes({{"a", 1000}, {"idle", 0}}))) ==
        std::map<std::string, int>{{"a", 64}});
  CHECK(shares(plan_fabric(fabric_id, settings(64), nodes({{"a", 0}, {"b", 0}}))) ==
        std::map<std::string, int>{{"a", 32}, {"b", 32}});
}

TEST_CASE("map: a name leads to its bucket and its owner, a node's name to its row") {
  const BucketMap map = plan_fabric(fabric_id, settings(256), nodes({{"n1", 1}, {"n2", 1}}));
  CHECK(map.bucket_of("alice") == canopy::bucket_of("alice", 256));
  CHECK(map.owner(map.bucket_of("alice")) == map.row(map.bucket_of("alice")).primary);
  CHECK(map.find("n2") == NodeIndex(1));
  CHECK(!map.find("n3"));
  CHECK(!map.find(""));
}

TEST_CASE("map: the record gives the map back, and a damaged, cut or newer one is refused") {
  BucketMap map = plan_fabric(fabric_id, settings(16), nodes({{"n1", 1000}, {"n2", 500}}));
  map.buckets[3].backups = {NodeIndex(map.buckets[3].primary == NodeIndex(0) ? 1 : 0)};
  map.buckets[3].epoch = Epoch(7);
  map.settings.mentions = {0, 365 * 86'400};
  map.settings.replies = {5, 6};
  map.settings.topic = {7, 0};
  map.settings.sent = {uint64_t{1} << 40, 1};
  const std::string record = encode_map(map);
  const auto back = decode_map(record);
  REQUIRE(back);
  CHECK(*back == map);
  for (size_t i = 0; i < record.size(); ++i) {
    CHECK(!decode_map(std::string_view(record).substr(0, i)));
    std::string damaged = record;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    CHECK(!decode_map(damaged));
  }
  CHECK(!decode_map(record + "x"));
  std::string newer = record;
  newer[0] = 3;
  const auto refused = decode_map(newer);
  REQUIRE(!refused);
  CHECK(refused.error().message.find("version 3") != std::string::npos);
}

TEST_CASE("map: a record of the first version is read with the retention that it knew nothing of") {
  const BucketMap map = plan_fabric(fabric_id, settings(16), nodes({{"n1", 1000}}));
  std::string record = encode_map(map);
  std::string fields = record.substr(5, record.size() - 5 - 12);  // without 4 counts (2, 2, 3 and 1 bytes) and 4 ages
  std::string old("\x01");
  put_be32(old, static_cast<uint32_t>(hash64(fields)));
  const auto back = decode_map(old + fields);
  REQUIRE(back);
  CHECK(*back == map);
  old = "\x01";
  fields = record.substr(5);
  put_be32(old, static_cast<uint32_t>(hash64(fields)));
  CHECK(!decode_map(old + fields));
}

TEST_CASE("map: a record that its checksum vouches for is still refused when it makes no sense") {
  const auto refused = [](const BucketMap& map) { return !decode_map(encode_map(map)); };
  const BucketMap good = plan_fabric(fabric_id, settings(16), nodes({{"n1", 1000}, {"n2", 1000}}));
  REQUIRE(!refused(good));
  BucketMap map = good;
  map.settings.bucket_count = 15;
  CHECK(refused(map));
  map = good;
  map.settings.bucket_count = 1u << 20;
  CHECK(refused(map));
  map = good;
  map.buckets[1].primary = NodeIndex(2);
  CHECK(refused(map));
  map = good;
  map.buckets[1].backups = {map.buckets[1].primary};
  CHECK(refused(map));
  map = good;
  map.buckets[1].epoch = Epoch(0);
  CHECK(refused(map));
  map = good;
  std::swap(map.nodes[0], map.nodes[1]);
  CHECK(refused(map));
  map = good;
  map.fabric_id = "short";
  CHECK(refused(map));
}

TEST_CASE("map: settings that differ are named with both values, and equal ones give nothing") {
  FabricSettings here, there;
  CHECK(difference(canonical(here), canonical(there)).empty());
  here.fanout = 4;
  there.body_max = 5;
  CHECK(difference(canonical(here), canonical(there)) ==
        "tree.fanout: 4 here, 64 there; limits.body_max: 1048576 here, 5 there");
  CHECK(difference("a=1\n", "a=1\nb=2\n") == "b: nothing here, 2 there");
  CHECK(difference("a=1\nb=2\n", "a=1\n") == "b: 2 here, nothing there");
  here = there;
  here.sent = {100'000, 365 * 86'400};
  there.topic = {};
  CHECK(difference(canonical(here), canonical(there)) ==
        "retention.topic: 100000 here,  there; retention.sent: 100000, 365d here,  there");
  here = there;
  here.name = "x\ntree.fanout=1";
  CHECK(difference(canonical(here), canonical(there)) == "fabric.name: x\\ntree.fanout=1 here, canopy there");
}

}  // namespace
}  // namespace canopy::map
