// Leaves that are merged at a read: the same homes, told to the same listeners, with less written.
#include "life.h"

using namespace canopy;
using bucket::Desk;
using bucket::Life;

namespace {

constexpr leaf::ModeOptions merge{leaf::Mode::merge, 0, {}};

wire::Read home_of(std::string who) {
  wire::Read read;
  read.entities = {std::move(who)};
  read.limit = 1'000;
  return read;
}

std::string shown(Desk& desk, const std::string& who) {
  const auto page = desk.page(home_of(who));
  std::string all = page.truncated ? "truncated: " : "";
  for (const auto& entry : page.entries) all += std::to_string(entry.position.number()) + "=" + Desk::body_of(entry) + " ";
  return all;
}

}  // namespace

TEST_CASE("merge: whatever is published, retracted, followed, deleted, homes and live feeds are those of append") {
  bucket::Bucket::Counters merged, shuffled;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    Life lives[] = {Life(seed), Life(seed, merge), Life(seed, {{}, 77 + seed, {}})};
    for (Life& life : lives) {
      life.desk.plain = seed % 2 == 0;
      if (seed % 4 < 2) life.desk.feed(life.desk.bucket_id("bob"), bucket::Audience{life.desk.bucket_id("bob"), wire::Timeline::home, "bob", true});
    }
    for (int i = 0; i < 150; ++i) {
      for (Life& life : lives) {
        life.act();
        life.fate();
        if (i % 4 == 0) life.desk.follow(i % 8 == 0 ? "carol" : "bob", i % 3 == 0 ? "alice" : "dave");
        life.desk.try_publish(wire::Message{i % 3 == 0 ? "alice" : "dave", "", "plain" + std::to_string(i), ""});
        if (i % 2 == 0) life.desk.run();
      }
      for (const std::string who : {"bob", "carol", "team"}) {
        if (i % 7 != static_cast<int>(who.size())) continue;
        const std::string expected = shown(lives[0].desk, who);
        for (Life& life : lives) REQUIRE(shown(life.desk, who) == expected);
      }
    }
    for (Life& life : lives) {
      life.look();
      REQUIRE(life.desk.all_rows() == lives[0].desk.all_rows());
      REQUIRE(life.desk.feeds.size() == lives[0].desk.feeds.size());
      for (size_t i = 0; i < life.desk.feeds.size(); ++i) {
        const bucket::Feed &feed = life.desk.feeds[i], &expected = lives[0].desk.feeds[i];
        REQUIRE(feed.entry.position == expected.entry.position);
        REQUIRE(feed.prev == expected.prev);
        REQUIRE(feed.retracted == expected.retracted);
      }
    }
    CHECK(lives[0].desk.counters().rows_deferred == 0);
    merged.add(lives[1].desk.counters());
    shuffled.add(lives[2].desk.counters());
  }
  CHECK(merged.rows_deferred > 500);
  CHECK(merged.merges > 100);
  CHECK(merged.rows_merged > 200);
  CHECK(merged.mode_switches == 0);
  CHECK(shuffled.rows_deferred > 300);
  CHECK(shuffled.merge_repeats > 10);
  CHECK(shuffled.mode_switches > 100);
}

TEST_CASE("merge: a delivery is a row and no write to a timeline; the next read has it, and the one after finds nothing to do") {
  Desk desk(Desk::small(), merge);
  desk.plain = true;
  for (const std::string who : {"bob", "carol", "dave"}) {
    desk.follow(who, "alice");
    desk.bodies(who);
  }
  desk.publish("alice", "one");
  desk.publish("alice", "two");
  desk.run();
  CHECK(desk.counters().timeline_writes == 0);
  CHECK(desk.counters().rows_deferred > 0);
  CHECK(desk.bodies("bob") == "two one ");
  const auto merges = desk.counters().merges;
  CHECK(merges == 1);
  CHECK(desk.bodies("bob") == "two one ");
  CHECK(desk.counters().merges == merges);
  const MessageId three = desk.publish("alice", "three");
  desk.run();
  CHECK(desk.retract("alice", three));
  CHECK(desk.bodies("carol") == "two one ");
  desk.ask("bob", wire::Unfollow{{{"bob", "alice"}}, false});
  desk.follow("bob", "alice");
  CHECK(desk.bodies("bob").empty());
  desk.publish("alice", "four");
  desk.run();
  CHECK(desk.bodies("bob") == "four ");
}

TEST_CASE("merge: who waits for his home, and who listens to it, gets each message when it comes") {
  Desk desk(Desk::small(), merge);
  desk.plain = true;
  desk.follow("bob", "alice");
  desk.follow("carol", "alice");
  desk.publish("alice", "one");
  desk.run();
  CHECK(desk.bodies("bob") == "one ");
  desk.publish("alice", "two");  // bob's home is in memory and lacks it
  desk.run();
  const auto newest = [&](const std::string& who) { return desk.page(home_of(who)).entries.at(0).position; };
  desk.feed(desk.bucket_id("bob"), bucket::Audience{desk.bucket_id("bob"), wire::Timeline::home, "bob", true});
  REQUIRE(desk.feeds.size() == 1);  // the first beat has it
  const Position two = desk.feeds[0].prev;
  CHECK(two == newest("bob"));
  desk.publish("alice", "three");
  desk.run();
  REQUIRE(desk.feeds.size() == 2);
  CHECK(desk.feeds[1].prev == two);
  CHECK(desk.feeds[1].entry.position == newest("bob"));

  wire::Read wait = home_of("carol");
  wait.wait_ms = 5'000;
  wait.after = newest("carol");
  CHECK_FALSE(desk.ask("carol", wait));
  desk.publish("alice", "four");
  const auto reply = desk.run();
  REQUIRE(reply);
  const auto& page = std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*reply).pages.at(0));
  REQUIRE(page.entries.size() == 1);
  CHECK(Desk::body_of(page.entries[0]) == "four");
}

TEST_CASE("merge: unread counts what was deferred") {
  Desk desk(Desk::small(), merge);
  desk.follow("bob", "alice");
  desk.bodies("bob");
  desk.publish("alice", "one");
  desk.run();
  const auto page = desk.page(home_of("bob"));
  desk.publish("alice", "two");
  desk.publish("alice", "three");
  desk.run();
  CHECK(desk.done<wire::MarkResult>("bob", wire::Mark{"bob", wire::Timeline::home, page.entries.at(0).position, ""}).unread == 2);
}
