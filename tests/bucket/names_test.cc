// Aliases, and the end of an entity.
#include "base/limits.h"
#include "desk.h"

using namespace canopy;
using bucket::Desk;
using store::Table;
using wire::Timeline;

namespace {

wire::FollowState state_of(const wire::Reply& reply) {
  return std::get<wire::FollowState>(std::get<wire::FollowResult>(reply).states.at(0));
}
wire::NamesResult following(Desk& desk, const std::string& entity) {
  return desk.done<wire::NamesResult>(entity, wire::Following{entity});
}

}  // namespace

TEST_CASE("alias: a request that names one is answered with the first name, and nothing of it is done") {
  Desk desk;
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", "al"});
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", "al"});  // a repeat
  for (int i = 0; i < 2; ++i) {
    const auto moved = [&](wire::Request request) {
      const wire::Reply reply = desk.all_of("al", std::move(request));
      REQUIRE(std::holds_alternative<wire::Moved>(reply));
      return std::get<wire::Moved>(reply).again;
    };
    CHECK(std::get<wire::Publish>(moved(wire::Publish{{{"al", "", "one", ""}}, false})).messages.at(0).author == "alice");
    CHECK(std::get<wire::Follow>(moved(wire::Follow{{{"al", "bob"}}, false})).pairs.at(0).follower == "alice");
    CHECK(std::get<wire::Unfollow>(moved(wire::Unfollow{{{"al", "bob"}}, false})).pairs.at(0).follower == "alice");
    wire::Read read;
    read.entities = {"al"};
    CHECK(std::get<wire::Read>(moved(read)).entities.at(0) == "alice");
    CHECK(std::get<wire::Retract>(moved(wire::Retract{"al", MessageId(1)})).author == "alice");
    CHECK(std::get<wire::Delete>(moved(wire::Delete{"al"})).entity == "alice");
    CHECK(std::get<wire::Mark>(moved(wire::Mark{"al", Timeline::home, {}, ""})).entity == "alice");
    CHECK(std::get<wire::Retain>(moved(wire::Retain{"al", Timeline::sent, {}, {}})).entity == "alice");
    CHECK(std::get<wire::Alias>(moved(wire::Alias{"al", "ally"})).entity == "alice");
    CHECK(std::get<wire::Forwarding>(moved(wire::Forwarding{"bob", "al", false})).to == "alice");
    CHECK(std::get<wire::Following>(moved(wire::Following{"al"})).entity == "alice");
    CHECK(std::get<wire::Leaves>(moved(wire::Leaves{"al"})).entity == "alice");
    CHECK(std::get<wire::Lookup>(moved(wire::Lookup{"al"})).entity == "alice");
    CHECK(desk.rows(Table::sent) == 0);
    desk.open();  // also after a restart
  }
  // In a batch each name by itself.
  const std::string other = desk.name_in(desk.bucket_id("al"), 0);
  const auto batch = desk.all_of("al", wire::Publish{{{other, "", "one", ""}, {"al", "", "two", ""}}, true});
  REQUIRE(std::holds_alternative<wire::Moved>(batch));
  const auto again = std::get<wire::Publish>(std::get<wire::Moved>(batch).again);
  REQUIRE(again.messages.size() == 2);
  CHECK(again.messages[0].author == other);
  CHECK(again.messages[1].author == "alice");
  CHECK(desk.rows(Table::sent) == 0);
}

TEST_CASE("alias: a name that anybody has used is refused") {
  Desk desk;
  desk.publish("author", "one");
  desk.follow("follower", "followed");
  wire::Message m{"author", "", "two", ""};
  m.mentions = {"mentioned"};
  m.topics = {"#carried"};
  m.to = {"addressed"};
  desk.publish(m);
  desk.done<wire::MarkResult>("marked", wire::Mark{"marked", Timeline::home, {}, ""});
  desk.done<wire::RetainResult>("retained", wire::Retain{"retained", Timeline::sent, 5, {}});
  desk.done<wire::ForwardingResult>("to", wire::Forwarding{"from", "to", false});
  desk.done<wire::AliasResult>("named", wire::Alias{"named", "name"});
  for (const char* used : {"author", "follower", "followed", "mentioned", "#carried", "addressed", "marked", "retained", "from", "to", "named", "name"}) {
    CAPTURE(used);
    CHECK(desk.refused("alice", wire::Alias{"alice", used}) == Code::bad_request);
  }
  desk.bodies("read");  // nothing remembers a reader
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", "read"});
  CHECK(desk.rows(Table::alias_of) == 2);
  CHECK(desk.rows(Table::alias) == 2);
  CHECK(desk.rows(Table::outbox) == 0);
}

TEST_CASE("alias: of two that claim each other neither becomes one, and one alias has one entity") {
  Desk desk;
  desk.ask("alice", wire::Alias{"alice", "bob"});
  desk.ask("bob", wire::Alias{"bob", "alice"});
  desk.run();
  CHECK(desk.rows(Table::alias) == 0);
  CHECK(desk.rows(Table::alias_of) == 0);

  desk.ask("alice", wire::Alias{"alice", "same"});
  desk.ask("bob", wire::Alias{"bob", "same"});
  desk.run();
  CHECK(desk.rows(Table::alias) == 1);
  CHECK(desk.rows(Table::alias_of) == 1);
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", "alice2"});
}

TEST_CASE("alias: an entity is no alias of itself, and forwards nothing to itself, by whatever names it is said") {
  Desk desk;
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", "al"});
  CHECK(desk.refused("al", wire::Alias{"al", "alice"}) == Code::bad_request);
  CHECK(desk.refused("al", wire::Forwarding{"alice", "al", false}) == Code::bad_request);
  CHECK(desk.refused("alice", wire::Forwarding{"alice", "alice", false}) == Code::bad_request);
  CHECK(desk.rows(Table::alias) == 1);
  CHECK(desk.rows(Table::forward) == 0);
  CHECK(desk.rows(Table::leaf) == 0);
}

TEST_CASE("alias: whose bucket does not answer in time says so, goes on, and is granted to a repeat") {
  Desk desk;
  CHECK_FALSE(desk.ask("alice", wire::Alias{"alice", "al"}));
  desk.packets.clear();
  desk.now.instant = desk.now.instant + Duration::of_s(6);
  const auto reply = desk.feed(desk.bucket_id("alice"), bucket::Tick{});
  REQUIRE(reply);
  CHECK(std::get<Error>(*reply).code == Code::timeout);
  desk.pass(Duration::of_s(10));
  desk.packets.clear();
  const auto again = desk.ask("alice", wire::Alias{"alice", "al"});
  REQUIRE(again);  // at once
  CHECK(std::get<wire::AliasResult>(*again).entity == "alice");
}

TEST_CASE("alias: who follows it follows the entity; an edge that was there stays as it is") {
  Desk desk;
  const std::string al = desk.name_away({"alice", "bob"}, "al");
  const BucketId here = desk.bucket_id("bob");
  const std::string carol = desk.name_in(here, 0), dave = desk.name_in(here, 1);
  desk.publish("alice", "zero");
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  desk.run();
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", al});

  // All in one bucket, before the alias' bucket has answered.
  const auto fresh = desk.ask("bob", wire::Follow{{{"bob", al}}, false, 1000});
  desk.ask(carol, wire::Follow{{{carol, al}}, false, 1000});
  desk.ask(dave, wire::Follow{{{dave, al}}, false, 1000, 5});
  CHECK_FALSE(fresh);
  CHECK(desk.rows(Table::leaf) == 2);
  const auto last = desk.run();
  REQUIRE(last);
  CHECK(state_of(*last) == wire::FollowState::active);
  desk.pass(Duration::of_s(1));
  CHECK(desk.rows(Table::leaf) == 1);
  CHECK(desk.rows(Table::edge) == 3);
  CHECK(desk.rows(Table::retired) == 0);
  CHECK(desk.counters().redirects == 1);

  desk.publish("alice", "two");
  desk.run();
  CHECK(desk.bodies("bob") == "two one ");
  CHECK(desk.bodies(carol) == "two ");
  CHECK(desk.bodies(dave) == "two one zero ");
  CHECK(following(desk, "bob").names == std::vector<std::string>{"alice"});
  CHECK(following(desk, carol).names == std::vector<std::string>{"alice"});

  // By either name it ends; the bucket has learned the alias.
  CHECK(std::get<bool>(desk.done<wire::UnfollowResult>(carol, wire::Unfollow{{{carol, al}}, false}).removed.at(0)));
  CHECK(std::get<bool>(desk.done<wire::UnfollowResult>("bob", wire::Unfollow{{{"bob", "alice"}}, false}).removed.at(0)));
  CHECK_FALSE(std::get<bool>(desk.done<wire::UnfollowResult>("bob", wire::Unfollow{{{"bob", al}}, false}).removed.at(0)));
  CHECK(desk.bodies("bob").empty());
  CHECK(desk.bodies(carol).empty());
  CHECK(desk.bodies(dave) == "two one zero ");
}

TEST_CASE("alias: a bucket that knows only the alias joins the entity by its first name") {
  Desk desk;
  const std::string al = desk.name_away({"alice", "bob"}, "al");
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", al});
  desk.publish("alice", "zero");
  CHECK(state_of(*desk.follow("bob", al)) == wire::FollowState::active);
  desk.publish("alice", "one");
  desk.run();
  CHECK(desk.bodies("bob") == "one ");
  CHECK(following(desk, "bob").names == std::vector<std::string>{"alice"});
  desk.open();
  desk.publish("alice", "two");
  desk.run();
  CHECK(desk.bodies("bob") == "two one ");
  CHECK(std::get<bool>(desk.done<wire::UnfollowResult>("bob", wire::Unfollow{{{"bob", al}}, false}).removed.at(0)));
  CHECK(desk.bodies("bob").empty());
}

TEST_CASE("alias: an unfollow that the redirect finds done is not undone by it") {
  Desk desk;
  const std::string al = desk.name_away({"alice", "bob"}, "al");
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", al});
  desk.ask("bob", wire::Follow{{{"bob", al}}, false, 0});
  desk.ask("bob", wire::Unfollow{{{"bob", al}}, false});
  desk.ask("bob", wire::Follow{{{"bob", al}}, false, 0});  // another leaf, another generation
  desk.run();
  desk.publish("alice", "one");
  desk.run();
  CHECK(desk.bodies("bob") == "one ");
  CHECK(desk.counters().redirects == 1);
  desk.pass(Duration::of_s(1));
  CHECK(desk.rows(Table::leaf) == 1);
  CHECK(desk.rows(Table::edge) == 1);
  CHECK(desk.rows(Table::outbox) == 0);
}

TEST_CASE("alias: a forward from one is its entity's, and is on and off by either name") {
  Desk desk;
  const std::string al = desk.name_away({"alice", "team"}, "al");
  desk.follow("fan", "team");
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", al});
  const auto state = [&](std::string from, bool off = false) {
    return desk.done<wire::ForwardingResult>("team", wire::Forwarding{std::move(from), "team", off});
  };
  CHECK(state(al).state == wire::FollowState::active);
  CHECK(state(al).state == wire::FollowState::active);
  CHECK(state("alice").state == wire::FollowState::active);
  desk.publish("alice", "one");
  desk.run();
  CHECK(desk.bodies("fan") == "one ");
  CHECK(desk.rows(Table::forward) == 1);
  CHECK(state(al, true).off);
  desk.publish("alice", "two");
  desk.run();
  CHECK(desk.bodies("fan") == "one ");
  CHECK(state("alice").state == wire::FollowState::active);
  desk.publish("alice", "three");
  desk.run();
  CHECK(desk.bodies("fan") == "three one ");
}

TEST_CASE("alias: what is addressed to it comes to the entity") {
  Desk desk;
  desk.done<wire::AliasResult>("#x", wire::Alias{"#x", "#ex"});
  desk.done<wire::AliasResult>("alice", wire::Alias{"alice", "al"});
  desk.follow("fan", "#x");
  wire::Message m{"bob", "", "one", ""};
  m.mentions = {"al"};
  m.topics = {"#ex"};
  m.to = {"al"};
  const MessageId id = desk.publish(m);
  desk.run();
  CHECK(desk.bodies("alice", Timeline::mentions) == "one ");
  CHECK(desk.bodies("alice") == "one ");
  CHECK(desk.bodies("#x", Timeline::topic) == "one ");
  CHECK(desk.bodies("fan") == "one ");
  CHECK(desk.counters().clones_passed_on == 3);
  CHECK(desk.retract("bob", id));
  for (const auto& [name, timeline] : std::initializer_list<std::pair<const char*, Timeline>>{
           {"alice", Timeline::mentions}, {"alice", Timeline::home}, {"#x", Timeline::topic}, {"fan", Timeline::home}})
    CHECK(desk.bodies(name, timeline).empty());
}

// ---- Deletion

TEST_CASE("delete: nothing is left of an entity, in any bucket, also when the process dies meanwhile") {
  constexpr Table tables[] = {
      Table::entity_no, Table::entity, Table::sent, Table::message, Table::edge, Table::leaf_no, Table::leaf, Table::applied,
      Table::followers, Table::delivery, Table::retired, Table::root, Table::tree, Table::pending, Table::outbox,
      Table::mentions, Table::replies, Table::topic, Table::direct, Table::thread, Table::retain, Table::backfill,
      Table::marker, Table::alias, Table::alias_of, Table::forward, Table::forward_of, Table::ending};
  for (const bool crashes : {false, true}) {
    CAPTURE(crashes);
    Desk desk;
    // The others, and what they have of each other.
    desk.publish("bob", "hello");
    desk.follow("carol", "bob");
    desk.follow("#x", "carol");
    desk.follow("bob", "carol");
    desk.done<wire::MarkResult>("team", wire::Mark{"team", Timeline::home, {}, ""});
    desk.pass(Duration::of_s(1));
    std::vector<size_t> before;
    // Of a delivery that was retracted a link is left.
    const auto rows = [&](Table table) { return table == Table::delivery ? desk.live_deliveries() : desk.rows(table); };
    for (const Table table : tables) before.push_back(rows(table));

    // Everything that an entity can have.
    desk.follow("bob", "alice");
    wire::Message m{"bob", "", "to alice", ""};
    m.mentions = {"alice"};
    m.to = {"alice"};
    std::vector<MessageId> of_bob{desk.publish(m)};
    desk.run();
    m = {"alice", "", "said", ""};
    m.reply_to = of_bob[0];
    m.mentions = {"carol", "alice"};
    m.topics = {"#x"};
    m.to = {"carol"};
    MessageId said;
    for (int i = 0; i < 230; ++i) said = desk.publish(m);  // more than a slice
    desk.run();
    const BodyRef ref = desk.ref_of(said);
    m = {"bob", "", "again", ""};
    m.reply_to = said;
    of_bob.push_back(desk.publish(m));
    desk.follow("alice", "bob");
    desk.ask("carol", wire::Follow{{{"carol", "alice"}}, false, 0, 7});
    desk.run();
    desk.done<wire::MarkResult>("alice", wire::Mark{"alice", Timeline::mentions, Position(1, 5), "printer"});
    desk.done<wire::RetainResult>("alice", wire::Retain{"alice", Timeline::mentions, 50, 86'400});
    desk.done<wire::AliasResult>("alice", wire::Alias{"alice", "al"});
    desk.done<wire::ForwardingResult>("team", wire::Forwarding{"alice", "team", false});
    desk.done<wire::ForwardingResult>("alice", wire::Forwarding{"bob", "alice", false});
    of_bob.push_back(desk.publish("bob", "forwarded"));
    desk.run();
    CHECK(desk.bodies("bob") == "forwarded said said ");  // by alice, whom bob forwards to
    CHECK(desk.bodies("carol") == "forwarded again said ");  // she has `said` from her direct list: what the backfill brought is the same
    CHECK(desk.bodies("bob", Timeline::replies).find("said") == 0);

    CHECK(std::holds_alternative<wire::DeleteResult>(*desk.ask("alice", wire::Delete{"alice"})));
    CHECK(std::holds_alternative<wire::DeleteResult>(*desk.ask("alice", wire::Delete{"alice"})));
    CHECK(desk.bodies("alice", Timeline::sent).empty());
    CHECK(desk.bodies("alice", Timeline::mentions).empty());
    CHECK(desk.bodies("alice").empty());
    CHECK(desk.refused("alice", wire::Mark{"alice", Timeline::home, {}, ""}) == Code::busy);
    const auto busy = desk.try_publish({"alice", "", "more", ""});
    REQUIRE(std::holds_alternative<Error>(busy));
    CHECK(std::get<Error>(busy).code == Code::busy);
    for (int i = 0; i < 100 && desk.rows(Table::ending) > 0; ++i) {
      if (crashes && i % 3 == 0) desk.open();
      desk.pass(Duration::of_ms(200));
    }
    REQUIRE(desk.rows(Table::ending) == 0);
    desk.pass(Duration::of_s(10));
    CHECK(desk.bodies("bob").empty());
    CHECK(desk.bodies("carol") == "forwarded again to alice ");
    CHECK(desk.bodies("bob", Timeline::replies).empty());
    CHECK(desk.references(ref) == 0);

    for (const MessageId id : of_bob) CHECK(desk.retract("bob", id));
    desk.pass(Duration::of_s(10));
    for (size_t i = 0; i < std::size(tables); ++i) {
      CAPTURE(static_cast<char>(tables[i]));
      CHECK(rows(tables[i]) == before[i]);
    }
    CHECK(desk.rows(Table::list_head) == 1);  // carol's direct list tells what capacity took
    desk.done<wire::AliasResult>("bob", wire::Alias{"bob", "alice"});  // the names are free
    desk.done<wire::AliasResult>("bob", wire::Alias{"bob", "al"});
  }
}

TEST_CASE("delete: the next of that name is another, and letters of the old stream are nothing to it") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.publish("alice", "old");
  const wire::StreamLetter late = desk.pushes.front();
  desk.run();
  desk.done<wire::DeleteResult>("alice", wire::Delete{"alice"});
  desk.pass(Duration::of_s(10));
  CHECK(desk.rows(Table::ending) == 0);
  CHECK(desk.rows(Table::edge) == 0);
  desk.follow("bob", "alice");
  const BucketId bob = desk.bucket_id("bob");
  desk.feed(bob, bucket::StreamIn{late.root, late.reflector, late.item});
  CHECK(desk.taken);
  desk.publish("alice", "new");
  desk.run();
  CHECK(desk.bodies("bob") == "new ");
  CHECK(desk.bodies("alice", Timeline::sent) == "new ");
}

TEST_CASE("delete: who follows meanwhile waits, and follows who has the name then; what is addressed to it meanwhile is dropped") {
  Desk desk;
  desk.follow("bob", "alice");
  desk.publish("alice", "one");
  desk.run();
  desk.ask("alice", wire::Delete{"alice"});
  const std::string carol = desk.name_away({"alice", "bob"});
  wire::Message m{"dave", "", "hello", ""};
  m.mentions = {"alice"};
  m.to = {"alice"};
  desk.publish(m);
  desk.ask(carol, wire::Follow{{{carol, "alice"}}, false, 0});
  desk.run();
  desk.pass(Duration::of_s(10));
  CHECK(desk.rows(Table::ending) == 0);
  CHECK(desk.rows(Table::edge) == 1);
  CHECK(desk.rows(Table::leaf) == 1);
  CHECK(desk.rows(Table::tree) == 1);
  CHECK(desk.rows(Table::mentions) == 0);
  CHECK(desk.rows(Table::direct) == 0);
  CHECK(desk.rows(Table::outbox) == 0);
  CHECK(desk.counters().dropped_ending == 2);
  desk.publish("alice", "new");
  desk.run();
  CHECK(desk.bodies("bob").empty());
  CHECK(desk.bodies(carol) == "new ");
}

TEST_CASE("delete: what has fallen out of sent leaves the homes of followers, and stays in the lists of others") {
  Desk desk;
  desk.done<wire::RetainResult>("alice", wire::Retain{"alice", Timeline::sent, 1, {}});
  desk.follow("bob", "alice");
  wire::Message m{"alice", "", "old", ""};
  m.mentions = {"carol"};
  const MessageId old = desk.publish(m);
  m.body = "new";
  desk.publish(m);
  desk.run();
  CHECK(desk.bodies("alice", Timeline::sent) == "new ");
  CHECK(desk.refused("alice", wire::Retract{"alice", old}) == Code::not_found);
  CHECK(desk.bodies("bob") == "new old ");
  desk.done<wire::DeleteResult>("alice", wire::Delete{"alice"});
  desk.pass(Duration::of_s(10));
  CHECK(desk.rows(Table::ending) == 0);
  CHECK(desk.bodies("bob").empty());
  CHECK(desk.bodies("carol", Timeline::mentions) == "old ");
}
