// THREAD, MARK, RETAIN, and the pages of the lists.
#include "base/limits.h"
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
wire::Message reply(std::string author, std::string body, MessageId to) {
  wire::Message m{std::move(author), "", std::move(body), ""};
  m.reply_to = to;
  return m;
}
std::string bodies(const std::vector<wire::Entry>& entries) {
  std::string all;
  for (const auto& entry : entries) all += Desk::body_of(entry) + " ";
  return all;
}
uint64_t mark(Desk& desk, std::string entity, Timeline timeline, Position position, std::string consumer = "") {
  return desk.done<wire::MarkResult>(entity, wire::Mark{entity, timeline, position, consumer}).unread;
}
wire::TimelinePage read(Desk& desk, std::string entity, Timeline timeline, std::string consumer = "") {
  wire::Read request;
  request.entities = {std::move(entity)};
  request.timeline = timeline;
  request.consumer = std::move(consumer);
  return desk.page(request);
}

}  // namespace

TEST_CASE("thread: replies come oldest first, in pages, without what was retracted") {
  Desk desk(wide());
  const MessageId question = desk.publish("alice", "question"), other = desk.publish("alice", "other");
  desk.run();
  std::vector<MessageId> ids;
  for (int i = 0; i < 7; ++i) {
    ids.push_back(desk.publish(reply("author" + std::to_string(i % 3), std::to_string(i), question)));
    desk.publish(reply("bob", "elsewhere", other));
    desk.run();
  }
  const auto page = [&](MessageId id, Position after, uint32_t limit) {
    return desk.done<wire::ThreadResult>("alice", wire::Thread{id, limit, after});
  };
  auto thread = page(question, {}, 3);
  CHECK(Desk::body_of(thread.message) == "question");
  CHECK(bodies(thread.replies) == "0 1 2 ");
  REQUIRE(thread.next);
  CHECK(desk.retract("author0", ids[3]));
  CHECK(desk.retract("author1", ids[1]));  // behind the reader
  thread = page(question, *thread.next, 3);
  CHECK(bodies(thread.replies) == "4 5 6 ");
  CHECK_FALSE(thread.next);
  CHECK(bodies(page(question, {}, 50).replies) == "0 2 4 5 6 ");
  CHECK(desk.bodies("alice", Timeline::replies).find("6") != std::string::npos);

  // Of alice's list of replies only so many are kept; the thread has what is there.
  desk.done<wire::RetainResult>("alice", wire::Retain{"alice", Timeline::replies, 4, {}});
  desk.pass(Duration::of_s(1));
  CHECK(bodies(page(question, {}, 50).replies) == "5 6 ");
  CHECK(desk.rows(Table::thread) == 4);
  CHECK(desk.retract("alice", question));
  CHECK(desk.refused("alice", wire::Thread{question, 50, {}}) == Code::not_found);
  CHECK(desk.refused("alice", wire::Thread{MessageId::after(MessageId(), 1, desk.bucket_id("alice")), 50, {}}) == Code::not_found);
  CHECK(bodies(read(desk, "alice", Timeline::replies).entries) == "elsewhere 6 elsewhere 5 ");  // replies stay
}

TEST_CASE("mark: each consumer has its marker, and READ goes on from it") {
  Desk desk(wide());
  desk.follow("bob", "alice");
  for (int i = 0; i < 5; ++i) desk.publish("alice", std::to_string(i));
  desk.run();
  const auto entries = read(desk, "bob", Timeline::home).entries;  // newest first
  CHECK_FALSE(read(desk, "bob", Timeline::home).unread);
  CHECK(bodies(read(desk, "bob", Timeline::home, "printer").entries) == "0 1 2 3 4 ");
  CHECK(mark(desk, "bob", Timeline::home, entries[2].position) == 2);
  CHECK(mark(desk, "bob", Timeline::home, entries[4].position, "printer") == 4);
  for (int i = 0; i < 2; ++i) {
    CHECK(read(desk, "bob", Timeline::home).unread == 2);
    const auto page = read(desk, "bob", Timeline::home, "printer");
    CHECK(bodies(page.entries) == "1 2 3 4 ");
    CHECK(page.unread == 4);
    CHECK_FALSE(read(desk, "bob", Timeline::home, "nobody").unread);
    desk.open();
  }
  const auto view = wire::decode_message(*entries[1].message);
  CHECK(desk.retract("alice", view->id));
  CHECK(read(desk, "bob", Timeline::home).unread == 1);
  CHECK(mark(desk, "bob", Timeline::home, {}) == 4);  // back
  desk.done<wire::UnfollowResult>("bob", wire::Unfollow{{{"bob", "alice"}}, false});
  CHECK(read(desk, "bob", Timeline::home).unread == 0);
  CHECK(mark(desk, "stranger", Timeline::mentions, Position(1, 5)) == 0);
}

TEST_CASE("mark: markers of the lists are their own, and count what is there") {
  Desk desk(wide());
  wire::Message m{"alice", "", "x", ""};
  m.mentions = {"bob"};
  m.topics = {"#x"};
  std::vector<MessageId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(desk.publish(m));
  desk.run();
  for (const auto& [name, timeline] : std::initializer_list<std::pair<const char*, Timeline>>{
           {"bob", Timeline::mentions}, {"#x", Timeline::topic}, {"alice", Timeline::sent}}) {
    CHECK(mark(desk, name, timeline, {}) == 4);
    CHECK(mark(desk, name, timeline, read(desk, name, timeline).entries.at(1).position) == 1);
    CHECK_FALSE(read(desk, name, Timeline::home).unread);
  }
  CHECK(desk.retract("alice", ids[3]));
  CHECK(read(desk, "bob", Timeline::mentions).unread == 0);
  CHECK(read(desk, "#x", Timeline::topic).unread == 0);
  CHECK(read(desk, "alice", Timeline::sent).unread == 0);
}

TEST_CASE("mark: a timeline has so many consumers, and those it has go on") {
  Desk desk;
  for (size_t i = 0; i < limits::markers_max; ++i) mark(desk, "bob", Timeline::home, Position(1, i), "c" + std::to_string(i));
  CHECK(desk.refused("bob", wire::Mark{"bob", Timeline::home, {}, "one more"}) == Code::too_large);
  CHECK(desk.refused("bob", wire::Mark{"bob", Timeline::home, {}, ""}) == Code::too_large);
  CHECK(mark(desk, "bob", Timeline::home, Position(1, 7), "c5") == 0);
  CHECK(mark(desk, "bob", Timeline::mentions, Position(1, 7), "one more") == 0);
  CHECK(mark(desk, std::string(desk.name_in(desk.bucket_id("bob"), 0)), Timeline::home, {}, "one more") == 0);
  CHECK(desk.rows(Table::marker) == limits::markers_max + 2);
}

TEST_CASE("mark: unread is counted up to a bound") {
  Desk desk;
  for (size_t i = 0; i < limits::unread_max + 5; ++i) desk.publish("alice", "");
  CHECK(mark(desk, "alice", Timeline::sent, {}) == limits::unread_max);
  CHECK(read(desk, "alice", Timeline::sent).unread == limits::unread_max);
}

TEST_CASE("retain: what falls out is found no more, stays in homes, and is told as truncated") {
  Desk desk(wide());
  desk.follow("bob", "alice");
  std::vector<MessageId> ids;
  std::vector<Position> positions;
  for (int i = 0; i < 6; ++i) {
    ids.push_back(desk.publish("alice", std::to_string(i)));
    positions.push_back(read(desk, "alice", Timeline::sent).entries.at(0).position);
  }
  desk.run();
  const auto retain = [&](std::optional<uint64_t> count, std::optional<uint64_t> age) {
    const auto result = desk.done<wire::RetainResult>("alice", wire::Retain{"alice", Timeline::sent, count, age});
    desk.pass(Duration::of_s(1));
    return std::pair{result.count, result.age_s};
  };
  CHECK(retain({}, {}) == std::pair<uint64_t, uint64_t>{0, 0});
  CHECK(desk.rows(Table::retain) == 0);
  CHECK(retain(3, {}) == std::pair<uint64_t, uint64_t>{3, 0});
  CHECK(desk.bodies("alice", Timeline::sent) == "5 4 3 ");
  CHECK(desk.rows(Table::sent) == 3);
  CHECK(desk.refused("alice", wire::Get{ids[2]}) == Code::not_found);
  CHECK(desk.refused("alice", wire::Retract{"alice", ids[2]}) == Code::not_found);
  CHECK(desk.refused("alice", wire::Thread{ids[2], 50, {}}) == Code::not_found);
  CHECK(desk.bodies("bob") == "5 4 3 2 1 0 ");

  wire::Read request;
  request.entities = {"alice"};
  request.timeline = Timeline::sent;
  request.after = positions[2];
  CHECK_FALSE(desk.page(request).truncated);
  request.after = positions[1];
  CHECK(desk.page(request).truncated);
  request.after.reset();
  CHECK(desk.page(request).truncated);
  request.limit = 2;
  CHECK_FALSE(desk.page(request).truncated);

  CHECK(retain({}, 3600) == std::pair<uint64_t, uint64_t>{3, 3600});
  desk.now.wall_ms += 3'600'001;
  CHECK(desk.bodies("alice", Timeline::sent).empty());
  CHECK(desk.refused("alice", wire::Get{ids[5]}) == Code::not_found);
  desk.pass(Duration::of_s(1));
  CHECK(desk.rows(Table::sent) == 0);
  CHECK(retain(0, 0) == std::pair<uint64_t, uint64_t>{0, 0});
  for (int i = 0; i < 5; ++i) desk.publish("alice", "x");
  CHECK(desk.rows(Table::sent) == 5);
}

TEST_CASE("retain: the fabric's retention holds for lists without one of their own") {
  map::FabricSettings settings = wide();
  settings.mentions = {2, 0};
  settings.topic = {0, 60};
  Desk desk(settings);
  wire::Message m{"alice", "", "", ""};
  m.mentions = {"bob", "carol"};
  m.topics = {"#x"};
  desk.done<wire::RetainResult>("carol", wire::Retain{"carol", Timeline::mentions, 3, {}});
  CHECK(desk.done<wire::RetainResult>("bob", wire::Retain{"bob", Timeline::mentions, {}, {}}).count == 2);
  CHECK(desk.done<wire::RetainResult>("#x", wire::Retain{"#x", Timeline::topic, {}, {}}).age_s == 60);
  for (const char* body : {"1", "2", "3", "4"}) {
    m.body = body;
    desk.publish(m);
    desk.run();
    desk.now.wall_ms += 25'000;
  }
  CHECK(desk.bodies("bob", Timeline::mentions) == "4 3 ");
  CHECK(desk.bodies("carol", Timeline::mentions) == "4 3 2 ");
  CHECK(desk.bodies("#x", Timeline::topic) == "4 3 ");
  CHECK(desk.bodies("alice", Timeline::sent) == "4 3 2 1 ");
}

TEST_CASE("read: a long poll of a list, and one of a consumer, are answered by what comes") {
  Desk desk(wide());
  desk.follow("bob", "alice");
  mark(desk, "bob", Timeline::home, {}, "printer");
  for (const auto timeline : {Timeline::mentions, Timeline::home}) {
    wire::Read request;
    request.entities = {"bob"};
    request.timeline = timeline;
    request.wait_ms = 1000;
    if (timeline == Timeline::home) request.consumer = "printer";
    else request.after = Position();
    CHECK_FALSE(desk.ask("bob", request));
  }
  wire::Message m{"carol", "", "to you", ""};
  m.mentions = {"bob"};
  desk.publish(m);
  auto answer = desk.run();
  REQUIRE(answer);
  CHECK(bodies(std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*answer).pages.at(0)).entries) == "to you ");
  desk.publish("alice", "one");
  answer = desk.run();
  REQUIRE(answer);
  const auto page = std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*answer).pages.at(0));
  CHECK(bodies(page.entries) == "one ");
  CHECK(page.unread == 1);
}
