#include "map_tables.h"

#include <doctest/doctest.h>

namespace canopy::console {
namespace {

client::Map small_map() {
  client::Map map;
  map.version = 3;
  map.bucket_count = 4;
  map.nodes.resize(2);
  map.nodes[0].name = "n1";
  map.nodes[0].state = "up";
  map.nodes[0].client = "tcp://10.0.0.1:7700";
  map.nodes[1].name = "n2";
  map.nodes[1].state = "down";
  map.buckets = {{0, "n1", {"n2"}, 1, 0}, {1, "n1", {}, 1, 0}, {2, "n2", {"n1"}, 2, 0}, {3, "n1", {}, 1, 0}};
  return map;
}

}  // namespace

TEST_CASE("map: one line for each node, its buckets as ranges") {
  CHECK(map_table(small_map(), {}) ==
        "map version 3 · 4 buckets · 2 nodes\n\n"
        "NODE  STATE  PRIMARIES  BACKUPS  PRIMARY OF\n"
        "n1    up             3        1  0–1, 3\n"
        "n2    down           1        1  2\n");
}

TEST_CASE("map: buckets that make no ranges are cut short, --all has them") {
  client::Map map = small_map();
  map.buckets.clear();
  for (uint32_t bucket = 0; bucket < 256; ++bucket) map.buckets.push_back({bucket, bucket % 2 ? "n2" : "n1", {}, 1, 0});
  CHECK(map_table(map, {}).find("n1    up           128        0  0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, … (--all)\n") !=
        std::string::npos);
}

TEST_CASE("map: a bucket without a primary, and a primary that is no node, are seen") {
  client::Map map = small_map();
  map.buckets[1].primary = "";
  map.buckets[3].primary = "n9";
  const std::string text = map_table(map, {});
  CHECK(text.find("n9    ?") != std::string::npos);
  CHECK(text.find("1 bucket has no primary") != std::string::npos);
}

TEST_CASE("map: --all has a line for each bucket") {
  CHECK(buckets_table(small_map(), {}) ==
        "BUCKET  EPOCH  INCARNATION  PRIMARY  BACKUPS\n"
        "     0      1            0  n1       n2\n"
        "     1      1            0  n1\n"
        "     2      2            0  n2       n1\n"
        "     3      1            0  n1\n");
}

TEST_CASE("status: sections of a kind stand side by side, zeros are left out") {
  client::Status status;
  status.sections = {{"node", {{"name", "n1"}, {"drops", uint64_t{0}}}},
                     {"shard-0", {{"reads", uint64_t{1200}}, {"overlay_bytes", uint64_t{2048}}, {"parks", uint64_t{0}}}},
                     {"shard-1", {{"reads", uint64_t{0}}, {"overlay_bytes", uint64_t{10}}, {"parks", uint64_t{0}}}}};
  CHECK(status_tables(status, {}, false) ==
        "node\n"
        "name           n1\n"
        "\n"
        "shard          shard-0  shard-1\n"
        "reads            1,200        0\n"
        "overlay_bytes  2.0 KiB     10 B\n"
        "\n"
        "2 counters are zero and not shown: --all\n");
  CHECK(status_tables(status, {}, true).find("parks                0        0\n") != std::string::npos);
}

}  // namespace canopy::console
