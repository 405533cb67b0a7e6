// Conversations of bucket actors: arrange, step, look at the effects.
#include "bucket/bucket.h"

#include <doctest/doctest.h>

#include <deque>
#include <memory>

#include "store/mem_backend.h"
#include "store/store.h"
#include "wire/message.h"

using namespace canopy;
using bucket::Bucket;

namespace {

// One node with all buckets of a small fabric, each stepped by hand; packets wait until run().
class Desk {
 public:
  explicit Desk(map::FabricSettings settings = small()) {
    auto map = map::plan_fabric(std::string(16, 'f'), settings, {{"n1", "", "", "", "", 1000}});
    map_ = std::make_shared<const map::BucketMap>(std::move(map));
    open();
  }
  static map::FabricSettings small() {
    map::FabricSettings settings;
    settings.bucket_count = 8;
    settings.fanout = 2;
    settings.capacity = 3;
    return settings;
  }
  // As after a crash: what was committed, and nothing else.
  void open() {
    buckets_.clear();
    packets.clear();
    store_.reset();
    backend_.crash();
    store_ = std::move(store::Store::open(backend_, {}).value());
    for (uint16_t b = 0; b < map_->settings.bucket_count; ++b)
      buckets_.push_back(std::make_unique<Bucket>(BucketId(b), map_, NodeIndex(0), bucket::BucketOptions(), *store_, now));
  }

  std::vector<bucket::Out> step(BucketId id, const bucket::Event& event) {
    std::vector<bucket::Out> outs;
    Bucket& b = *buckets_.at(id.value());
    const auto once = [&](const bucket::Event& e, size_t part) {
      bucket::Effects effects;
      b.step(e, part, now, *store_, effects);
      if (!effects.writes.empty()) store_->apply(id, effects.upto, effects.writes);
      for (auto& out : effects.held) outs.push_back(std::move(out));
      return effects.taken;
    };
    for (size_t part = 0; part < Bucket::parts(event); ++part) taken = once(event, part);
    while (b.next_deadline() <= now.instant) once(bucket::Tick{}, 0);
    REQUIRE(store_->commit());
    b.check(*store_);
    return outs;
  }
  // Steps and sorts what came out: answers are returned, packets and pushes wait.
  std::optional<wire::Reply> feed(BucketId id, const bucket::Event& event) {
    std::optional<wire::Reply> reply;
    for (auto& out : step(id, event)) {
      if (auto* a = std::get_if<bucket::Answer>(&out)) reply = std::move(a->reply);
      if (auto* d = std::get_if<bucket::Depart>(&out)) packets.push_back(d->packet);
      if (auto* p = std::get_if<bucket::Push>(&out)) pushes.push_back(p->letter);
      if (auto* f = std::get_if<bucket::Feed>(&out)) feeds.push_back(*f);
    }
    if (reply) late_ = reply;
    return reply;
  }
  std::optional<wire::Reply> ask(std::string_view entity, wire::Request request) {
    const BucketId id = map_->bucket_of(entity);
    return feed(id, bucket::Ask{++asks_, id, std::move(request), now.instant + Duration::of_s(10)});
  }
  // Delivers every packet and push until all is quiet; returns the last answer that came out.
  std::optional<wire::Reply> run() {
    late_.reset();
    while (!packets.empty() || !pushes.empty()) {
      if (!packets.empty()) {
        const auto packet = packets.front();
        packets.pop_front();
        feed(wire::packet_to(packet), bucket::Arrive{packet});
      } else {
        const auto letter = pushes.front();
        pushes.pop_front();
        push(letter, letter.route, not_taken_ = {});
        feed(letter.root, bucket::Pushed{letter.root, letter.reflector, letter.item.no, not_taken_});
      }
    }
    return std::move(late_);
  }
  void push(const wire::StreamLetter& letter, const wire::Route& route, std::vector<BucketId>&) {
    for (const BucketId leaf : route.leaves) {
      feed(leaf, bucket::StreamIn{letter.root, letter.reflector, letter.item});
      if (!taken) not_taken_.push_back(leaf);
    }
    for (const auto& child : route.children) push(letter, child, not_taken_);
  }

  std::optional<wire::Reply> follow(std::string f, std::string a) {
    auto reply = ask(f, wire::Follow{{{f, a}}, false, 1000});
    if (auto later = run()) reply = later;
    return reply;
  }
  MessageId publish(std::string author, std::string body, std::string key = "") {
    const auto reply = ask(author, wire::Publish{{{author, "", body, key}}, false});
    REQUIRE(reply);
    const auto& result = std::get<wire::PublishResult>(*reply).results.at(0);
    REQUIRE(std::holds_alternative<wire::Published>(result));
    return std::get<wire::Published>(result).id;
  }
  std::string bodies(std::string entity, wire::Timeline timeline = wire::Timeline::home) {
    wire::Read read;
    read.entities = {entity};
    read.timeline = timeline;
    std::string all;
    for (const auto& e : page(read).entries) all += std::string(wire::decode_message(*e.message)->body) + " ";
    return all;
  }
  wire::TimelinePage page(wire::Read read) {
    const std::string entity = read.entities.at(0);
    const auto reply = ask(entity, std::move(read));
    REQUIRE(reply);
    return std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*reply).pages.at(0));
  }

  Now now{{1'000'000}, 1'700'000'000'000};
  std::deque<wire::Packet> packets;
  std::deque<wire::StreamLetter> pushes;
  std::vector<bucket::Feed> feeds;
  bool taken = true;
  map::BucketMap const& map() const { return *map_; }
  Bucket& bucket_of(std::string_view entity) { return *buckets_.at(map_->bucket_of(entity).value()); }

 private:
  bucket::MapRef map_;
  store::MemBackend backend_;
  std::unique_ptr<store::Store> store_;
  std::vector<std::unique_ptr<Bucket>> buckets_;
  std::vector<BucketId> not_taken_;
  std::optional<wire::Reply> late_;  // the last answer since run() began
  uint64_t asks_ = 0;
};

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
