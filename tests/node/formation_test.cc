#include <doctest/doctest.h>

#include <set>

#include "fabric.h"

namespace canopy::node::test {
namespace {

void check_one_fabric(Fabric& fabric) {
  std::set<std::string> ids;
  for (size_t i = 0; i < fabric.size(); ++i) ids.insert(fabric_id_of(fabric[i].control));
  CHECK(ids.size() == 1);
  size_t buckets = 0;
  for (size_t i = 0; i < fabric.size(); ++i) {
    for (const auto& map : fabric[i].to_shards<shard::NewMap>()) {
      CHECK(map.map->nodes.size() == fabric.size());
      buckets += map.buckets.size();
    }
  }
  CHECK(buckets == 16);
}

TEST_CASE("formation: three nodes that meet form one fabric in a few heartbeats, and the shards hear who is up") {
  Fabric fabric(3);
  fabric.start(0);
  fabric.run(Duration::of_s(2));
  CHECK(fabric[0].node->waiting_for() == "waiting for 2 of 3 nodes");
  fabric.start(1);
  fabric.run(Duration::of_s(2));
  CHECK(fabric[0].node->waiting_for() == "waiting for 1 of 3 nodes (met: n2)");
  CHECK(fabric_id_of(fabric[0].control).empty());
  fabric.start(2);
  fabric.run(Duration::of_s(2));
  REQUIRE(fabric.all_ready());
  check_one_fabric(fabric);
  for (size_t i = 0; i < 3; ++i) {
    std::set<NodeIndex> up;
    for (const auto& one : fabric[i].to_shards<shard::NodeUp>()) up.insert(one.node);
    CHECK(up.size() == 2);
    CHECK(!up.contains(NodeIndex(static_cast<uint16_t>(i))));
  }
}

// What is on its way at a crash is lost with it or not; either way the fabric must be one.
TEST_CASE("formation: a node that crashes at any step goes on where it was, and no second fabric appears") {
  for (size_t victim = 0; victim < 3; ++victim) {
    for (const bool output_lost : {false, true}) {
      for (int step = 1;; ++step) {
        CAPTURE(victim);
        CAPTURE(output_lost);
        CAPTURE(step);
        Fabric fabric(3);
        int calls = 0;
        bool crashed = false;
        fabric.before_packet = [&](size_t host) {
          if (output_lost || host != victim || crashed || ++calls != step) return;
          crashed = true;
          fabric.crash(victim);
        };
        fabric.after_call = [&](size_t host) {
          if (!output_lost || host != victim || crashed || ++calls != step) return true;
          crashed = true;
          fabric.crash(victim);
          return false;
        };
        for (size_t i = 0; i < 3; ++i) {
          fabric.start(i);
          fabric.run(Duration::of_ms(7));
        }
        fabric.run(Duration::of_ms(1200));
        if (!crashed) {
          CHECK(step > 10);
          break;
        }
        if (!fabric[victim].node) fabric.start(victim);
        fabric.run(Duration::of_s(8));
        REQUIRE(fabric.all_ready());
        for (size_t i = 1; i < 3; ++i) CHECK(fabric_id_of(fabric[i].control) == fabric_id_of(fabric[0].control));
      }
    }
  }
}

TEST_CASE("formation: it comes about over a network that loses half of all packets") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Fabric fabric(3);
    uint64_t state = seed * 77;
    fabric.network = [&](const Fabric::Packet&) {
      state = state * 6364136223846793005 + 1442695040888963407;
      return (state >> 33) % 2 == 0;
    };
    fabric.start_all();
    fabric.run(Duration::of_s(60));
    CHECK(fabric.all_ready());
    for (size_t i = 1; i < 3; ++i) CHECK(fabric_id_of(fabric[i].control) == fabric_id_of(fabric[0].control));
  }
}

TEST_CASE("formation: of more nodes than expected those with the lowest names form the fabric, the others wait") {
  Fabric fabric(4);
  for (size_t i = 0; i < 4; ++i) fabric[i].options.bootstrap_expect = 3;
  fabric.start_all();
  fabric.run(Duration::of_s(5));
  for (size_t i = 0; i < 3; ++i) CHECK(fabric[i].node->ready());
  CHECK(!fabric[3].node->ready());
  CHECK(fabric[3].node->waiting_for().find("waiting to be let in") != std::string::npos);
  CHECK(fabric_id_of(fabric[3].control).empty());
}

TEST_CASE("formation: a node whose settings differ from those of most ends and names the difference") {
  for (size_t odd = 0; odd < 3; ++odd) {
    Fabric fabric(3);
    fabric[odd].options.settings.fanout = 4;
    fabric.start_all();
    fabric.run(Duration::of_s(3));
    for (size_t i = 0; i < 3; ++i) {
      const auto fatal = fabric[i].node->fatal();
      CHECK(fatal.has_value() == (i == odd));
      if (fatal) CHECK(fatal->find("tree.fanout: 4 here, 64 there") != std::string::npos);
      CHECK(!fabric[i].node->ready());
    }
  }
}

TEST_CASE("formation: a node that differs from the settings of a formed fabric ends") {
  Fabric fabric(3);
  for (size_t i = 0; i < 2; ++i) fabric[i].options.bootstrap_expect = 2;
  fabric[2].options.settings.capacity = 10;
  fabric.start(0);
  fabric.start(1);
  fabric.run(Duration::of_s(3));
  REQUIRE(fabric[0].node->ready());
  fabric.start(2);
  fabric.run(Duration::of_s(3));
  REQUIRE(fabric[2].node->fatal());
  CHECK(fabric[2].node->fatal()->find("timeline.capacity: 10 here, 800 there") != std::string::npos);
  CHECK(!fabric[0].node->fatal());
}

TEST_CASE("formation: a node that lost its data directory is not taken for what it was") {
  Fabric fabric(2);
  fabric.start_all();
  fabric.run(Duration::of_s(3));
  REQUIRE(fabric.all_ready());
  fabric.crash(1);
  fabric[1].control = store::MemBackend();
  fabric.start(1);
  fabric.run(Duration::of_s(10));
  CHECK(!fabric[1].node->ready());
  CHECK(fabric[1].node->waiting_for().find("this data directory is new") != std::string::npos);
  CHECK(fabric_id_of(fabric[1].control).empty());
}

TEST_CASE("formation: a lone node that is its own seed forms at once, under its own name or an alias") {
  Fabric fabric(1);
  fabric[0].options.seeds = {"link-n1"};
  fabric.start(0);
  CHECK(fabric[0].node->ready());
  CHECK(fabric[0].connected.empty());
  Fabric alias(1);
  alias[0].options.seeds = {"alias-link-n1"};
  alias.start(0);
  CHECK(!alias[0].node->ready());
  alias.run(Duration::of_s(2));
  CHECK(alias[0].node->ready());
  CHECK(alias[0].connected.empty());
}

TEST_CASE("formation: a node of a formed fabric is ready without meeting the others") {
  Fabric fabric(3);
  fabric.start_all();
  fabric.run(Duration::of_s(3));
  for (size_t i = 0; i < 3; ++i) fabric.crash(i);
  fabric.start(1);
  CHECK(fabric[1].node->ready());
  CHECK(fabric[1].to_shards<shard::NewMap>().size() == 1);
}

TEST_CASE("formation: nodes of two fabrics that are each other's ends, one that only passes by is counted") {
  Fabric fabric(2);
  for (size_t i = 0; i < 2; ++i) {
    fabric[i].options.bootstrap_expect = 1;
    fabric[i].options.seeds.clear();
  }
  fabric.start_all();
  fabric.run(Duration::of_s(1));
  REQUIRE(fabric.all_ready());
  for (size_t i = 0; i < 2; ++i) fabric.crash(i);
  fabric[0].options.seeds = {"link-n2"};
  fabric.start_all();
  fabric.run(Duration::of_s(2));
  CHECK(fabric[1].counters().hellos_other_fabric > 0);
  CHECK(!fabric[0].node->fatal());
  CHECK(!fabric[1].node->fatal());

  Fabric pair(2);
  pair.start_all();
  pair.run(Duration::of_s(3));
  REQUIRE(pair.all_ready());
  pair.crash(1);
  pair[1].control = store::MemBackend();
  pair[1].options.bootstrap_expect = 1;
  pair[1].options.seeds.clear();
  pair.start(1);  // a fabric of its own, at an endpoint of the other
  pair.run(Duration::of_s(2));
  REQUIRE(pair[0].node->fatal());
  CHECK(pair[0].node->fatal()->find("\"n2\" at link-n2 belongs to another fabric") != std::string::npos);
}

}  // namespace
}  // namespace canopy::node::test
