// Conversations of bucket actors: arrange, step, look at the effects.
#include "desk.h"

using namespace canopy;
using bucket::Bucket;
using bucket::Desk;

namespace {

wire::FollowState state_of(const std::optional<wire::Reply>& reply) {
  REQUIRE(reply);
  return std::get<wire::FollowState>(std::get<wire::FollowResult>(*reply).states.at(0));
}

}  // namespace

TEST_CASE("bucket: a follow is active once the root has welcomed the leaf, and then sees what is published") {
  Desk desk;
  CHECK(state_of(desk.follow("bob", "alice")) == wire::FollowState::active);
  desk.publish("alice", "one");
  desk.publish("alice", "two");
  desk.run();
  CHECK(desk.bodies("bob") == "two one ");
  CHECK(desk.bodies("alice", wire::Timeline::sent) == "two one ");
  CHECK(desk.bodies("nobody").empty());
}

TEST_CASE("bucket: a follow without a welcome is pending when its time is over") {
  Desk desk;
  CHECK_FALSE(desk.ask("bob", wire::Follow{{{"bob", "alice"}}, false, 1000}));
  desk.packets.clear();  // lost on the way
  desk.now.instant = desk.now.instant + Duration::of_ms(1001);
  const auto reply = desk.feed(desk.map().bucket_of("bob"), bucket::Tick{});
  CHECK(state_of(reply) == wire::FollowState::pending);
  // The letter is still in the outbox and is repeated; a repeat of the follow says active then.
  desk.now.instant = desk.now.instant + Duration::of_s(10);
  desk.feed(desk.map().bucket_of("bob"), bucket::Tick{});
  desk.run();
  CHECK(state_of(desk.follow("bob", "alice")) == wire::FollowState::active);
}

TEST_CASE("bucket: a repeated stream letter is acknowledged and not appended") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  const auto letter = desk.pushes.front();
  desk.run();
  const auto again = bucket::StreamIn{letter.root, letter.reflector, letter.item};
  desk.feed(desk.map().bucket_of("bob"), again);
  CHECK(desk.taken);
  CHECK(desk.bodies("bob") == "one ");
}

TEST_CASE("bucket: a gap is parked, fetched and applied in order") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  const auto lost = desk.pushes.front();
  desk.pushes.clear();
  desk.publish("alice", "two");
  desk.run();
  CHECK(desk.bodies("bob") == "two one ");
}

TEST_CASE("bucket: what is parked is bounded in bytes; what is refused is fetched") {
  Desk desk;
  desk.follow("bob", "alice");
  std::string expected;
  for (int i = 0; i < 9; ++i) {
    desk.publish("alice", std::string(700'000, static_cast<char>('a' + i)));
    expected = std::string(1, static_cast<char>('a' + i)) + expected;
  }
  const BucketId bob = desk.map().bucket_of("bob");
  for (auto letter = desk.pushes.rbegin(); letter != desk.pushes.rend(); ++letter)  // the newest first
    desk.feed(bob, bucket::StreamIn{letter->root, letter->reflector, letter->item});
  CHECK(desk.bucket_of("bob").counters().parks == 5);
  CHECK(desk.bucket_of("bob").counters().refused == 3);
  desk.run();
  std::string firsts;
  wire::Read read;
  read.entities = {"bob"};
  for (const auto& e : desk.page(read).entries) firsts += wire::decode_message(*e.message)->body[0];
  CHECK(firsts == expected.substr(0, 3));  // the capacity
}

TEST_CASE("bucket: an answer that brings nothing new does not open another fetch") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  desk.pushes.clear();  // lost
  desk.publish("alice", "two");
  const auto letter = desk.pushes.front();
  desk.pushes.clear();
  const BucketId bob = desk.map().bucket_of("bob");
  desk.feed(bob, bucket::StreamIn{letter.root, letter.reflector, letter.item});
  REQUIRE(desk.packets.size() == 1);
  const auto fetch = std::get<wire::Fetch>(desk.packets.front());
  const wire::Fetched nothing{fetch.to, bob, "alice", fetch.generation, fetch.first, fetch.last, {}, letter.item.no, {}};
  for (int i = 0; i < 3; ++i) desk.feed(bob, bucket::Arrive{nothing});
  CHECK(desk.packets.size() == 1);
  desk.run();
  CHECK(desk.bodies("bob") == "two one ");
}

TEST_CASE("bucket: home is the newest of the merge, and unfollow lets older ones fill it again") {
  Desk desk;  // capacity 3
  desk.follow("bob", "alice");
  desk.follow("bob", "carol");
  for (const char* body : {"a1", "a2"}) desk.publish("alice", body);
  desk.run();
  for (const char* body : {"c1", "c2"}) desk.publish("carol", body);
  desk.run();
  CHECK(desk.bodies("bob") == "c2 c1 a2 ");
  desk.ask("bob", wire::Unfollow{{{"bob", "carol"}}, false});
  desk.run();
  CHECK(desk.bodies("bob") == "a2 a1 ");
  desk.publish("carol", "c3");
  desk.run();
  CHECK(desk.bodies("bob") == "a2 a1 ");
  // Following again starts afresh.
  desk.follow("bob", "carol");
  CHECK(desk.bodies("bob") == "a2 a1 ");
  desk.publish("carol", "c4");
  desk.run();
  CHECK(desk.bodies("bob") == "c4 a2 a1 ");
}

TEST_CASE("bucket: what was committed is there after a crash, and what was owed is delivered") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  desk.run();
  desk.publish("alice", "two");
  desk.pushes.clear();  // the node crashed between commit and send
  desk.open();
  CHECK(desk.bodies("bob") == "one ");
  desk.feed(desk.map().bucket_of("alice"), bucket::Tick{});
  desk.run();
  CHECK(desk.bodies("bob") == "two one ");
}

TEST_CASE("bucket: pages go on from a position in both directions") {
  map::FabricSettings settings = Desk::small();
  settings.capacity = 100;
  Desk desk(settings);
  desk.follow("bob", "alice");
  for (int i = 0; i < 10; ++i) desk.publish("alice", std::to_string(i));
  desk.run();
  for (const auto timeline : {wire::Timeline::home, wire::Timeline::sent}) {
    const std::string entity = timeline == wire::Timeline::home ? "bob" : "alice";
    for (const bool up : {false, true}) {
      std::string all;
      wire::Read read;
      read.entities = {entity};
      read.timeline = timeline;
      read.limit = 3;
      if (up) read.after = Position();
      for (int turns = 0; turns < 6; ++turns) {
        const auto page = desk.page(read);
        CHECK(page.entries.size() <= 3);
        for (const auto& e : page.entries) all += std::string(wire::decode_message(*e.message)->body);
        if (!page.next) break;
        (up ? read.after : read.before) = page.next;
      }
      CHECK(all == (up ? "0123456789" : "9876543210"));
    }
  }
}

TEST_CASE("bucket: a page is truncated when an entry behind the reader's position has left the home, and only then") {
  for (const bool warm : {true, false}) {
    CAPTURE(warm);
    Desk desk;  // capacity 3
    desk.follow("bob", "alice");
    wire::Read newest, read;
    newest.entities = read.entities = {"bob"};
    std::vector<Position> positions;
    for (int i = 0; i < 5; ++i) {
      desk.publish("alice", "m");
      desk.run();
      positions.push_back(desk.page(newest).entries.front().position);
    }
    if (!warm) desk.open();  // reads from the store again
    read.after = positions[1];  // the newest that has left
    CHECK_FALSE(desk.page(read).truncated);
    CHECK(desk.page(read).entries.size() == 3);
    read.after = positions[0];
    CHECK(desk.page(read).truncated);
  }
}

TEST_CASE("bucket: the entries of a READ of many entities are bounded together") {
  Desk desk;
  for (int i = 0; i < 4; ++i) desk.publish("alice", std::string(3u << 20, 'a'));
  desk.pushes.clear();
  wire::Read read;
  read.entities = {"alice", "alice", "alice", "alice"};
  read.batch = true;
  read.timeline = wire::Timeline::sent;
  const auto reply = desk.ask("alice", read);
  REQUIRE(reply);
  const auto& pages = std::get<wire::ReadResult>(*reply).pages;
  REQUIRE(pages.size() == 4);
  CHECK(std::get<wire::TimelinePage>(pages[0]).entries.size() == 4);
  CHECK(std::get<wire::TimelinePage>(pages[1]).entries.size() == 1);
  CHECK(std::get<wire::TimelinePage>(pages[1]).next);
  CHECK(std::get<wire::TimelinePage>(pages[2]).entries.size() == 1);
  CHECK(std::get<Error>(pages[3]).code == Code::too_large);
}

TEST_CASE("bucket: a long poll is answered by what arrives, or empty when its time is over") {
  Desk desk;
  desk.follow("bob", "alice");
  wire::Read read;
  read.entities = {"bob"};
  read.after = Position();
  read.wait_ms = 1000;
  CHECK_FALSE(desk.ask("bob", read));
  desk.publish("alice", "one");
  auto reply = desk.run();
  REQUIRE(reply);
  const auto page = std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*reply).pages.at(0));
  REQUIRE(page.entries.size() == 1);
  read.after = page.entries[0].position;
  CHECK_FALSE(desk.ask("bob", read));
  desk.now.instant = desk.now.instant + Duration::of_ms(1001);
  reply = desk.feed(desk.map().bucket_of("bob"), bucket::Tick{});
  REQUIRE(reply);
  CHECK(std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*reply).pages.at(0)).entries.empty());
}

TEST_CASE("bucket: a long poll of an entity that does not exist yet is answered when its first message comes") {
  Desk desk;
  wire::Read read;
  read.entities = {"bob"};
  read.after = Position();
  read.wait_ms = 1000;
  CHECK_FALSE(desk.ask("bob", read));
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  CHECK(desk.run());
}

TEST_CASE("bucket: a long poll is answered although its timeline was dropped to make room") {
  Desk desk;
  std::string other = "x";
  while (desk.map().bucket_of(other) != desk.map().bucket_of("bob")) other += "x";
  desk.follow("bob", "alice");
  desk.follow(other, "carol");
  wire::Read read;
  read.entities = {"bob"};
  read.after = Position();
  read.wait_ms = 1000;
  CHECK_FALSE(desk.ask("bob", read));
  desk.bucket_of("bob").limit_homes(1);
  desk.bodies(other);  // takes the only place
  desk.publish("alice", "one");
  const auto reply = desk.run();
  REQUIRE(reply);
  CHECK(std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*reply).pages.at(0)).entries.size() == 1);
}

TEST_CASE("bucket: a key gives the first answer again, and is refused for another message") {
  Desk desk;
  const MessageId first = desk.publish("alice", "one", "k");
  CHECK(desk.publish("alice", "one", "k") == first);
  const auto other = desk.ask("alice", wire::Publish{{{"alice", "", "two", "k"}}, false});
  const auto& result = std::get<wire::PublishResult>(*other).results.at(0);
  REQUIRE(std::holds_alternative<Error>(result));
  CHECK(std::get<Error>(result).code == Code::bad_request);
  CHECK(std::get<Error>(result).message.find("key") != std::string::npos);
  CHECK(desk.bodies("alice", wire::Timeline::sent) == "one ");
  desk.open();
  CHECK(desk.publish("alice", "one", "k") == first);
  desk.now.wall_ms += 3'600'001;
  CHECK(desk.publish("alice", "one", "k") != first);
}

TEST_CASE("bucket: a live feed names the position before each entry, and beats") {
  Desk desk;
  desk.follow("bob", "alice");
  const BucketId bob = desk.map().bucket_of("bob");
  desk.feed(bob, bucket::Audience{bob, wire::Timeline::home, "bob", true});
  REQUIRE(desk.feeds.size() == 1);  // the first beat
  CHECK_FALSE(desk.feeds[0].entry.message);
  desk.publish("alice", "one");
  desk.publish("alice", "two");
  desk.run();
  REQUIRE(desk.feeds.size() == 3);
  CHECK(desk.feeds[1].prev == Position());
  CHECK(desk.feeds[2].prev == desk.feeds[1].entry.position);
  desk.now.instant = desk.now.instant + Duration::of_s(3);
  desk.feed(bob, bucket::Tick{});
  REQUIRE(desk.feeds.size() == 4);
  CHECK(desk.feeds[3].entry.position == desk.feeds[2].entry.position);
  desk.feed(bob, bucket::Audience{bob, wire::Timeline::home, "bob", false});
  desk.publish("alice", "three");
  desk.run();
  CHECK(desk.feeds.size() == 4);
}

TEST_CASE("bucket: beyond deliveries_max the oldest deliveries go, but the newest of each leaf stay") {
  map::FabricSettings settings = Desk::small();
  settings.capacity = 10'000;
  settings.deliveries_max = 64 * 100;  // a hundred records
  Desk desk(settings);
  desk.follow("bob", "alice");
  desk.follow("bob", "quiet");
  desk.publish("quiet", "kept");
  desk.run();
  for (int i = 0; i < 300; ++i) {
    desk.publish("alice", std::to_string(i));
    desk.run();
    desk.now.instant = desk.now.instant + Duration::of_ms(30);
    desk.feed(desk.map().bucket_of("bob"), bucket::Tick{});
  }
  wire::Read read;
  read.entities = {"bob"};
  read.limit = 1000;
  const auto page = desk.page(read);
  CHECK(page.entries.size() < 200);
  CHECK(page.entries.size() >= 80);  // the follows took positions, too
  CHECK(wire::decode_message(*page.entries.back().message)->body == "kept");
  CHECK(page.truncated);
}
