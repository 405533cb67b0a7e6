#include "client/translate.h"

#include <doctest/doctest.h>

#include "wire/message.h"

namespace canopy {
namespace {

client::Result<client::Answer> answer(wire::Reply reply) {
  return from_wire({1, Session::Outcome::answered, std::move(reply)}, "tcp://127.0.0.1:7700");
}

}  // namespace

TEST_CASE("translate: one pair is asked as one, several as a batch") {
  const auto one = std::get<wire::Follow>(to_wire(client::Follow{{{"bob", "alice"}}, client::milliseconds{5}}));
  CHECK_FALSE(one.batch);
  CHECK(one.wait_ms == 5);
  const auto two = std::get<wire::Follow>(to_wire(client::Follow{{{"bob", "alice"}, {"carol", "alice"}}}));
  CHECK(two.batch);
  CHECK(two.pairs.size() == 2);
}

TEST_CASE("translate: a wait below zero is none") {
  client::Read read;
  read.entity = "bob";
  read.wait = client::milliseconds{-5};
  CHECK(std::get<wire::Read>(to_wire(read)).wait_ms == 0);
}

TEST_CASE("translate: an error keeps code, message and retry_after") {
  const auto told = answer(Error{Code::busy, "outbox: full", 40});
  REQUIRE_FALSE(told);
  CHECK(told.error().code == client::Code::busy);
  CHECK(told.error().message == "outbox: full");
  CHECK(told.error().retry_after.count() == 40);
  CHECK(told.error().from_fabric());
}

TEST_CASE("translate: what never reached the fabric names the endpoints") {
  const auto told = from_wire({1, Session::Outcome::unreachable, {}}, "tcp://10.0.0.1:7700");
  REQUIRE_FALSE(told);
  CHECK(told.error().code == client::Code::unreachable);
  CHECK_FALSE(told.error().from_fabric());
  CHECK(told.error().message.find("tcp://10.0.0.1:7700") != std::string::npos);
}

TEST_CASE("translate: an entry comes out of its message") {
  wire::MessageView view;
  view.id = MessageId(99);
  view.time_ms = 5;
  view.author = "alice";
  view.body = std::string_view("a\0b", 3);
  wire::ReadResult result;
  wire::TimelinePage page;
  page.entries.push_back({Position(3), make_blob(wire::encode_message(view))});
  page.next = Position(3);
  result.pages.emplace_back(std::move(page));
  auto told = answer(std::move(result));
  REQUIRE(told);
  const auto& read = std::get<client::Page>(*told);
  REQUIRE(read.entries.size() == 1);
  CHECK(read.entries[0].id == 99);
  CHECK(read.entries[0].position == 3);
  CHECK(read.entries[0].body == std::string("a\0b", 3));
  CHECK(read.next == 3u);
}

TEST_CASE("translate: a message says whom it is for, and its entry comes back with it") {
  client::Message message{"alice", "hello"};
  message.reply_to = 7;
  message.mentions = {"bob"};
  message.topics = {"#x"};
  message.to = {"carol"};
  const auto publish = std::get<wire::Publish>(to_wire(client::Publish{{message}}));
  REQUIRE(publish.messages.size() == 1);
  CHECK(publish.messages[0].reply_to == MessageId(7));
  CHECK(publish.messages[0].mentions == message.mentions);
  CHECK(publish.messages[0].topics == message.topics);
  CHECK(publish.messages[0].to == message.to);
  wire::MessageView view;
  view.id = MessageId(99);
  view.author = "alice";
  view.reply_to = MessageId(7);
  view.mentions = {"bob"};
  view.topics = {"#x"};
  auto told = answer(wire::GetResult{{Position(3), make_blob(wire::encode_message(view))}});
  REQUIRE(told);
  const auto& entry = std::get<client::Entry>(*told);
  CHECK(entry.reply_to == 7);
  CHECK(entry.mentions == message.mentions);
  CHECK(entry.topics == message.topics);
}

TEST_CASE("translate: a conversation with and without a parent") {
  wire::MessageView view;
  view.id = MessageId(99);
  view.author = "alice";
  const wire::Entry entry{Position(3), make_blob(wire::encode_message(view))};
  auto told = answer(wire::ThreadResult{entry, entry, {entry, entry}, Position(5)});
  REQUIRE(told);
  const auto& thread = std::get<client::Thread>(*told);
  CHECK(thread.message.id == 99);
  CHECK(thread.parent.has_value());
  CHECK(thread.replies.size() == 2);
  CHECK(thread.next == 5u);
  told = answer(wire::ThreadResult{entry, std::nullopt, {}, std::nullopt});
  REQUIRE(told);
  CHECK_FALSE(std::get<client::Thread>(*told).parent);
  CHECK_FALSE(answer(wire::ThreadResult{entry, std::nullopt, {wire::Entry{Position(3), make_blob("\x09nonsense")}}, {}}));
}

TEST_CASE("translate: what is not given to RETAIN stays not given") {
  const auto count = std::get<wire::Retain>(to_wire(client::Retain{"alice", client::Timeline::topic, 5, {}}));
  CHECK(count.timeline == wire::Timeline::topic);
  CHECK(count.count == 5u);
  CHECK_FALSE(count.age_s);
  const auto age = std::get<wire::Retain>(to_wire(client::Retain{"alice", client::Timeline::sent, {}, std::chrono::hours(1)}));
  CHECK_FALSE(age.count);
  CHECK(age.age_s == 3600u);
}

TEST_CASE("translate: every timeline, and a page's unread") {
  client::Read read;
  for (const auto& [timeline, wire_timeline] :
       {std::pair{client::Timeline::home, wire::Timeline::home}, std::pair{client::Timeline::sent, wire::Timeline::sent},
        std::pair{client::Timeline::mentions, wire::Timeline::mentions}, std::pair{client::Timeline::replies, wire::Timeline::replies},
        std::pair{client::Timeline::topic, wire::Timeline::topic}}) {
    read.timeline = timeline;
    read.consumer = "printer";
    const auto asked = std::get<wire::Read>(to_wire(read));
    CHECK(asked.timeline == wire_timeline);
    CHECK(asked.consumer == "printer");
  }
  wire::ReadResult result;
  wire::TimelinePage page;
  page.unread = 4;
  result.pages.emplace_back(std::move(page));
  auto told = answer(std::move(result));
  REQUIRE(told);
  CHECK(std::get<client::Page>(*told).unread == 4u);
}

TEST_CASE("translate: an answer between nodes is no answer for a client") {
  wire::Moved moved;
  moved.again = wire::Get{MessageId(1)};
  CHECK_FALSE(answer(std::move(moved)));
}

TEST_CASE("translate: a damaged entry is an error, not an empty one") {
  wire::GetResult result;
  result.entry.message = make_blob("\x09nonsense");
  CHECK_FALSE(answer(std::move(result)));
}

TEST_CASE("translate: failed pairs keep their index") {
  wire::FollowResult result;
  result.batch = true;
  result.states = {wire::FollowState::active, Error{Code::bad_request, "", 0}, wire::FollowState::pending};
  auto told = answer(std::move(result));
  REQUIRE(told);
  const auto& follow = std::get<client::FollowAnswer>(*told);
  CHECK(follow.active == 1);
  CHECK(follow.pending == 1);
  REQUIRE(follow.failed.size() == 1);
  CHECK(follow.failed[0].index == 1);
}

}  // namespace canopy
