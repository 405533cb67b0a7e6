// Leaves are watched, and choose their mode by what is seen.
#include "desk.h"

using namespace canopy;
using bucket::Desk;

namespace {

// alice is followed by five of one bucket, whose homes are in memory.
struct Watched {
  explicit Watched(leaf::ModeOptions modes, bool plain = true) : desk(settings(), modes) {
    desk.plain = plain;
    const BucketId there = desk.bucket_id("bob");
    for (int i = 0; i < 5; ++i) followers.push_back(desk.name_in(there, i, "f"));
    for (const std::string& follower : followers) desk.follow(follower, "alice");
    publish(1);
    read();
  }
  static map::FabricSettings settings() {
    map::FabricSettings settings = Desk::small();
    settings.capacity = 10;
    return settings;
  }
  void publish(int n) {
    for (int i = 0; i < n; ++i) desk.publish("alice", std::to_string(++said)), desk.run();
  }
  void read() {
    std::string newest;
    for (int i = 0; i < std::min(said, 10); ++i) newest += std::to_string(said - i) + " ";
    for (const std::string& follower : followers) CHECK(desk.bodies(follower) == newest);
  }
  wire::LeafCosts costs() {
    const auto reply = desk.ask(followers[0], wire::Leaf{"alice", desk.bucket_id(followers[0]), 0, EntityNo(), true});
    REQUIRE(reply);
    const auto& result = std::get<wire::LeafResult>(*reply);
    CHECK(result.count == 5);
    REQUIRE(result.costs);
    return *result.costs;
  }
  Desk desk;
  std::vector<std::string> followers;
  int said = 0;
};

// Merging is better above about ten messages a read, and looked at after some forty.
leaf::ModeOptions options() {
  leaf::ModeOptions modes;
  modes.look_every = 40 * 261;
  modes.costs = {20, 1'000, 20, 20, 50'000};
  return modes;
}

}  // namespace

TEST_CASE("modes: a leaf that is not read comes to be merged, and to be appended to when it is") {
  for (const bool plain : {true, false}) {
    CAPTURE(plain);
    Watched watched(options(), plain);
    CHECK(watched.costs().mode == "append");
    CHECK_FALSE(watched.costs().measured);
    watched.publish(200);
    CHECK(watched.costs().mode == "merge");
    CHECK(watched.desk.counters().mode_switches == 1);
    const uint64_t written = watched.desk.counters().timeline_writes;
    watched.publish(20);
    CHECK(watched.desk.counters().timeline_writes == written);
    watched.read();
    for (int i = 0; i < 100; ++i) watched.publish(1), watched.read();
    CHECK(watched.costs().mode == "append");
    CHECK(watched.desk.counters().mode_switches == 2);
    CHECK(watched.desk.counters().timeline_writes > written);
  }
}

TEST_CASE("modes: a leaf that nobody reads comes to be fetched by who reads it, and is sent its letters again when many do") {
  leaf::ModeOptions modes = options();
  modes.costs.fetch = 500;
  Watched watched(modes);
  watched.publish(400);
  watched.desk.pass(Duration::of_s(1));
  CHECK(watched.costs().mode == "lazy");
  watched.desk.run();
  const uint64_t delivered = watched.desk.counters().deliveries;
  watched.publish(20);
  CHECK(watched.desk.counters().deliveries == delivered);
  for (int i = 0; i < 100; ++i) {
    watched.publish(1);
    for (const std::string& follower : watched.followers) {
      wire::Read read;
      read.entities = {follower};
      const auto result = watched.desk.done<wire::ReadResult>(follower, read);   // waits for the fetch
      const auto& page = std::get<wire::TimelinePage>(result.pages.at(0));
      CHECK(Desk::body_of(page.entries.at(0)) == std::to_string(watched.said));
    }
  }
  watched.desk.pass(Duration::of_s(1));
  CHECK(watched.costs().mode == "append");
  watched.read();
}

TEST_CASE("modes: what a leaf costs is told: the mode, who is in memory, rates, each mode's cost") {
  leaf::ModeOptions modes = options();
  modes.forced = leaf::Mode::merge;
  Watched watched(modes);
  watched.costs();
  for (int i = 0; i < 50; ++i) {
    watched.publish(4);
    watched.read();
    watched.desk.pass(Duration::of_ms(500));
  }
  const wire::LeafCosts costs = watched.costs();
  CHECK(costs.mode == "merge");
  CHECK(costs.forced);
  CHECK(costs.warm == 5);
  REQUIRE(costs.measured);
  CHECK(costs.measured->messages_milli / 100 == 80);   // 200 in 25 s
  CHECK(costs.measured->reads_milli / 100 == 100);     // five readers, each twice a second
  CHECK(costs.measured->append_ns == 1'000 + 5 * 20);
  CHECK(costs.measured->merge_ns == 1'025 + 5 * 20);   // five in four messages look, and take in every row
  CHECK(costs.measured->lazy_ns == 50'000 * 5 / 4 + 25 + 5 * 20);
  CHECK(watched.desk.counters().mode_switches == 0);
}

TEST_CASE("modes: who is asked for a leaf that is not there says nothing of costs") {
  Desk desk;
  const auto reply = desk.ask("bob", wire::Leaf{"nobody", desk.bucket_id("bob"), 0, EntityNo(), true});
  REQUIRE(reply);
  CHECK_FALSE(std::get<wire::LeafResult>(*reply).costs);
}
