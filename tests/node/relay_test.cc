#include <doctest/doctest.h>

#include <map>
#include <set>

#include "fabric.h"
#include "reflector/tree.h"
#include "wire/message.h"

namespace canopy::node::test {
namespace {

// A formed fabric whose shards take every delivery; what the root's shard hears is kept.
struct Relays {
  explicit Relays(size_t hosts, uint32_t shards = 1, uint32_t buckets = 64) : fabric(hosts, shards, buckets) {
    fabric.start_all();
    fabric.run(Duration::of_s(3));
    REQUIRE(fabric.all_ready());
    map = fabric[0].to_shards<shard::NewMap>()[0].map;
    fabric.shard = [this](size_t host, const shard::In& in) -> std::vector<shard::Out> {
      if (const auto* pushed = std::get_if<shard::Pushed>(&in)) ended[pushed->no].push_back(pushed->not_taken);
      const auto* deliver = std::get_if<shard::Deliver>(&in);
      if (deliver == nullptr) return {};
      shard::Delivered back{deliver->ticket, {}};
      for (const BucketId leaf : deliver->leaves) {
        CHECK(map->node(map->owner(leaf)).name == fabric[host].options.name);
        ++reached[leaf];
        if (refusing.contains(leaf)) back.not_taken.push_back(leaf);
      }
      if (hold) return {};
      return {back};
    };
  }
  std::vector<BucketId> all() const {
    std::vector<BucketId> leaves;
    for (size_t i = 0; i < map->buckets.size(); ++i) leaves.emplace_back(static_cast<uint16_t>(i));
    return leaves;
  }
  wire::StreamLetter letter(uint64_t no, uint32_t fanout, std::string body = "body") {
    wire::StreamLetter letter;
    letter.root = BucketId(0);
    letter.reflector = "star";
    letter.item.no = StreamNo(1, no);
    const std::string blob = wire::encode_message({MessageId(no << 14), Position(1, no), 1, "star", "", body});
    letter.item.ref = wire::body_ref(MessageId(no << 14), blob);
    letter.item.message = make_blob(blob);
    letter.route = reflector::plan_tree(all(), [this](BucketId leaf) { return map->owner(leaf); }, map->owner(BucketId(0)), fanout);
    return letter;
  }
  void push(uint64_t no, uint32_t fanout, std::string body = "body") { fabric.from_shard(0, 0, shard::Push{letter(no, fanout, std::move(body))}); }
  // The leaves that were not taken; fails the test unless the push ended exactly once.
  std::vector<BucketId> end_of(uint64_t no) {
    const auto& ends = ended[StreamNo(1, no)];
    REQUIRE(ends.size() == 1);
    return ends[0];
  }

  Fabric fabric;
  shard::MapRef map;
  std::map<StreamNo, std::vector<std::vector<BucketId>>> ended;
  std::map<BucketId, int> reached;
  std::set<BucketId> refusing;
  bool hold = false;
};

TEST_CASE("relay: a push reaches each leaf once and ends in one Pushed, whatever the fanout") {
  for (const uint32_t fanout : {2u, 3u, 8u, 64u}) {
    Relays relays(5, 2);
    relays.push(1, fanout);
    relays.fabric.run(Duration::of_s(1));
    CHECK(relays.end_of(1).empty());
    CHECK(relays.reached.size() == 64);
    for (const auto& [leaf, times] : relays.reached) CHECK(times == 1);
    for (size_t i = 0; i < 5; ++i) CHECK(relays.fabric[i].counters().letters_per_message_max <= fanout);
  }
}

TEST_CASE("relay: letters for one node travel in few frames, and the body is not repeated in them") {
  Relays relays(2);
  relays.fabric.seen.clear();
  relays.push(1, 64, std::string(10'000, 'b'));
  relays.fabric.run(Duration::of_ms(20));
  size_t frames = 0, bytes = 0;
  for (const auto& packet : relays.fabric.seen) {
    if (packet.from != 0 || packet.bytes.size() < 1000) continue;
    ++frames;
    bytes += packet.bytes.size();
  }
  CHECK(frames >= 1);
  CHECK(bytes < frames * 10'000 + 20'000);
  CHECK(relays.end_of(1).empty());
}

TEST_CASE("relay: what a leaf does not take is named, from any level of the tree") {
  Relays relays(4);
  relays.refusing = {BucketId(0), BucketId(1), BucketId(2), BucketId(3), BucketId(17), BucketId(63)};
  relays.push(1, 4);
  relays.fabric.run(Duration::of_s(1));
  CHECK(relays.end_of(1) == std::vector<BucketId>(relays.refusing.begin(), relays.refusing.end()));
}

TEST_CASE("relay: leaves of a node without a session are not taken at once, those of one that dies when its session ends") {
  Relays relays(2);
  relays.hold = true;
  relays.push(1, 64);
  relays.fabric.run(Duration::of_ms(100));
  CHECK(relays.ended.empty());
  relays.fabric.crash(1);
  relays.hold = false;
  for (const auto& deliver : relays.fabric[0].to_shards<shard::Deliver>())
    relays.fabric.from_shard(0, 0, shard::Delivered{deliver.ticket, {}});
  CHECK(relays.ended.empty());
  relays.fabric.run(Duration::of_s(4));
  std::vector<BucketId> theirs;
  for (const BucketId leaf : relays.all())
    if (relays.map->owner(leaf) == NodeIndex(1)) theirs.push_back(leaf);
  CHECK(relays.end_of(1) == theirs);
  relays.push(2, 64);
  CHECK(relays.end_of(2) == theirs);
  relays.push(3, 2);
  CHECK(relays.end_of(3) == theirs);
}

TEST_CASE("relay: a frame that is never acknowledged ends after its time, and a late acknowledgement changes nothing") {
  Relays relays(2);
  std::vector<Fabric::Packet> held;
  relays.fabric.network = [&](const Fabric::Packet& packet) {
    const auto frame = wire::decode_frame(packet.bytes);
    const bool ack = packet.from == 1 && std::holds_alternative<wire::FrameAck>(frame->items[0]);
    if (ack) held.push_back(packet);
    return !ack;
  };
  relays.push(1, 64);
  relays.fabric.run(Duration::of_s(9));
  CHECK(relays.ended.empty());
  relays.fabric.run(Duration::of_s(2));
  CHECK(relays.end_of(1).size() == 32);
  REQUIRE(!held.empty());
  for (const auto& packet : held) relays.fabric.deliver(packet);
  relays.fabric.run(Duration::of_s(1));
  CHECK(relays.ended[StreamNo(1, 1)].size() == 1);
  CHECK(relays.fabric[0].counters().frame_acks_late == held.size());
}

TEST_CASE("relay: without credit letters are not taken at once, and credit comes back with the acknowledgement") {
  Relays relays(2, 1, 2);
  relays.hold = true;
  const std::string body(5u << 20, 'b');
  for (uint64_t no = 1; no <= 5; ++no) relays.push(no, 64, body);
  relays.fabric.run(Duration::of_ms(50));
  for (uint64_t no = 1; no <= 3; ++no) CHECK(!relays.ended.contains(StreamNo(1, no)));
  for (uint64_t no = 4; no <= 5; ++no) CHECK(relays.end_of(no).size() == 2);
  relays.hold = false;
  for (size_t i = 0; i < 2; ++i)
    for (const auto& deliver : relays.fabric[i].to_shards<shard::Deliver>())
      relays.fabric.from_shard(i, 0, shard::Delivered{deliver.ticket, {}});
  relays.fabric.run(Duration::of_ms(50));
  for (uint64_t no = 1; no <= 3; ++no) CHECK(relays.end_of(no).empty());
  relays.push(6, 64, body);
  relays.fabric.run(Duration::of_ms(50));
  CHECK(relays.end_of(6).empty());
}

TEST_CASE("relay: a route for another node, or with leaves that are not here, is not taken") {
  Relays relays(3);
  const auto send = [&](wire::Route route) {
    wire::LinkFrame frame{relays.map->fabric_id, relays.fabric[0].options.boot, relays.fabric[1].options.boot, 77, {}};
    wire::StreamLetter letter = relays.letter(1, 64);
    letter.route = std::move(route);
    frame.items.push_back(std::move(letter));
    relays.fabric.seen.clear();
    relays.fabric.deliver({0, "link-n2", wire::encode_frame(frame)});
    for (const auto& packet : relays.fabric.seen) {
      const auto back = wire::decode_frame(packet.bytes);
      for (const auto& item : back->items)
        if (const auto* ack = std::get_if<wire::FrameAck>(&item); ack != nullptr && ack->frame == 77)
          return ack->not_taken.empty() ? std::vector<BucketId>() : ack->not_taken[0].leaves;
    }
    FAIL("no acknowledgement");
    return std::vector<BucketId>();
  };
  const BucketId own(1), other(2);
  REQUIRE(relays.map->owner(own) == NodeIndex(1));
  CHECK(send({NodeIndex(1), {own}, {}}).empty());
  CHECK(send({NodeIndex(1), {own, other}, {}}) == std::vector<BucketId>{other});
  CHECK(send({NodeIndex(2), {own, other}, {}}) == std::vector<BucketId>{own, other});
  CHECK(send({NodeIndex(1), {}, {{NodeIndex(1), {own, BucketId(4000)}, {}}}}) == std::vector<BucketId>{BucketId(4000)});
}

// Some thousand pushes over a network that loses, repeats and cuts, with crashes.
TEST_CASE("relay: every push ends in exactly one Pushed over a bad network, and nothing stays behind") {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Relays relays(4, 2, 16);
    uint64_t state = seed;
    const auto chance = [&](uint64_t percent) {
      state = state * 6364136223846793005 + 1442695040888963407;
      return (state >> 33) % 100 < percent;
    };
    relays.fabric.network = [&](const Fabric::Packet&) { return !chance(10); };
    uint64_t no = 0;
    for (int round = 0; round < 60; ++round) {
      for (int i = 0; i < 10; ++i) relays.push(++no, chance(50) ? 2 : 64);
      if (chance(20)) {
        const size_t victim = 1 + state % 3;
        relays.fabric.crash(victim);
        relays.fabric.run(Duration::of_ms(200));
        relays.fabric.start(victim);
      }
      if (chance(30) && relays.fabric.seen.size() > 50)
        relays.fabric.deliver(relays.fabric.seen[relays.fabric.seen.size() - 1 - state % 50]);
      relays.fabric.seen.clear();
      relays.fabric.run(Duration::of_ms(300));
    }
    relays.fabric.network = nullptr;
    relays.fabric.run(Duration::of_s(15));
    for (uint64_t i = 1; i <= no; ++i) relays.end_of(i);
    relays.fabric.ask(0, "STATUS", "{}");
    const std::string status = relays.fabric.reply(0).value();
    CHECK(status.find("\"pushes_in_flight\":0") != std::string::npos);
    CHECK(status.find("\"frames_in_flight\":0") != std::string::npos);
  }
}

TEST_CASE("frames: what brings a message counts its bytes towards what a link may hold") {
  const Blob blob = make_blob(std::string(100'000, 'b'));
  const wire::Entry entry{Position(1, 1), blob};
  wire::Publish publish;
  publish.messages.resize(1);
  publish.messages[0].body = *blob;
  wire::Clone clone;
  clone.message = blob;
  wire::Backfill backfill;
  backfill.message = blob;
  const std::vector<wire::LinkItem> items{
      wire::Forward{1, 1, 1, publish},
      wire::ForwardReply{1, false, 1, wire::Moved{publish}},
      wire::ForwardReply{1, false, 1, wire::ThreadResult{entry, std::nullopt, {}, std::nullopt}},
      wire::ForwardReply{1, false, 1, wire::ThreadResult{{}, std::nullopt, {entry}, std::nullopt}},
      wire::ChannelLetter{BucketId(1), BucketId(2), {}, {}, clone},
      wire::ChannelLetter{BucketId(1), BucketId(2), {}, {}, backfill}};
  for (const wire::LinkItem& item : items) {
    CAPTURE(item.index());
    CHECK(item_bytes(item) >= blob->size());
    CHECK(item_bytes(item) < blob->size() + 1000);
  }
  CHECK(item_bytes(wire::ChannelLetter{BucketId(1), BucketId(2), {}, {}, wire::Unclone{}}) < 1000);
}

}  // namespace
}  // namespace canopy::node::test
