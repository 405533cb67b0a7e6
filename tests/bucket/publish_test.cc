// What a message and its retraction do in the buckets that they reach.
#include "base/limits.h"
#include "desk.h"

using namespace canopy;
using bucket::Desk;
using store::Table;
using wire::Timeline;

namespace {

wire::Message said(std::string author, std::string body) { return {std::move(author), "", std::move(body), ""}; }

// Holds back what a predicate names, as a network does.
template <class Held>
std::vector<wire::Packet> take_packets(Desk& desk, const Held& held) {
  std::vector<wire::Packet> taken;
  for (auto it = desk.packets.begin(); it != desk.packets.end();) {
    if (!held(*it)) {
      ++it;
      continue;
    }
    taken.push_back(std::move(*it));
    it = desk.packets.erase(it);
  }
  return taken;
}
template <class Letter>
bool is(const wire::Packet& packet) {
  const auto* letter = std::get_if<wire::ChannelLetter>(&packet);
  return letter && std::holds_alternative<Letter>(letter->letter);
}
void bring(Desk& desk, const std::vector<wire::Packet>& packets) {
  desk.packets.insert(desk.packets.end(), packets.begin(), packets.end());
  desk.run();
}

}  // namespace

TEST_CASE("publish: a message stands in every list that it names, once, and in the homes of topic and addressee") {
  Desk desk;
  desk.follow("fan", "#x");
  const MessageId parent = desk.publish("bob", "question");
  desk.run();
  wire::Message m = said("alice", "answer");
  m.reply_to = parent;
  m.mentions = {"carol", "bob"};
  m.topics = {"#x", "#y"};
  m.to = {"dave"};
  const MessageId id = desk.publish(m);
  desk.run();
  CHECK(desk.bodies("carol", Timeline::mentions) == "answer ");
  CHECK(desk.bodies("bob", Timeline::mentions) == "answer ");
  CHECK(desk.bodies("bob", Timeline::replies) == "answer ");
  CHECK(desk.bodies("#x", Timeline::topic) == "answer ");
  CHECK(desk.bodies("#y", Timeline::topic) == "answer ");
  CHECK(desk.bodies("dave") == "answer ");
  CHECK(desk.bodies("fan") == "answer ");
  CHECK(desk.bodies("carol").empty());

  const BodyRef ref = desk.ref_of(id);
  CHECK(desk.retract("alice", id));
  for (const auto& [name, timeline] : std::initializer_list<std::pair<const char*, Timeline>>{
           {"carol", Timeline::mentions}, {"bob", Timeline::mentions}, {"bob", Timeline::replies}, {"#x", Timeline::topic},
           {"#y", Timeline::topic}, {"dave", Timeline::home}, {"fan", Timeline::home}, {"alice", Timeline::sent}})
    CHECK(desk.bodies(name, timeline).empty());
  CHECK(desk.refused("alice", wire::Retract{"alice", id}) == Code::not_found);
  CHECK(desk.references(ref) == 0);
  CHECK(desk.rows(Table::thread) == 0);
  for (const Table table : {Table::mentions, Table::replies, Table::topic, Table::direct, Table::outbox}) CHECK(desk.rows(table) == 0);
  CHECK(desk.live_deliveries() == 0);
}

TEST_CASE("publish: only the author retracts, and a repeat finds nothing") {
  Desk desk;
  const MessageId id = desk.publish("alice", "one");
  const std::string neighbour = desk.name_in(desk.bucket_id("alice"), 0), other = desk.name_in(BucketId(desk.bucket_id("alice") == BucketId(0)), 0);
  desk.publish(neighbour, "two");
  CHECK(desk.refused(neighbour, wire::Retract{neighbour, id}) == Code::denied);
  CHECK(desk.refused(other, wire::Retract{other, id}) == Code::denied);
  CHECK(desk.bodies("alice", Timeline::sent) == "one ");
  CHECK(desk.retract("alice", id));
  CHECK(desk.refused("alice", wire::Retract{"alice", id}) == Code::not_found);
}

TEST_CASE("publish: the same key with other mentions, topics, addressees or parent is another message") {
  Desk desk;
  const MessageId parent = desk.publish("bob", "question");
  wire::Message m = said("alice", "one");
  m.key = "k";
  m.mentions = {"bob"};
  m.topics = {"#x"};
  m.to = {"carol"};
  m.reply_to = parent;
  const MessageId first = desk.publish(m);
  CHECK(desk.publish(m) == first);
  const auto refused = [&](wire::Message other) {
    const auto result = desk.try_publish(std::move(other));
    return std::holds_alternative<Error>(result) && std::get<Error>(result).code == Code::bad_request;
  };
  wire::Message other = m;
  other.mentions = {"bob", "carol"};
  CHECK(refused(other));
  other = m;
  other.mentions.clear();
  CHECK(refused(other));
  other = m;
  std::swap(other.mentions, other.to);
  CHECK(refused(other));
  other = m;
  other.topics = {"#y"};
  CHECK(refused(other));
  other = m;
  other.reply_to = {};
  CHECK(refused(other));
  desk.run();
  CHECK(desk.publish(m) == first);
  desk.run();
  CHECK(desk.bodies("bob", Timeline::mentions) == "one ");
  CHECK(desk.bodies("alice", Timeline::sent) == "one ");
}

TEST_CASE("publish: a clone that comes again is acknowledged and not listed") {
  Desk desk;
  wire::Message m = said("alice", "one");
  m.mentions = {"bob"};
  desk.publish(m);
  const auto letters = take_packets(desk, is<wire::Clone>);
  REQUIRE(letters.size() == 1);
  bring(desk, letters);
  bring(desk, letters);
  CHECK(desk.bodies("bob", Timeline::mentions) == "one ");
  CHECK(desk.counters().clones == 1);
  CHECK(desk.counters().letter_repeats == 1);
}

TEST_CASE("publish: a clone that comes to the same list by two names is there once") {
  Desk desk;
  desk.done<wire::AliasResult>("bob", wire::Alias{"bob", "robert"});
  wire::Message m = said("alice", "one");
  m.mentions = {"robert", "bob"};
  m.to = {"bob", "robert"};
  const MessageId id = desk.publish(m);
  desk.run();
  CHECK(desk.bodies("bob", Timeline::mentions) == "one ");
  CHECK(desk.bodies("bob") == "one ");
  CHECK(desk.counters().clone_repeats == 2);
  const BodyRef ref = desk.ref_of(id);
  CHECK(desk.references(ref) == 3);  // sent, mentions, direct
  CHECK(desk.retract("alice", id));
  CHECK(desk.references(ref) == 0);
}

TEST_CASE("publish: a retraction that overtakes its message on another way wins") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.follow("bob", "#x");
  wire::Message m = said("alice", "one");
  m.topics = {"#x"};
  m.mentions = {"bob"};
  m.to = {"bob"};

  SUBCASE("the author's stream is first, and the message has not come to the lists yet") {
    const MessageId id = desk.publish(m);
    const auto clones = take_packets(desk, is<wire::Clone>);
    REQUIRE(clones.size() == 3);
    desk.run();
    CHECK(desk.bodies("bob") == "one ");
    desk.ask("alice", wire::Retract{"alice", id});
    auto held = take_packets(desk, is<wire::Unclone>);
    desk.run();
    CHECK(desk.bodies("bob").empty());
    bring(desk, clones);
    // Its topic's bucket may not know yet; bob's does.
    CHECK(desk.bodies("bob").empty());
    CHECK(desk.bodies("bob", Timeline::mentions).empty());
    CHECK(desk.counters().dropped_dead >= 2);
    bring(desk, held);
    desk.pass(Duration::of_s(10));  // what was held back before it is sent again
    CHECK(desk.bodies("#x", Timeline::topic).empty());
    CHECK(desk.bodies("bob").empty());
    CHECK(desk.rows(Table::outbox) == 0);
    for (const Table table : {Table::mentions, Table::topic, Table::direct, Table::sent}) CHECK(desk.rows(table) == 0);
    CHECK(desk.live_deliveries() == 0);
  }
  SUBCASE("the lists are first, and the message has not come down the stream yet") {
    const MessageId id = desk.publish(m);
    desk.pushes.clear();  // lost: the leaf has to fetch it
    desk.run();
    CHECK(desk.bodies("bob") == "one ");
    CHECK(desk.retract("alice", id));
    desk.pass(Duration::of_s(10));
    CHECK(desk.bodies("bob").empty());
    CHECK(desk.bodies("bob", Timeline::mentions).empty());
    CHECK(desk.live_deliveries() == 0);
  }
}

TEST_CASE("publish: an entity's own message that comes back by a loop of forwards is retracted once") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.done<wire::ForwardingResult>("team", wire::Forwarding{"alice", "team", false});
  desk.done<wire::ForwardingResult>("alice", wire::Forwarding{"team", "alice", false});
  const MessageId id = desk.publish("alice", "one");
  desk.run();
  CHECK(desk.bodies("bob") == "one ");
  const BodyRef ref = desk.ref_of(id);
  const uint64_t before = desk.references(ref);
  CHECK(before >= 4);  // sent, alice's stream, team's leaf and stream, bob's leaf …
  // Bob's leaf gets neither the first retraction nor the one that comes back, and fetches both at once.
  desk.ask("alice", wire::Retract{"alice", id});
  const BucketId bob = desk.bucket_id("bob");
  REQUIRE(bob != desk.bucket_id("team"));
  while (!desk.pushes.empty() || !desk.packets.empty()) {
    for (auto& letter : desk.pushes) {
      const auto cut = [&](const auto& self, wire::Route& route) -> void {
        std::erase(route.leaves, bob);
        for (auto& child : route.children) self(self, child);
      };
      if (letter.reflector == "alice") cut(cut, letter.route);
    }
    const auto letter = desk.pushes.empty() ? std::nullopt : std::optional(desk.pushes.front());
    if (letter) desk.pushes.pop_front();
    if (letter) {
      std::vector<BucketId> not_taken{bob};
      desk.push(*letter, letter->route, not_taken);
      desk.feed(letter->root, bucket::Pushed{letter->root, letter->reflector, letter->item.no, letter->reflector == "alice" ? not_taken : std::vector<BucketId>{}});
    } else {
      const auto packet = desk.packets.front();
      desk.packets.pop_front();
      desk.feed(wire::packet_to(packet), bucket::Arrive{packet});
    }
  }
  CHECK(desk.bodies("bob") == "one ");
  desk.pass(Duration::of_s(10));
  CHECK(desk.bodies("bob").empty());
  CHECK(desk.references(ref) == 0);
  CHECK(desk.live_deliveries() == 0);
}

TEST_CASE("publish: a reply to what is gone, or never was, is published and goes nowhere") {
  Desk desk;
  const MessageId parent = desk.publish("bob", "question");
  desk.run();
  CHECK(desk.retract("bob", parent));
  wire::Message m = said("alice", "answer");
  m.reply_to = parent;
  desk.publish(m);
  m.reply_to = MessageId::after(MessageId(), 5, desk.bucket_id("bob"));
  desk.publish(m);
  desk.run();
  CHECK(desk.bodies("alice", Timeline::sent) == "answer answer ");
  CHECK(desk.bodies("bob", Timeline::replies).empty());
  CHECK(desk.counters().replies_to_nothing == 2);
  CHECK(desk.rows(Table::outbox) == 0);
  m.reply_to = MessageId::after(MessageId(), 5, BucketId(4000));
  const auto result = desk.try_publish(m);
  REQUIRE(std::holds_alternative<Error>(result));
  CHECK(std::get<Error>(result).code == Code::bad_request);
}

TEST_CASE("publish: when the way to a list is full nothing happens, and BUSY names the field") {
  Desk desk;
  const BucketId far = BucketId(desk.bucket_id("alice") == BucketId(0));
  std::vector<std::string> names;
  for (int i = 0; i < 64; ++i) names.push_back(desk.name_in(far, i));
  const MessageId parent = desk.publish(names[0], "question");
  wire::Message m = said("alice", "many");
  m.mentions = {names[0]};
  const MessageId first = desk.publish(m);
  for (size_t letters = 0; (letters = desk.bucket_of("alice").letters_waiting()) < limits::outbox_letters_max;) {
    m.mentions = names;
    m.mentions.resize(std::min(names.size(), limits::outbox_letters_max - letters));
    desk.publish(m);
  }
  const auto packets = std::move(desk.packets);
  desk.packets.clear();

  const std::string before = desk.bodies("alice", Timeline::sent);
  const size_t rows = desk.rows(Table::sent), entities = desk.rows(Table::entity);
  const auto busy = [&](wire::Message message) {
    const auto result = desk.try_publish(std::move(message));
    REQUIRE(std::holds_alternative<Error>(result));
    CHECK(std::get<Error>(result).code == Code::busy);
    CHECK(std::get<Error>(result).retry_after_ms > 0);
    return std::get<Error>(result).message;
  };
  wire::Message one = said("alice", "one");
  one.key = "k";
  one.mentions = {names[5]};
  CHECK(busy(one).starts_with("mentions: "));
  wire::Message other = said("alice", "one");
  other.to = {names[5]};
  CHECK(busy(other).starts_with("to: "));
  other.to.clear();
  other.topics = {desk.name_in(far, 0, "#")};
  CHECK(busy(other).starts_with("topics: "));
  other.topics.clear();
  other.reply_to = parent;
  CHECK(busy(other).starts_with("reply_to: "));
  CHECK(desk.refused("alice", wire::Retract{"alice", first}) == Code::busy);
  const auto follow = desk.done<wire::FollowResult>("alice", wire::Follow{{{"alice", names[1]}}, false, 0});
  REQUIRE(std::holds_alternative<Error>(follow.states.at(0)));
  CHECK(std::get<Error>(follow.states[0]).code == Code::busy);
  CHECK(desk.refused("alice", wire::Forwarding{names[1], "alice", false}) == Code::busy);
  CHECK(desk.refused("alice", wire::Alias{"alice", desk.name_in(far, 0, "free")}) == Code::busy);
  CHECK(desk.rows(Table::sent) == rows);
  CHECK(desk.rows(Table::entity) == entities);
  CHECK(desk.bodies("alice", Timeline::sent) == before);
  // Others go on, and so does what needs no letter there.
  other = said("alice", "to nobody");
  desk.publish(other);
  other.mentions = {desk.name_in(BucketId(far.value() == 0 ? 2 : static_cast<uint16_t>(far.value() + 1)), 0)};
  desk.publish(other);

  // One letter acknowledged is room for one.
  desk.packets.clear();
  desk.feed(far, bucket::Arrive{packets.front()});
  REQUIRE(desk.packets.size() == 1);
  const auto ack = desk.packets.front();
  desk.packets.clear();
  desk.feed(desk.bucket_id("alice"), bucket::Arrive{ack});
  const MessageId id = desk.publish(one);
  CHECK(desk.publish(one) == id);
}

TEST_CASE("publish: feeds of all lists tell what comes and what is retracted") {
  Desk desk;
  desk.follow("fan", "#x");
  desk.follow("dave", "nobody");
  const MessageId parent = desk.publish("bob", "question");
  desk.run();
  const std::pair<std::string, Timeline> listened[] = {{"bob", Timeline::mentions}, {"bob", Timeline::replies}, {"#x", Timeline::topic},
                                                       {"dave", Timeline::home},    {"fan", Timeline::home},    {"alice", Timeline::sent}};
  for (const auto& [name, timeline] : listened) {
    const BucketId id = desk.bucket_id(name);
    desk.feed(id, bucket::Audience{id, timeline, name, true});
  }
  desk.feeds.clear();
  wire::Message m = said("alice", "answer");
  m.reply_to = parent;
  m.mentions = {"bob"};
  m.topics = {"#x"};
  m.to = {"dave"};
  std::vector<MessageId> ids;
  for (int i = 0; i < 2; ++i) ids.push_back(desk.publish(m)), desk.run();
  const auto of = [&](const auto& one) {
    std::vector<bucket::Feed> mine;
    for (const auto& feed : desk.feeds)
      if (feed.entity == one.first && feed.timeline == one.second) mine.push_back(feed);
    return mine;
  };
  for (const auto& one : listened) {
    CAPTURE(one.first);
    const auto feeds = of(one);
    REQUIRE(feeds.size() == 2);
    CHECK(feeds[0].prev.zero());
    CHECK(feeds[1].prev == feeds[0].entry.position);
    wire::Read read;
    read.entities = {one.first};
    read.timeline = one.second;
    CHECK(desk.page(read).entries.at(0).position == feeds[1].entry.position);
  }
  desk.feeds.clear();
  CHECK(desk.retract("alice", ids[0]));
  CHECK(desk.retract("alice", ids[1]));
  for (const auto& one : listened) {
    CAPTURE(one.first);
    const auto feeds = of(one);
    REQUIRE(feeds.size() == 2);
    CHECK(feeds[0].retracted == ids[0]);
    CHECK(feeds[1].retracted == ids[1]);
  }
}

TEST_CASE("publish: a leaf that was away longer than the stream is kept asks which of its messages are dead") {
  map::FabricSettings settings = Desk::small();
  settings.capacity = 1'000;
  settings.stream_retention = 3;
  Desk desk(settings);
  desk.follow("bob", "alice");
  std::vector<MessageId> ids;
  for (int i = 0; i < 300; ++i) {
    ids.push_back(desk.publish("alice", std::to_string(i)));
    desk.run();
  }
  for (int i = 0; i < 300; i += 3) desk.ask("alice", wire::Retract{"alice", ids[i]});
  desk.pushes.clear();  // bob's node is away
  for (int i = 300; i < 310; ++i) desk.publish("alice", std::to_string(i));
  desk.pushes.clear();
  wire::Read read;
  read.entities = {"bob"};
  read.limit = 1'000;
  CHECK(desk.page(read).entries.size() == 300);
  desk.open();
  desk.pass(Duration::of_s(20));
  const auto entries = desk.page(read).entries;
  CHECK(entries.size() == 200 + 3);
  for (const auto& entry : entries) {
    const int n = std::stoi(Desk::body_of(entry));
    CHECK((n >= 307 || (n < 300 && n % 3 != 0)));
  }
  CHECK(desk.counters().checked_dead == 100);
}

TEST_CASE("publish: a retraction that a bucket learns another way goes on into what it forwards, whatever streams forgot") {
  map::FabricSettings settings = Desk::small();
  settings.stream_retention = 1;
  Desk desk(settings);
  const std::string neighbour = desk.name_in(desk.bucket_id("team"), 0), fan = desk.name_away({"team", "alice"});
  desk.follow(fan, "team");
  desk.done<wire::ForwardingResult>("team", wire::Forwarding{"alice", "team", false});
  wire::Message m = said("alice", "one");
  m.mentions = {neighbour};
  const MessageId id = desk.publish(m);
  desk.run();
  desk.publish("alice", "two");
  desk.run();
  CHECK(desk.bodies(fan) == "two one ");
  desk.ask("alice", wire::Retract{"alice", id});
  desk.lose_pushes();
  desk.publish("alice", "three");  // alice's stream forgets the retraction
  desk.lose_pushes();
  desk.run();
  desk.pass(Duration::of_s(10));
  CHECK(desk.bodies(neighbour, Timeline::mentions).empty());
  CHECK(desk.bodies(fan) == "three two ");
}
