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
