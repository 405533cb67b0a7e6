#include "client/session.h"

#include <doctest/doctest.h>
#include <initializer_list>

#include "base/bytes.h"

namespace canopy {
namespace {

using Outcome = Session::Outcome;
using Ticket = Session::Ticket;

Instant at_ms(int64_t ms) { return Instant{} + Duration::of_ms(ms); }

// A session, and the fabric as it sees it: what it sends is collected, answers are said.
struct Talk {
  Session session;
  explicit Talk(SessionSettings settings = {}) : session(settings) {}

  std::vector<Ticket> send_all() {
    std::vector<Ticket> sent;
    while (const auto ticket = session.next_to_send()) {
      session.on_sent(*ticket);
      sent.push_back(*ticket);
    }
    return sent;
  }
  void answer(Ticket ticket, const wire::Reply& reply, Instant now) {
    std::string correlation;
    put_be64(correlation, ticket);
    const wire::ReplyFrames frames = wire::encode_reply(reply, wire::Encoding::msgpack);
    session.on_packet({correlation, "", frames.status, frames.result}, now);
  }
};

wire::PingResult pong() {
  wire::PingResult result;
  result.node = "n1";
  result.fabric = "canopy";
  result.version = "0.1.0";
  result.fabric_id = std::string(32, '0');
  return result;
}

Error busy(uint32_t retry_after_ms) { return {Code::busy, "outbox: full", retry_after_ms}; }

wire::Publish publish(const std::string& key) {
  wire::Publish publish;
  publish.messages.resize(1);
  publish.messages[0].author = "alice";
  publish.messages[0].body = "hello";
  publish.messages[0].key = key;
  return publish;
}

}  // namespace

TEST_CASE("session: a packet is correlation, empty frame, verb, args and a single body") {
  Talk talk;
  const Ticket ticket = talk.session.submit(publish(""), at_ms(0));
  REQUIRE(talk.session.next_to_send() == ticket);
  const auto& packet = talk.session.packet(ticket);
  REQUIRE(packet.size() == 5);
  CHECK(packet[0] == std::string("\0\0\0\0\0\0\0\1", 8));
  CHECK(packet[1].empty());
  CHECK(packet[2] == "PUBLISH");
  CHECK(packet[4] == "hello");
}

TEST_CASE("session: answers come to their requests in any order") {
  Talk talk;
  const Ticket first = talk.session.submit(wire::Ping{}, at_ms(0)), second = talk.session.submit(wire::Ping{}, at_ms(0));
  CHECK(talk.send_all() == std::vector<Ticket>{first, second});
  talk.answer(second, pong(), at_ms(1));
  talk.answer(first, Error{Code::unavailable, "starting", 0}, at_ms(2));
  auto done = talk.session.take(first);
  REQUIRE(done);
  CHECK(done->outcome == Outcome::answered);
  CHECK(std::get<Error>(done->reply).code == Code::unavailable);
  done = talk.session.take();
  REQUIRE(done);
  CHECK(done->ticket == second);
  CHECK(std::get<wire::PingResult>(done->reply).node == "n1");
  CHECK(talk.session.pending() == 0);
}

TEST_CASE("session: a request without an answer ends at its time-out, and the late answer is dropped") {
  Talk talk;
  const Ticket ticket = talk.session.submit(wire::Ping{}, at_ms(0));
  talk.send_all();
  CHECK(talk.session.next_time() == at_ms(10'000));
  talk.session.on_time(at_ms(9'999));
  CHECK_FALSE(talk.session.take());
  talk.session.on_time(at_ms(10'000));
  const auto done = talk.session.take();
  REQUIRE(done);
  CHECK(done->outcome == Outcome::no_answer);
  talk.answer(ticket, pong(), at_ms(10'001));
  CHECK_FALSE(talk.session.take());
  CHECK(talk.session.dropped() == 1);
  CHECK(talk.session.next_time() == Instant::never());
}

TEST_CASE("session: a request's own wait comes on top of the time-out") {
  Talk talk;
  wire::Read read;
  read.entities = {"bob"};
  read.after = Position(1);
  read.wait_ms = 30'000;
  talk.session.submit(read, at_ms(0));
  CHECK(talk.session.next_time() == at_ms(40'000));
}

TEST_CASE("session: an answer given twice counts once") {
  Talk talk;
  const Ticket ticket = talk.session.submit(wire::Ping{}, at_ms(0));
  talk.send_all();
  talk.answer(ticket, pong(), at_ms(1));
  talk.answer(ticket, pong(), at_ms(2));
  CHECK(talk.session.take());
  CHECK_FALSE(talk.session.take());
  CHECK(talk.session.dropped() == 1);
}

TEST_CASE("session: packets that are no answer are dropped") {
  Talk talk;
  talk.session.submit(wire::Ping{}, at_ms(0));
  talk.send_all();
  using Frames = std::vector<std::string_view>;
  for (const Frames& frames : {Frames{}, Frames{"x"}, Frames{"", "", "OK", ""}, Frames{"12345678", "no", "OK", ""},
                               Frames{"12345678", "", "OK", ""}, Frames{"12345678", "", "OK"}})
    talk.session.on_packet(frames, at_ms(1));
  CHECK(talk.session.dropped() == 6);
  CHECK(talk.session.pending() == 1);
}

TEST_CASE("session: an answer that does not fit its verb is unreadable and says how") {
  Talk talk;
  const Ticket ticket = talk.session.submit(wire::Status{}, at_ms(0));
  talk.send_all();
  std::string correlation;
  put_be64(correlation, ticket);
  talk.session.on_packet({correlation, "", "OK", "\xc1"}, at_ms(1));
  const auto done = talk.session.take();
  REQUIRE(done);
  CHECK(done->outcome == Outcome::unreadable);
  CHECK_FALSE(std::get<Error>(done->reply).message.empty());
}

TEST_CASE("session: BUSY rests for as long as the fabric asks, then asks again") {
  Talk talk;
  const Ticket ticket = talk.session.submit(wire::Ping{}, at_ms(0));
  talk.send_all();
  talk.answer(ticket, busy(300), at_ms(100));
  CHECK_FALSE(talk.session.take());
  CHECK_FALSE(talk.session.next_to_send());
  CHECK(talk.session.next_time() == at_ms(400));
  talk.session.on_time(at_ms(399));
  CHECK_FALSE(talk.session.next_to_send());
  talk.session.on_time(at_ms(400));
  CHECK(talk.send_all() == std::vector<Ticket>{ticket});
  talk.answer(ticket, pong(), at_ms(401));
  const auto done = talk.session.take();
  REQUIRE(done);
  CHECK(std::holds_alternative<wire::PingResult>(done->reply));
}

TEST_CASE("session: rests grow with each BUSY in a row, when the fabric names no time") {
  Talk talk;
  const Ticket ticket = talk.session.submit(wire::Ping{}, at_ms(0));
  Instant now = at_ms(0);
  std::vector<int64_t> rests;
  for (int i = 0; i < 9; ++i) {
    REQUIRE(talk.send_all() == std::vector<Ticket>{ticket});
    talk.answer(ticket, busy(0), now);
    if (talk.session.take()) break;
    rests.push_back((talk.session.next_time() - now).ms());
    now = talk.session.next_time();
    talk.session.on_time(now);
  }
  CHECK(rests == std::vector<int64_t>{25, 50, 100, 200, 400, 800, 1600, 2000, 2000});
}

TEST_CASE("session: BUSY is the answer when a rest would pass the time-out, or when it is not to be retried") {
  Talk patient, plain({Duration::of_s(10), Duration::of_s(2), 256, false});
  const Ticket ticket = patient.session.submit(wire::Ping{}, at_ms(0));
  patient.send_all();
  patient.answer(ticket, busy(10'000), at_ms(1));
  CHECK(patient.session.take());
  plain.send_all();
  const Ticket other = plain.session.submit(wire::Ping{}, at_ms(0));
  plain.send_all();
  plain.answer(other, busy(10), at_ms(1));
  const auto done = plain.session.take();
  REQUIRE(done);
  CHECK(std::get<Error>(done->reply).retry_after_ms == 10);
}

TEST_CASE("session: no more than in_flight_max are in flight; a resting request is not") {
  Talk talk({Duration::of_s(10), Duration::of_s(2), 2, true});
  for (int i = 0; i < 4; ++i) talk.session.submit(wire::Ping{}, at_ms(0));
  CHECK(talk.send_all() == std::vector<Ticket>{1, 2});
  talk.answer(1, busy(500), at_ms(1));
  CHECK(talk.send_all() == std::vector<Ticket>{3});
  talk.answer(2, pong(), at_ms(2));
  CHECK(talk.send_all() == std::vector<Ticket>{4});
  talk.session.on_time(at_ms(600));
  CHECK(talk.send_all().empty());
  talk.answer(3, pong(), at_ms(700));
  CHECK(talk.send_all() == std::vector<Ticket>{1});
}

TEST_CASE("session: without a connection a request is unreachable after connect_timeout") {
  Talk talk;
  talk.session.submit(wire::Ping{}, at_ms(0));
  talk.session.on_blocked(at_ms(5));
  CHECK(talk.session.next_time() == at_ms(2'005));
  talk.session.submit(wire::Ping{}, at_ms(1'000));
  talk.session.on_blocked(at_ms(1'000));
  talk.session.on_time(at_ms(2'005));
  const auto done = talk.session.take();
  REQUIRE(done);
  CHECK(done->outcome == Outcome::unreachable);
  CHECK_FALSE(talk.session.take());
  talk.session.on_time(at_ms(3'000));
  CHECK(talk.session.take());
}

TEST_CASE("session: a connection in time ends the blocking") {
  Talk talk;
  const Ticket ticket = talk.session.submit(wire::Ping{}, at_ms(0));
  talk.session.on_blocked(at_ms(0));
  talk.session.on_time(at_ms(1'999));
  CHECK(talk.send_all() == std::vector<Ticket>{ticket});
  talk.session.on_time(at_ms(5'000));
  CHECK_FALSE(talk.session.take());
}

TEST_CASE("session: what was sent once has no answer, even if no connection could take it again") {
  Talk talk;
  talk.session.submit(publish("k"), at_ms(0));
  talk.send_all();
  talk.session.on_disconnected(true, at_ms(0));
  talk.session.on_blocked(at_ms(100));
  talk.session.on_time(at_ms(2'100));
  const auto done = talk.session.take();
  REQUIRE(done);
  CHECK(done->outcome == Outcome::no_answer);
}

TEST_CASE("session: a lost connection repeats what is safe to repeat and ends what is not") {
  Talk talk;
  const Ticket read = talk.session.submit(wire::Ping{}, at_ms(0));
  const Ticket keyed = talk.session.submit(publish("k"), at_ms(0));
  const Ticket keyless = talk.session.submit(publish(""), at_ms(0));
  talk.send_all();
  SUBCASE("the only one") {
    talk.session.on_disconnected(true, at_ms(0));
    CHECK(talk.session.next_time() == at_ms(100));
    CHECK(talk.send_all().empty());
    talk.session.on_time(at_ms(100));
    const auto done = talk.session.take();
    REQUIRE(done);
    CHECK(done->ticket == keyless);
    CHECK(done->outcome == Outcome::no_answer);
    CHECK(talk.send_all() == std::vector<Ticket>{read, keyed});
  }
  SUBCASE("one of several: the publish may be at another node") {
    talk.session.on_disconnected(false, at_ms(0));
    talk.session.on_time(at_ms(100));
    CHECK(talk.send_all() == std::vector<Ticket>{read, keyed});
    talk.answer(keyless, wire::PublishResult{{wire::Published{MessageId(7), 1}}, false}, at_ms(5));
    const auto done = talk.session.take();
    REQUIRE(done);
    CHECK(done->ticket == keyless);
  }
}

TEST_CASE("session: time-outs of many requests leave nothing behind") {
  Talk talk({Duration::of_s(1), Duration::of_s(2), 10, true});
  for (int i = 0; i < 1000; ++i) talk.session.submit(wire::Ping{}, at_ms(i));
  talk.send_all();
  talk.session.on_time(at_ms(5'000));
  int ended = 0;
  while (talk.session.take()) ++ended;
  CHECK(ended == 1000);
  CHECK(talk.session.pending() == 0);
  CHECK(talk.session.next_time() == Instant::never());
  CHECK_FALSE(talk.session.next_to_send());
}

}  // namespace canopy
