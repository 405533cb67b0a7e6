#include <doctest/doctest.h>

#include "fabric.h"

namespace canopy::node::test {
namespace {

// Opens host 0 again with changed options; returns the refusal, "" when it opens.
std::string reopen(Fabric& fabric, const std::function<void(NodeOptions&)>& change) {
  const NodeOptions before = fabric[0].options;
  const store::MemBackend::Image image = fabric[0].control.image();
  change(fabric[0].options);
  const auto opened = fabric.open(0);
  fabric[0].options = before;
  if (opened) return "";
  CHECK(opened.error().message.find('\n') == std::string::npos);
  CHECK_MESSAGE(fabric[0].control.image() == image, "a refusal changes nothing");
  return opened.error().message;
}

void check_named(const std::string& refusal, const std::vector<std::string>& words) {
  for (const std::string& word : words) CHECK_MESSAGE(refusal.find(word) != std::string::npos, refusal << " / " << word);
}

TEST_CASE("node: a lone node without seeds forms its fabric at once and starts from it again") {
  Fabric fabric(1, 2);
  fabric.start(0);
  CHECK(fabric[0].node->ready());
  CHECK(fabric[0].node->waiting_for().empty());
  const auto maps = fabric[0].to_shards<shard::NewMap>();
  REQUIRE(maps.size() == 2);
  CHECK(maps[0].buckets.size() == 8);
  CHECK(maps[1].buckets.size() == 8);
  const std::string id = fabric_id_of(fabric[0].control);
  CHECK(id.size() == 16);
  fabric.crash(0);
  fabric.start(0);
  CHECK(fabric[0].node->ready());
  CHECK(fabric_id_of(fabric[0].control) == id);
  CHECK(fabric[0].to_shards<shard::NewMap>()[0].buckets == maps[0].buckets);
}

TEST_CASE("node: a data directory of another node, shard count, fabric or endpoint is refused and not changed") {
  Fabric fabric(1, 2);
  fabric.start(0);
  fabric.crash(0);
  CHECK(reopen(fabric, [](NodeOptions&) {}) == "");
  check_named(reopen(fabric, [](NodeOptions& o) { o.name = "other"; }), {"\"n1\"", "\"other\"", "node.name"});
  check_named(reopen(fabric, [](NodeOptions& o) { o.shards = 4; }), {"2 shards", "4", "store.shards"});
  check_named(reopen(fabric, [](NodeOptions& o) { o.settings.bucket_count = 32; }), {"fabric.bucket_count: 32 here, 16 there"});
  check_named(reopen(fabric, [](NodeOptions& o) { o.settings.fanout = 4; }), {"tree.fanout: 4 here, 64 there"});
  check_named(reopen(fabric, [](NodeOptions& o) { o.settings.name = "b"; }), {"fabric.name: b here, canopy there"});
  check_named(reopen(fabric, [](NodeOptions& o) { o.link = "elsewhere"; }), {"link: \"elsewhere\" here, \"link-n1\" there"});
  check_named(reopen(fabric, [](NodeOptions& o) { o.weight_milli = 5; }), {"weight"});
}

TEST_CASE("node: a record of a newer format or a damaged one is refused") {
  for (const std::string key : {"identity", "map", "shard/"}) {
    for (const bool newer : {true, false}) {
      Fabric fabric(1, 2);
      fabric.start(0);
      fabric.crash(0);
      auto image = fabric[0].control.image();
      auto& tables = image[static_cast<size_t>(store::Space::tables)];
      auto at = tables.lower_bound(key);
      REQUIRE(at != tables.end());
      if (newer) at->second[0] = 9;
      else at->second.back() = static_cast<char>(at->second.back() ^ 1);
      Fabric copy(1, 2);
      copy[0].control = store::MemBackend(image);
      const std::string refusal = reopen(copy, [](NodeOptions&) {});
      check_named(refusal, {"data_dir", newer ? "format version 9" : "damaged"});
    }
  }
}

TEST_CASE("node: while the control store is full nothing is said, and it forms when there is room") {
  Fabric fabric(1);
  REQUIRE(fabric.open(0));
  fabric[0].control.fail_commits(1, Code::busy);
  Output out;
  fabric[0].node->start(fabric.now(), out);
  fabric.take(0, out);
  CHECK(!fabric[0].node->ready());
  CHECK(fabric[0].node->waiting_for().find("full") != std::string::npos);
  fabric.run(Duration::of_s(1));
  CHECK(fabric[0].node->ready());
}

TEST_CASE("node: a commit whose outcome nobody knows ends the process") {
  Fabric fabric(1);
  REQUIRE(fabric.open(0));
  fabric[0].control.fail_commits(1, Code::internal, true);
  Output out;
  fabric[0].node->start(fabric.now(), out);
  CHECK(!fabric[0].node->ready());
  REQUIRE(fabric[0].node->fatal());
  CHECK(fabric[0].node->fatal()->find("control store") != std::string::npos);
}

}  // namespace
}  // namespace canopy::node::test
