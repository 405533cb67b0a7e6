// The plain delivery is a short way to what a step does.
#include "life.h"

using namespace canopy;
using bucket::Desk;
using bucket::Life;

TEST_CASE("plain delivery: leaves the store, the timelines and the counters as a step would") {
  uint64_t plain = 0, all = 0, written = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Life stepped(seed), short_cut(seed);
    short_cut.desk.plain = true;
    for (int i = 0; i < 150; ++i) {
      for (Life* life : {&stepped, &short_cut}) {
        life->act();
        life->fate();
        if (i % 4 == 0) life->desk.follow(i % 8 == 0 ? "carol" : "dave", i % 3 == 0 ? "alice" : "bob");
        life->desk.try_publish(wire::Message{i % 3 == 0 ? "alice" : "bob", "", "plain", ""});
        if (i % 2 == 0) life->desk.run();
      }
      if (i % 10 == 0) REQUIRE(stepped.desk.all_rows() == short_cut.desk.all_rows());
    }
    for (Life* life : {&stepped, &short_cut}) life->look();
    REQUIRE(stepped.desk.all_rows() == short_cut.desk.all_rows());
    const auto expected = stepped.desk.counters(), seen = short_cut.desk.counters();
    CHECK(expected.deliveries == seen.deliveries);
    CHECK(expected.timeline_writes == seen.timeline_writes);
    CHECK(expected.repeats == seen.repeats);
    CHECK(expected.retracted == seen.retracted);
    CHECK(expected.deliveries_plain == 0);
    plain += seen.deliveries_plain;
    all += seen.deliveries;
    written += seen.timeline_writes;
  }
  CHECK(plain > all / 10);
  CHECK(plain < all);
  CHECK(written > plain / 2);
}

TEST_CASE("plain delivery: what needs a step is left to it, and nothing changes") {
  Desk desk;
  desk.follow("bob", "alice");
  const MessageId one = desk.publish("alice", "one");
  const auto letter = desk.pushes.front();
  desk.run();
  CHECK(desk.bodies("bob") == "one ");
  const BucketId there = desk.bucket_id("bob");
  bucket::Bucket& bucket = desk.bucket_of("bob");
  const std::string alice = "alice";
  wire::StreamItem next = letter.item;
  next.no = next.no.next();
  next.ref.id = MessageId::after(one, desk.now.wall_ms, one.bucket());
  const auto refused = [&](const wire::StreamItem& item, const std::string& of) {
    const auto before = desk.all_rows();
    store::DeliveryBatch::To to;
    const bool taken = desk.deliver_plain(there, of, item, to);
    CHECK(desk.all_rows() == before);
    bucket.check(desk.store());
    return !taken;
  };
  CHECK(refused(letter.item, alice));                     // a repeat
  CHECK(refused(next, "nobody"));
  wire::StreamItem other = next;
  other.no = next.no.next();
  CHECK(refused(other, alice));                           // a gap
  other = next;
  other.shared = true;
  CHECK(refused(other, alice));
  other = next;
  other.kind = wire::StreamItem::Kind::retraction;
  CHECK(refused(other, alice));
  other.kind = wire::StreamItem::Kind::void_number;
  CHECK(refused(other, alice));
  desk.feed(there, bucket::Audience{there, wire::Timeline::home, "bob", true});
  CHECK(refused(next, alice));                            // somebody listens
  desk.feed(there, bucket::Audience{there, wire::Timeline::home, "bob", false});
  desk.feed(there, bucket::StreamIn{letter.root, "alice", [&] { auto later = next; later.no = later.no.next(); return later; }()});
  CHECK(refused(next, alice));                            // the one behind it is parked
}

TEST_CASE("plain delivery: who tails his home makes a step of the leaves that he follows, and of no others") {
  Desk desk;
  std::string beside = "a";
  while (desk.bucket_id(beside) != desk.bucket_id("bob")) beside += "a";
  desk.follow("bob", "alice");
  desk.follow(beside, "zoe");
  CHECK(desk.bodies(beside).empty());
  const BucketId there = desk.bucket_id("bob");
  desk.feed(there, bucket::Audience{there, wire::Timeline::home, "bob", true});
  const auto plain = [&](const std::string& author, const std::string& body) {
    const uint64_t before = desk.counters().deliveries_plain;
    desk.publish(author, body);
    desk.run();
    return desk.counters().deliveries_plain - before;
  };
  plain("zoe", "1"), plain("alice", "2");  // who follows them is in memory from now on
  desk.plain = true;
  CHECK(plain("zoe", "3") == 1);
  CHECK(plain("alice", "4") == 0);
  CHECK(desk.bodies("bob") == "4 2 ");
  CHECK(desk.bodies(beside) == "3 1 ");
  desk.follow("bob", "zoe");
  CHECK(plain("zoe", "5") == 0);
  CHECK(desk.bodies("bob") == "5 4 2 ");
  CHECK(desk.bodies(beside) == "5 3 1 ");
  desk.feed(there, bucket::Audience{there, wire::Timeline::home, "bob", false});
  CHECK(plain("alice", "6") == 1);
}

TEST_CASE("plain delivery: a dead message is not delivered, whatever else the bucket remembers") {
  Desk desk;
  desk.plain = true;
  desk.follow("bob", "alice");
  desk.bodies("bob");
  for (int i = 0; i < 5; ++i) {
    const MessageId id = desk.publish("alice", "m");
    const auto held = std::exchange(desk.pushes, {});
    desk.ask("alice", wire::Retract{"alice", id});
    desk.run();
    desk.pushes = held;
    desk.run();
    desk.pass(Duration::of_s(2));
    CHECK(desk.bodies("bob").empty());
    desk.publish("alice", "kept" + std::to_string(i));
    desk.run();
    CHECK(desk.bodies("bob").find("kept" + std::to_string(i)) != std::string::npos);
    for (auto entry : desk.page([&] { wire::Read read; read.entities = {"alice"}; read.timeline = wire::Timeline::sent; return read; }()).entries)
      CHECK(desk.retract("alice", wire::decode_message(*entry.message)->id));
  }
  CHECK(desk.counters().deliveries_plain > 0);
  CHECK(desk.live_deliveries() == 0);
}
