// Lazy leaves: no letters come, and what is asked of a home waits until they have fetched.
#include <doctest/doctest.h>

#include "base/limits.h"
#include "desk.h"

using namespace canopy;
using bucket::Desk;
using leaf::Mode;
using wire::Timeline;

namespace {

leaf::ModeOptions lazy() {
  leaf::ModeOptions modes;
  modes.forced = Mode::lazy;
  return modes;
}

wire::Read home_of(std::string entity) {
  wire::Read read;
  read.entities = {std::move(entity)};
  return read;
}

size_t fetches(const Desk& desk) {
  size_t n = 0;
  for (const auto& packet : desk.packets) n += std::holds_alternative<wire::Fetch>(packet);
  return n;
}

std::string bodies(const wire::TimelinePage& page) {
  std::string all;
  for (const auto& entry : page.entries) all += Desk::body_of(entry) + " ";
  return all;
}

const wire::TimelinePage& page_of(const std::optional<wire::Reply>& reply, size_t at = 0) {
  REQUIRE(reply);
  return std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*reply).pages.at(at));
}

}  // namespace

TEST_CASE("lazy: nothing is sent to a lazy leaf, and its reader sees everything") {
  Desk desk(Desk::small(), lazy());
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  desk.publish("alice", "two");
  CHECK(desk.pushes.empty());
  desk.run();
  CHECK(desk.live_deliveries() == 0);
  CHECK(desk.bucket_of("alice").pending_roots() == 0);
  CHECK(desk.bodies("bob") == "two one ");
  CHECK(desk.live_deliveries() == 2);
  CHECK(desk.bodies("bob") == "two one ");
  CHECK(desk.counters().waited == 2);
  CHECK(desk.counters().waited_in_vain == 0);
  desk.open();
  desk.publish("alice", "three");
  CHECK(desk.pushes.empty());
  CHECK(desk.bodies("bob") == "three two one ");
}

TEST_CASE("lazy: reads of other homes and timelines do not wait") {
  Desk desk(Desk::small(), lazy());
  desk.follow("bob", "alice");
  CHECK(desk.ask("bob", home_of(desk.name_in(desk.bucket_id("bob"), 0))));
  wire::Read sent = home_of("bob");
  sent.timeline = Timeline::sent;
  CHECK(desk.ask("bob", sent));
  CHECK_FALSE(desk.ask("bob", home_of("bob")));
  CHECK(page_of(desk.run()).entries.empty());
}

TEST_CASE("lazy: reads that wait for a leaf share a fetch, but not one that was sent before they came") {
  Desk desk(Desk::small(), lazy());
  desk.follow("bob", "alice");
  CHECK_FALSE(desk.ask("bob", home_of("bob")));
  REQUIRE(fetches(desk) == 1);
  const wire::Packet first = desk.packets.front();
  desk.packets.clear();
  desk.feed(wire::packet_to(first), bucket::Arrive{first});  // the answer is made before the message is there
  desk.publish("alice", "new");
  CHECK_FALSE(desk.ask("bob", home_of("bob")));
  CHECK_FALSE(desk.ask("bob", home_of("bob")));
  CHECK(fetches(desk) == 0);
  REQUIRE(desk.packets.size() == 1);
  const wire::Packet answer = desk.packets.front();
  desk.packets.clear();
  CHECK(page_of(desk.feed(wire::packet_to(answer), bucket::Arrive{answer})).entries.empty());  // the first read's
  CHECK(fetches(desk) == 1);
  CHECK(desk.bucket_of("bob").waiting() == 2);
  // The same once more is no news.
  CHECK_FALSE(desk.feed(wire::packet_to(answer), bucket::Arrive{answer}));
  CHECK(fetches(desk) == 1);
  CHECK(bodies(page_of(desk.run())) == "new ");
  CHECK(desk.bucket_of("bob").waiting() == 0);
}

TEST_CASE("lazy: a batch of reads waits for all its leaves at once") {
  Desk desk(Desk::small(), lazy());
  const std::string dan = desk.name_in(desk.bucket_id("bob"), 0, "d");
  desk.follow("bob", "alice");
  desk.follow(dan, "carol");
  desk.follow(dan, "alice");
  desk.publish("alice", "a");
  desk.publish("carol", "c");
  wire::Read read;
  read.entities = {"bob", dan};
  read.batch = true;
  CHECK_FALSE(desk.ask("bob", read));
  CHECK(fetches(desk) == 2);
  const auto reply = desk.run();
  CHECK(bodies(page_of(reply, 0)) == "a ");
  CHECK(page_of(reply, 1).entries.size() == 2);
}

TEST_CASE("lazy: who does not answer in time is named, and the rest is shown; nobody waits for it again until it speaks") {
  Desk desk(Desk::small(), lazy());
  desk.follow("bob", "alice");
  const std::string carol = desk.name_away({"bob", "alice"});
  desk.follow("bob", carol);
  desk.publish("alice", "a");
  desk.publish(carol, "c");
  const auto read = [&](bool reachable) {
    auto reply = desk.ask("bob", home_of("bob"));
    for (int i = 0; i < 60 && !reply; ++i) {
      if (!reachable) std::erase_if(desk.packets, [&](const auto& p) { return wire::packet_to(p) == desk.bucket_id("alice"); });
      reply = desk.run();
      if (reply) break;
      desk.now.instant = desk.now.instant + Duration::of_ms(50);
      reply = desk.feed(desk.bucket_id("bob"), bucket::Tick{});
    }
    return page_of(reply);
  };
  const Instant begin = desk.now.instant;
  auto page = read(false);
  CHECK(bodies(page) == "c ");
  CHECK(page.incomplete == std::vector<std::string>{"alice"});
  CHECK(desk.now.instant - begin >= Duration::of_ms(900));
  const Instant again = desk.now.instant;
  page = read(false);
  CHECK(page.incomplete == std::vector<std::string>{"alice"});
  CHECK(desk.now.instant - again < Duration::of_ms(100));
  CHECK(desk.counters().waited_in_vain == 2);
  // Somebody else's request makes it ask again, and its answer ends the silence.
  desk.packets.clear();
  desk.pass(Duration::of_s(6));
  page = read(true);
  CHECK(page.incomplete.empty());
  CHECK(page.entries.size() == 2);
}

TEST_CASE("lazy: a new follower of a lazy leaf does not get what was published before") {
  Desk desk(Desk::small(), lazy());
  const std::string dan = desk.name_in(desk.bucket_id("bob"), 0, "d");
  desk.follow("bob", "alice");
  desk.publish("alice", "old");
  CHECK(std::get<wire::FollowState>(std::get<wire::FollowResult>(*desk.follow(dan, "alice")).states.at(0)) == wire::FollowState::active);
  desk.publish("alice", "new");
  CHECK(desk.bodies(dan) == "new ");
  CHECK(desk.bodies("bob") == "new old ");
}

TEST_CASE("lazy: an UNFOLLOW does not overtake a FOLLOW that waits") {
  Desk desk(Desk::small(), lazy());
  const std::string dan = desk.name_in(desk.bucket_id("bob"), 0, "d");
  desk.follow("bob", "alice");
  CHECK_FALSE(desk.ask(dan, wire::Follow{{{dan, "alice"}}, false, 0}));
  const auto reply = desk.ask(dan, wire::Unfollow{{{dan, "alice"}}, false});
  REQUIRE(reply);
  CHECK(std::get<bool>(std::get<wire::UnfollowResult>(*reply).removed.at(0)));
  desk.run();
  CHECK(std::get<wire::NamesResult>(*desk.ask(dan, wire::Following{dan, 10, 0})).count == 0);
}

TEST_CASE("lazy: a request that is forgotten waits no longer") {
  Desk desk(Desk::small(), lazy());
  desk.follow("bob", "alice");
  CHECK_FALSE(desk.ask("bob", home_of("bob")));
  CHECK(desk.bucket_of("bob").waiting() == 1);
  desk.feed(desk.bucket_id("bob"), bucket::Forget{desk.asked(), desk.bucket_id("bob")});
  CHECK(desk.bucket_of("bob").waiting() == 0);
  CHECK_FALSE(desk.run());
}

TEST_CASE("lazy: a leaf that gets letters again lacks nothing, and repeats nothing") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  desk.turn("bob", "alice", Mode::lazy);
  desk.run();
  CHECK(desk.live_deliveries() == 1);  // it was on its way
  desk.publish("alice", "two");
  CHECK(desk.pushes.empty());
  desk.turn("bob", "alice", Mode::append);
  desk.run();
  desk.pass(Duration::of_s(1));
  CHECK(desk.live_deliveries() == 2);
  CHECK(desk.bucket_of("alice").pending_roots() == 0);
  desk.publish("alice", "three");
  CHECK(desk.pushes.size() == 1);
  // Until it is sure that its root sends letters it still asks: once more at most.
  CHECK(desk.bodies("bob") == "three two one ");
  desk.bodies("bob");
  CHECK(desk.bucket_of("bob").lazy_leaves() == 0);
  CHECK(desk.rows(store::Table::lazy) == 0);
  CHECK(desk.ask("bob", home_of("bob")));
}

TEST_CASE("lazy: the mode outlives a crash, also while it changes") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.turn("bob", "alice", Mode::lazy);
  desk.open();  // the letter is sent again
  desk.pass(Duration::of_s(1));
  desk.publish("alice", "one");
  CHECK(desk.pushes.empty());
  desk.turn("bob", "alice", Mode::append);
  desk.open();
  CHECK(desk.bodies("bob") == "one ");
  desk.pass(Duration::of_s(1));
  desk.publish("alice", "two");
  CHECK(desk.pushes.size() == 1);
}

TEST_CASE("lazy: a forced mode is brought about when a bucket is opened") {
  leaf::ModeOptions modes = lazy();
  Desk desk;
  for (int i = 0; i < 3; ++i) desk.follow("bob", "a" + std::to_string(i));
  desk.reopen_with(modes);
  desk.pass(Duration::of_s(1));
  CHECK(desk.bucket_of("bob").lazy_leaves() == 3);
  desk.publish("a1", "one");
  CHECK(desk.pushes.empty());
  modes.forced = Mode::append;
  desk.reopen_with(modes);
  desk.pass(Duration::of_s(1));
  CHECK(desk.bodies("bob") == "one ");
  desk.publish("a1", "two");
  CHECK(desk.pushes.size() == 1);
}

TEST_CASE("lazy: who tails a home gets letters, and the leaves are lazy again some time later") {
  Desk desk(Desk::small(), lazy());
  const BucketId bob = desk.bucket_id("bob");
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  desk.feed(bob, bucket::Audience{bob, Timeline::home, "bob", true});
  desk.run();
  desk.pass(Duration::of_s(1));
  const auto shown = [&](std::string_view body) {
    return std::any_of(desk.feeds.begin(), desk.feeds.end(), [&](const auto& f) { return f.entry.message && Desk::body_of(f.entry) == body; });
  };
  CHECK(shown("one"));
  desk.publish("alice", "two");
  CHECK(desk.pushes.size() == 1);
  desk.run();
  CHECK(shown("two"));
  desk.follow("bob", "carol");
  desk.publish("carol", "three");
  desk.run();
  desk.pass(Duration::of_s(1));
  CHECK(shown("three"));
  desk.feed(bob, bucket::Audience{bob, Timeline::home, "bob", false});
  desk.pass(Duration::of_s(40));
  desk.publish("alice", "four");
  CHECK(desk.pushes.empty());
  CHECK(desk.bodies("bob") == "four three two ");
}

TEST_CASE("lazy: a long poll that found nothing hears of what comes") {
  Desk desk(Desk::small(), lazy());
  desk.follow("bob", "alice");
  wire::Read poll = home_of("bob");
  poll.after = Position();
  poll.wait_ms = 5'000;
  CHECK_FALSE(desk.ask("bob", poll));
  desk.run();
  desk.publish("alice", "one");
  CHECK(bodies(page_of(desk.run())) == "one ");
}

TEST_CASE("lazy: a leaf that is forwarded gets letters") {
  Desk desk;
  desk.follow("bob", "team");
  const std::string zoe = desk.name_in(desk.bucket_id("team"), 0, "z");
  desk.follow(zoe, "alice");
  desk.turn("team", "alice", Mode::lazy);
  desk.run();
  desk.publish(wire::Message{"alice", "", "old", "", {}, {}, {"#x"}, {}});
  desk.run();
  CHECK(std::get<wire::ForwardingResult>(desk.all_of("team", wire::Forwarding{"alice", "team", false})).state == wire::FollowState::active);
  desk.run();
  desk.publish("alice", "new");
  CHECK(desk.pushes.size() == 1);
  desk.run();
  CHECK(desk.bodies("bob") == "new ");
  CHECK(desk.bodies(zoe) == "new old ");
  desk.turn("team", "alice", Mode::lazy);
  desk.publish("alice", "more");
  CHECK(desk.pushes.size() == 1);
}

TEST_CASE("lazy: an entity that is deleted leaves its lazy leaves, too") {
  Desk desk(Desk::small(), lazy());
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  CHECK(desk.bodies("bob") == "one ");
  desk.done<wire::DeleteResult>("alice", wire::Delete{"alice"});
  desk.pass(Duration::of_s(5));
  CHECK(desk.rows(store::Table::ending) == 0);
  CHECK(desk.rows(store::Table::lazy) == 0);
  CHECK(desk.rows(store::Table::leaf) == 0);
  CHECK(desk.bodies("bob").empty());
}

TEST_CASE("lazy: nothing falls out of the stream before a lazy leaf has come for it") {
  auto settings = Desk::small();
  settings.stream_retention = 6;
  settings.capacity = 100;
  Desk desk(settings, lazy());
  desk.follow("bob", "alice");
  for (int i = 0; i < 40; ++i) {
    desk.publish("alice", std::to_string(i));
    desk.pass(Duration::of_ms(50));
  }
  CHECK(desk.page(home_of("bob")).entries.size() == 40);
}

TEST_CASE("lazy: what was retracted before it was fetched does not show") {
  Desk desk(Desk::small(), lazy());
  desk.follow("bob", "alice");
  const MessageId one = desk.publish("alice", "one");
  const MessageId two = desk.publish("alice", "two");
  CHECK(desk.retract("alice", one));
  CHECK(desk.bodies("bob") == "two ");
  CHECK(desk.retract("alice", two));
  CHECK(desk.bodies("bob").empty());
}
