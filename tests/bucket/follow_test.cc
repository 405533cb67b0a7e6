// What comes by several ways: topics, forwards, addressees, and what a follow brings with it.
#include "desk.h"

using namespace canopy;
using bucket::Desk;
using store::Table;
using wire::Timeline;

namespace {

map::FabricSettings wide() {
  map::FabricSettings settings = Desk::small();
  settings.capacity = 100;
  return settings;
}
wire::Message said(std::string author, std::string body, std::vector<std::string> topics = {}, std::vector<std::string> to = {}) {
  wire::Message m{std::move(author), "", std::move(body), ""};
  m.topics = std::move(topics);
  m.to = std::move(to);
  return m;
}
wire::FollowState forward(Desk& desk, std::string from, std::string to) {
  const auto result = desk.done<wire::ForwardingResult>(to, wire::Forwarding{from, to, false});
  CHECK_FALSE(result.off);
  return result.state;
}
void stop(Desk& desk, std::string from, std::string to) {
  CHECK(desk.done<wire::ForwardingResult>(to, wire::Forwarding{from, to, true}).off);
}
void unfollow(Desk& desk, std::string follower, std::string author) {
  const auto result = desk.done<wire::UnfollowResult>(follower, wire::Unfollow{{{follower, author}}, false});
  CHECK(std::get<bool>(result.removed.at(0)));
}
void follow_back(Desk& desk, std::string follower, std::string author, uint32_t backfill) {
  desk.ask(follower, wire::Follow{{{follower, author}}, false, 0, backfill});
  desk.run();
}
wire::TimelinePage home(Desk& desk, std::string entity, std::optional<Position> after = {}) {
  wire::Read read;
  read.entities = {std::move(entity)};
  read.after = after;
  read.limit = 100;
  return desk.page(read);
}

}  // namespace

TEST_CASE("follow: a message by several ways is shown once, at the first, and stays while one of them does") {
  Desk desk(wide());
  desk.follow("bob", "alice");
  desk.follow("bob", "#x");
  desk.follow("bob", "team");
  forward(desk, "alice", "team");
  const MessageId id = desk.publish(said("alice", "one", {"#x"}, {"bob"}));
  desk.publish("alice", "two");
  desk.run();
  CHECK(desk.bodies("bob") == "two one ");
  const Position first = home(desk, "bob").entries.at(1).position;
  unfollow(desk, "bob", "alice");
  CHECK(desk.bodies("bob").find("one") != std::string::npos);
  CHECK(desk.bodies("bob").find("two") != std::string::npos);  // by the team
  CHECK(home(desk, "bob").entries.size() == 2);
  unfollow(desk, "bob", "team");
  CHECK(desk.bodies("bob") == "one ");
  unfollow(desk, "bob", "#x");
  CHECK(desk.bodies("bob") == "one ");  // addressed
  CHECK(home(desk, "bob").entries.at(0).position >= first);
  desk.open();
  CHECK(desk.bodies("bob") == "one ");
  CHECK(desk.retract("alice", id));
  CHECK(desk.bodies("bob").empty());
}

TEST_CASE("follow: capacity counts messages, however they come, and a retraction lets an older one in again") {
  Desk desk;  // capacity 3
  desk.follow("bob", "alice");
  desk.follow("bob", "#x");
  std::vector<MessageId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(desk.publish(said("alice", std::to_string(i), {"#x"}))), desk.run();
  CHECK(desk.bodies("bob") == "4 3 2 ");
  CHECK(desk.retract("alice", ids[3]));
  CHECK(desk.bodies("bob") == "4 2 1 ");
  desk.publish(said("carol", "5", {"#x"}));
  desk.run();
  CHECK(desk.bodies("bob") == "5 4 2 ");
}

TEST_CASE("forward: what an entity gets from another's stream it gives on, once, and stops when told") {
  Desk desk(wide());
  desk.follow("fan", "team");
  desk.publish("alice", "before");
  desk.run();
  CHECK(forward(desk, "alice", "team") == wire::FollowState::active);
  CHECK(forward(desk, "#x", "team") == wire::FollowState::active);
  CHECK(forward(desk, "alice", "team") == wire::FollowState::active);  // a repeat
  const MessageId one = desk.publish(said("alice", "one", {"#x"}));
  desk.publish("bob", "not for the team");
  const MessageId two = desk.publish(said("bob", "two", {"#x"}));
  desk.run();
  CHECK(desk.bodies("fan") == "two one ");
  CHECK(desk.bodies("team", Timeline::sent).empty());
  CHECK(desk.bodies("team").empty());
  stop(desk, "alice", "team");
  stop(desk, "alice", "team");
  desk.publish("alice", "three");
  desk.run();
  CHECK(desk.bodies("fan") == "two one ");
  CHECK(desk.retract("alice", one));  // retractions still pass
  CHECK(desk.bodies("fan") == "two ");
  CHECK(desk.retract("bob", two));
  CHECK(desk.bodies("fan").empty());
  forward(desk, "alice", "team");
  desk.publish("alice", "four");
  desk.run();
  CHECK(desk.bodies("fan") == "four ");
}

TEST_CASE("forward: is pending while its root has not answered, and goes on by itself") {
  Desk desk(wide());
  desk.follow("fan", "team");
  CHECK_FALSE(desk.ask("team", wire::Forwarding{"alice", "team", false}));
  desk.packets.clear();
  desk.now.instant = desk.now.instant + Duration::of_ms(1001);
  const auto reply = desk.feed(desk.bucket_id("team"), bucket::Tick{});
  REQUIRE(reply);
  CHECK(std::get<wire::ForwardingResult>(*reply).state == wire::FollowState::pending);
  desk.publish("alice", "too early");
  desk.pass(Duration::of_s(10));
  CHECK(forward(desk, "alice", "team") == wire::FollowState::active);
  desk.publish("alice", "one");
  desk.run();
  CHECK(desk.bodies("fan") == "one ");
}

TEST_CASE("forward: loops end, and each follower has each message once, also after it is retracted") {
  Desk desk(wide());
  const std::vector<std::string> teams = {"red", "green", "blue"};
  for (size_t i = 0; i < 3; ++i) {
    forward(desk, teams[i], teams[(i + 1) % 3]);
    desk.follow("fan of " + teams[i], teams[i]);
    forward(desk, "alice", teams[i]);
  }
  desk.follow("fan of all", "red");
  desk.follow("fan of all", "green");
  desk.follow("fan of all", "blue");
  const MessageId one = desk.publish("alice", "one");
  const MessageId two = desk.publish("red", "two");
  desk.run();
  const auto shown = [&](const std::string& who) {
    std::string all = desk.bodies(who);
    return all == "two one " ? "one two " : all;
  };
  for (const auto& team : teams) CHECK(shown("fan of " + team) == "one two ");
  CHECK(shown("fan of all") == "one two ");
  const auto counters = desk.counters();
  CHECK(counters.forwarded <= 3 * 4);
  CHECK(counters.stream_repeats >= 3);
  CHECK(desk.retract("alice", one));
  for (const auto& team : teams) CHECK(desk.bodies("fan of " + team) == "two ");
  CHECK(desk.bodies("fan of all") == "two ");
  CHECK(desk.retract("red", two));
  for (const auto& team : teams) CHECK(desk.bodies("fan of " + team).empty());
  CHECK(desk.bodies("fan of all").empty());
  CHECK(desk.live_deliveries() == 0);
}

TEST_CASE("forward: a message goes max_hops streams far, its retraction as far") {
  map::FabricSettings settings = wide();
  settings.max_hops = 3;
  Desk desk(settings);
  for (int i = 0; i < 6; ++i) {
    forward(desk, i == 0 ? "alice" : "t" + std::to_string(i), "t" + std::to_string(i + 1));
    desk.follow("fan" + std::to_string(i + 1), "t" + std::to_string(i + 1));
  }
  const MessageId id = desk.publish("alice", "one");
  desk.run();
  for (int i = 1; i <= 6; ++i) CHECK(desk.bodies("fan" + std::to_string(i)) == (i <= 3 ? "one " : ""));
  CHECK(desk.counters().hops_ended == 1);
  CHECK(desk.retract("alice", id));
  for (int i = 1; i <= 6; ++i) CHECK(desk.bodies("fan" + std::to_string(i)).empty());
}

TEST_CASE("follow: backfill stands below the follow, is not unread, and goes with it") {
  Desk desk(wide());
  const std::string bob = "bob", carol = desk.name_in(desk.bucket_id("bob"), 0);
  for (const char* body : {"1", "2", "3", "4"}) desk.publish("alice", body);
  desk.follow(bob, "carla");
  desk.publish("carla", "c");
  desk.run();
  const Position seen = home(desk, bob).entries.at(0).position;
  follow_back(desk, bob, "alice", 3);
  desk.publish("alice", "5");
  desk.run();
  CHECK(desk.bodies(bob) == "5 4 3 2 c ");
  CHECK(home(desk, bob, seen).entries.size() == 4);
  const auto entries = home(desk, bob).entries;
  CHECK(entries[1].position.packed() + 1 < entries[0].position.packed());
  CHECK(entries[3].position.packed() + 2 == entries[1].position.packed());
  // Who has read up to now sees only what comes.
  CHECK(home(desk, bob, entries[1].position).entries.size() == 1);
  CHECK(desk.done<wire::MarkResult>(bob, wire::Mark{bob, Timeline::home, {}, ""}).unread == 2);

  follow_back(desk, bob, "alice", 3);  // a repeat brings none
  CHECK(desk.bodies(bob) == "5 4 3 2 c ");
  desk.open();
  CHECK(desk.bodies(bob) == "5 4 3 2 c ");
  // A second one in the bucket, whose leaf has some of it already.
  follow_back(desk, carol, "alice", 2);
  CHECK(desk.bodies(carol) == "5 4 ");
  unfollow(desk, bob, "alice");
  CHECK(desk.bodies(bob) == "c ");
  follow_back(desk, bob, "alice", 1);
  CHECK(desk.bodies(bob) == "5 c ");
}

TEST_CASE("follow: a topic's backfill is what carries it; what was retracted does not come") {
  Desk desk(wide());
  desk.publish(said("alice", "1", {"#x"}));
  const MessageId two = desk.publish(said("bob", "2", {"#x"}));
  desk.publish(said("alice", "3", {"#y"}));
  desk.run();
  desk.publish("#x", "own");
  CHECK(desk.retract("bob", two));
  follow_back(desk, "carol", "#x", 10);
  CHECK(desk.bodies("carol") == "own 1 ");
  for (const auto& entry : home(desk, "carol").entries) {
    const auto view = wire::decode_message(*entry.message);
    CHECK(desk.retract(std::string(view->author), view->id));
  }
  CHECK(desk.bodies("carol").empty());
  CHECK(desk.bodies("#x", Timeline::topic).empty());
}

TEST_CASE("follow: a backfill that comes when the follow is over is dropped") {
  Desk desk(wide());
  desk.publish("alice", "1");
  desk.ask("bob", wire::Follow{{{"bob", "alice"}}, false, 0, 5});
  desk.ask("bob", wire::Unfollow{{{"bob", "alice"}}, false});
  desk.run();
  CHECK(desk.bodies("bob").empty());
  desk.ask("bob", wire::Follow{{{"bob", "alice"}}, false, 0, 5});
  desk.ask("bob", wire::Unfollow{{{"bob", "alice"}}, false});
  desk.ask("bob", wire::Follow{{{"bob", "alice"}}, false, 0});
  desk.run();
  CHECK(desk.bodies("bob").empty());
  CHECK(desk.rows(Table::backfill) == 0);
  desk.pass(Duration::of_s(1));
  CHECK(desk.rows(Table::leaf) == 1);
}

TEST_CASE("follow: a backfill brings the newest that are not too large together") {
  Desk desk(wide());
  for (int i = 0; i < 6; ++i) desk.publish("alice", std::string(1u << 20, static_cast<char>('a' + i)));
  follow_back(desk, "bob", "alice", 6);
  std::string firsts;
  for (const auto& entry : home(desk, "bob").entries) firsts += Desk::body_of(entry).front();
  CHECK(firsts == "fed");
  CHECK(desk.counters().backfills_cut == 1);
  CHECK(desk.rows(Table::outbox) == 0);
}

TEST_CASE("forward: one that is not there cannot end") {
  Desk desk;
  CHECK(desk.refused("team", wire::Forwarding{"alice", "team", true}) == Code::not_found);
  CHECK(desk.rows(Table::entity) == 0);
  forward(desk, "alice", "team");
  CHECK(desk.refused("team", wire::Forwarding{"bob", "team", true}) == Code::not_found);
  stop(desk, "alice", "team");
}
