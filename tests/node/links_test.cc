#include <doctest/doctest.h>

#include "fabric.h"

namespace canopy::node::test {
namespace {

struct Pair {
  explicit Pair(size_t hosts = 2) : fabric(hosts) {
    fabric.start_all();
    fabric.run(Duration::of_s(3));
    REQUIRE(fabric.all_ready());
  }
  std::string frame(uint64_t from_boot, uint64_t to_boot, std::vector<wire::LinkItem> items) {
    return wire::encode_frame({fabric_id_of(fabric[0].control), from_boot, to_boot, 0, std::move(items)});
  }
  wire::LinkItem packet() { return wire::Tail{BucketId(0), BucketId(1), "star", StreamNo(1, 1)}; }  // bucket 1 is n2's
  size_t arrived() { return fabric[1].to_shards<shard::Arrive>().size(); }
  Fabric fabric;
};

TEST_CASE("links: a packet goes to the node that has the bucket now, and back into this node for its own") {
  Pair pair;
  pair.fabric.from_shard(0, 0, shard::Depart{wire::Tail{BucketId(0), BucketId(1), "star", StreamNo(1, 1)}});
  pair.fabric.from_shard(0, 0, shard::Depart{wire::Tail{BucketId(0), BucketId(2), "star", StreamNo(1, 1)}});
  pair.fabric.run(Duration::of_ms(10));
  CHECK(pair.arrived() == 1);
  CHECK(pair.fabric[0].to_shards<shard::Arrive>().size() == 1);
  pair.fabric.crash(1);
  pair.fabric.run(Duration::of_s(4));
  pair.fabric.from_shard(0, 0, shard::Depart{wire::Tail{BucketId(0), BucketId(1), "star", StreamNo(1, 1)}});
  CHECK(pair.fabric[0].counters().packets_without_link == 1);
}

TEST_CASE("links: late frames of an old boot, for an old boot, of nobody or damaged are dropped and counted") {
  Pair pair;
  const uint64_t n1 = pair.fabric[0].options.boot, n2 = pair.fabric[1].options.boot;
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, n2, {pair.packet()})});
  CHECK(pair.arrived() == 1);
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, 999, {pair.packet()})});
  pair.fabric.deliver({0, "link-n2", pair.frame(999, n2, {pair.packet()})});
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, 0, {pair.packet()})});
  pair.fabric.deliver({0, "link-n2", "not a frame"});
  CHECK(pair.arrived() == 1);
  CHECK(pair.fabric[1].counters().frames_not_for_this_boot == 1);
  CHECK(pair.fabric[1].counters().frames_of_unknown_boot == 1);
  CHECK(pair.fabric[1].counters().frames_damaged == 1);

  pair.fabric.crash(0);
  pair.fabric.start(0);
  pair.fabric.run(Duration::of_ms(100));
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, n2, {pair.packet()})});
  CHECK(pair.arrived() == 1);
  CHECK(pair.fabric[1].counters().frames_of_unknown_boot == 2);
}

TEST_CASE("links: a late Hello of an old boot does not bring its session back") {
  Pair pair;
  pair.fabric.seen.clear();
  pair.fabric.run(Duration::of_s(1));
  const auto old = pair.fabric.seen;
  pair.fabric.crash(0);
  pair.fabric.start(0);
  pair.fabric.run(Duration::of_ms(100));
  const uint64_t begun = pair.fabric[1].counters().sessions_begun;
  for (const auto& packet : old)
    if (packet.from == 0) pair.fabric.deliver(packet);
  CHECK(pair.fabric[1].counters().hellos_of_old_boot > 0);
  pair.fabric.run(Duration::of_s(1));
  CHECK(pair.fabric[1].counters().sessions_begun == begun);
}

TEST_CASE("links: a session ends when nothing is heard for 3 s in either direction, frames of the pause are dropped, and it begins again") {
  for (const size_t deaf : {0u, 1u}) {
    Pair pair;
    bool cut = true;
    pair.fabric.network = [&](const Fabric::Packet& packet) { return !cut || packet.from == deaf; };
    pair.fabric.run(Duration::of_s(2));
    CHECK(pair.fabric[0].counters().sessions_ended == 0);
    pair.fabric.run(Duration::of_s(6));
    CHECK(pair.fabric[0].counters().sessions_ended == 1);
    CHECK(pair.fabric[1].counters().sessions_ended == 1);
    pair.fabric.deliver({0, "link-n2", pair.frame(pair.fabric[0].options.boot, pair.fabric[1].options.boot, {pair.packet()})});
    CHECK(pair.arrived() == 0);
    CHECK(pair.fabric[1].counters().frames_without_session == 1);
    cut = false;
    const size_t ups = pair.fabric[0].to_shards<shard::NodeUp>().size();
    pair.fabric.run(Duration::of_s(2));
    CHECK(pair.fabric[0].to_shards<shard::NodeUp>().size() == ups + 1);
    pair.fabric.deliver({0, "link-n2", pair.frame(pair.fabric[0].options.boot, pair.fabric[1].options.boot, {pair.packet()})});
    CHECK(pair.arrived() == 1);
  }
}

TEST_CASE("links: a packet for a bucket that there is not, or that is not here, reaches no shard") {
  Pair pair;
  const uint64_t n1 = pair.fabric[0].options.boot, n2 = pair.fabric[1].options.boot;
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, n2, {wire::Tail{BucketId(0), BucketId(4000), "s", StreamNo(1, 1)}})});
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, n2, {wire::Tail{BucketId(0), BucketId(0), "s", StreamNo(1, 1)}})});
  CHECK(pair.arrived() == 0);
  CHECK(pair.fabric[1].counters().packets_not_mine == 2);
}

TEST_CASE("links: a packet from a bucket that there is not reaches no shard: its owner would be looked up outside the map") {
  Pair pair;
  const uint64_t n1 = pair.fabric[0].options.boot, n2 = pair.fabric[1].options.boot;
  const BucketId nobody(4000), here = std::get<wire::Tail>(pair.packet()).to;
  const wire::LeafJoin join{"s", Position(1, 1)};
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, n2, {wire::ChannelLetter{nobody, here, {Position(1, 1), 0}, {}, join}})});
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, n2, {wire::Have{nobody, here, "s", StreamNo(1, 1)}})});
  pair.fabric.deliver({0, "link-n2", pair.frame(n1, n2, {wire::ChannelAck{here, nobody, {Position(1, 1), 0}}})});
  CHECK(pair.arrived() == 0);
  CHECK(pair.fabric[1].counters().packets_of_nobody == 3);
}

TEST_CASE("links: another node of the same name is not talked with and is named") {
  Fabric fabric(2);
  fabric[1].options.name = "n1";
  fabric.start_all();
  fabric.run(Duration::of_s(2));
  CHECK(fabric[0].counters().hellos_own_name > 0);
  CHECK(fabric[0].node->waiting_for().find("link-n2 also has the name \"n1\"") != std::string::npos);
}

TEST_CASE("links: a node that nobody asked for is let go when it has been silent for a minute") {
  Pair pair;
  wire::Hello hello;
  hello.node = "stranger";
  hello.boot = 4242;
  hello.link = "link-stranger";
  const auto packet = wire::encode_frame({"", 4242, 0, 1, {hello}});
  pair.fabric.deliver({0, "link-n1", packet});
  const auto connected = [&] {
    const auto& all = pair.fabric[0].connected;
    return std::find(all.begin(), all.end(), "link-stranger") != all.end();
  };
  CHECK(connected());
  pair.fabric.run(Duration::of_s(70));
  CHECK(!connected());
  CHECK(pair.fabric[0].node->ready());
}

TEST_CASE("links: the same calls give the same bytes") {
  const auto trace = [] {
    Fabric fabric(3);
    fabric.start_all();
    fabric.run(Duration::of_s(5));
    std::string all;
    for (const auto& packet : fabric.seen) all += packet.endpoint + packet.bytes;
    return all;
  };
  CHECK(trace() == trace());
}

}  // namespace
}  // namespace canopy::node::test
