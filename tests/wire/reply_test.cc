#include <doctest/doctest.h>

#include "samples.h"
#include "wire/reply_parts.h"

using namespace canopy;
using namespace canopy::wire;

TEST_CASE("wire: every reply is the same after a round trip in both encodings") {
  for (const Encoding encoding : {Encoding::msgpack, Encoding::json}) {
    for (const Reply& reply : sample_replies()) {
      const ReplyFrames frames = encode_reply(reply, encoding);
      CAPTURE(frames.result);
      const auto decoded = decode_reply(verb_of_reply(reply), frames.status, frames.result);
      REQUIRE_MESSAGE(decoded.has_value(), decoded.error().message);
      CHECK(decoded->index() == reply.index());
      const ReplyFrames again = encode_reply(*decoded, encoding);
      CHECK(again.status == frames.status);
      CHECK(again.result == frames.result);
    }
  }
}

TEST_CASE("wire: between nodes every reply keeps all that it holds") {
  std::vector<Reply> replies = sample_replies();
  for (Reply& reply : sample_moves()) replies.push_back(std::move(reply));
  for (const Reply& reply : replies) {
    const std::string bytes = encode_reply_between_nodes(reply);
    const auto decoded = decode_reply_between_nodes(verb_of_reply(reply), bytes);
    REQUIRE_MESSAGE(decoded.has_value(), decoded.error().message);
    CHECK(decoded->index() == reply.index());
    CHECK(encode_reply_between_nodes(*decoded) == bytes);
  }
  const Error busy{Code::busy, "full", 250};
  const Reply follow = FollowResult{{FollowState::pending, busy, FollowState::active}, true};
  const auto f = decode_reply_between_nodes("FOLLOW", encode_reply_between_nodes(follow));
  REQUIRE(f.has_value());
  const auto& states = std::get<FollowResult>(*f).states;
  REQUIRE(states.size() == 3);
  CHECK(std::get<FollowState>(states[0]) == FollowState::pending);
  CHECK(std::get<Error>(states[1]).code == Code::busy);
  CHECK(std::get<Error>(states[1]).message == "full");
  CHECK(std::get<Error>(states[1]).retry_after_ms == 250);
  CHECK(std::get<FollowState>(states[2]) == FollowState::active);

  const Reply unfollow = UnfollowResult{{false, busy, true, false}, true};
  const auto u = decode_reply_between_nodes("UNFOLLOW", encode_reply_between_nodes(unfollow));
  REQUIRE(u.has_value());
  const auto& removed = std::get<UnfollowResult>(*u).removed;
  REQUIRE(removed.size() == 4);
  CHECK_FALSE(std::get<bool>(removed[0]));
  CHECK(std::get<bool>(removed[2]));

  const Reply single = PublishResult{{busy}, false};  // stays a PUBLISH's, other than at a client
  const auto p = decode_reply_between_nodes("PUBLISH", encode_reply_between_nodes(single));
  REQUIRE(p.has_value());
  CHECK(std::get<Error>(std::get<PublishResult>(*p).results.at(0)).code == Code::busy);

  const Reply moved = Moved{Retract{"alice", MessageId(5)}};
  const auto m = decode_reply_between_nodes(verb_of_reply(moved), encode_reply_between_nodes(moved));
  REQUIRE(m.has_value());
  REQUIRE(std::holds_alternative<Retract>(std::get<Moved>(*m).again));
  CHECK(std::get<Retract>(std::get<Moved>(*m).again).author == "alice");

  ThreadResult thread{full_entry(77), full_entry(70), {full_entry(78), sample_entry(79, "\xff")}, Position(9)};
  thread.replies[1].position = Position(2, 99);
  const auto t = decode_reply_between_nodes("THREAD", encode_reply_between_nodes(thread));
  REQUIRE(t.has_value());
  const auto& read_thread = std::get<ThreadResult>(*t);
  CHECK(*read_thread.message.message == *thread.message.message);
  CHECK(*read_thread.parent.value().message == *thread.parent->message);
  REQUIRE(read_thread.replies.size() == 2);
  CHECK(*read_thread.replies[0].message == *thread.replies[0].message);
  CHECK(read_thread.replies[1].position == Position(2, 99));
  CHECK(read_thread.next == Position(9));

  TimelinePage page;
  page.unread = 0;
  const auto p1 = decode_reply_between_nodes("READ", encode_reply_between_nodes(ReadResult{{page, TimelinePage{}}, true}));
  REQUIRE(p1.has_value());
  const auto& pages = std::get<ReadResult>(*p1).pages;
  CHECK(std::get<TimelinePage>(pages.at(0)).unread == 0);
  CHECK_FALSE(std::get<TimelinePage>(pages.at(1)).unread.has_value());

  const Reply get = GetResult{sample_entry(9, "body")};
  const auto g = decode_reply_between_nodes("GET", encode_reply_between_nodes(get));
  REQUIRE(g.has_value());
  CHECK(*std::get<GetResult>(*g).entry.message == *std::get<GetResult>(get).entry.message);
}

TEST_CASE("wire: a client sees the results that the protocol's table promises") {
  const auto json = [](const Reply& reply) {
    const ReplyFrames frames = encode_reply(reply, Encoding::json);
    return frames.status + " " + frames.result;
  };
  const Error busy{Code::busy, "full", 250};
  const Entry plain{Position(7), sample_blob(5, "hi")}, bytes{Position(8), sample_blob(6, "\xff", "raw")};
  CHECK(json(busy) == R"(ERR {"code":"BUSY","message":"full","retry_after_ms":250})");
  CHECK(json(Error{Code::not_found, "no \"x\"", 0}) == R"(ERR {"code":"NOT_FOUND","message":"no \"x\""})");
  CHECK(json(PublishResult{{Published{MessageId(UINT64_MAX), 7}}, false}) == R"(OK {"id":"18446744073709551615","time":7})");
  CHECK(json(PublishResult{{busy}, false}) == R"(ERR {"code":"BUSY","message":"full","retry_after_ms":250})");
  CHECK(json(PublishResult{{Published{MessageId(1), 7}, busy}, true}) ==
        R"(OK {"results":[{"id":"1","time":7},{"code":"BUSY","message":"full","retry_after_ms":250}]})");
  CHECK(json(PublishResult{{}, true}) == R"(OK {"results":[]})");
  CHECK(json(FollowResult{{FollowState::active}, false}) == R"(OK {"state":"active"})");
  CHECK(json(FollowResult{{FollowState::active, busy, FollowState::pending, FollowState::active}, true}) ==
        R"(OK {"active":2,"pending":1,"failed":[[1,"BUSY"]]})");
  CHECK(json(UnfollowResult{{false}, false}) == R"(OK {"removed":false})");
  CHECK(json(UnfollowResult{{false, true, busy}, true}) == R"(OK {"removed":1,"failed":[[2,"BUSY"]]})");
  CHECK(json(ReadResult{{TimelinePage{{plain}, std::nullopt, std::nullopt, false, {}}}, false}) ==
        R"(OK {"entries":[{"position":7,"id":"5","author":"alice","time":1700000000000,"body":"hi"}],"next":null,"unread":null,"truncated":false,"incomplete":[]})");
  CHECK(json(ReadResult{{TimelinePage{{}, Position(3), 0, true, {"carol"}}, busy}, true}) ==
        R"(OK {"results":[{"entries":[],"next":3,"unread":0,"truncated":true,"incomplete":["carol"]},{"code":"BUSY","message":"full","retry_after_ms":250}]})");
  CHECK(json(GetResult{bytes}) == R"(OK {"position":8,"id":"6","author":"alice","time":1700000000000,"type":"raw","body_base64":"/w=="})");
  CHECK(json(GetResult{full_entry(7)}) ==
        R"(OK {"position":4398046511144,"id":"7","author":"alice","time":1700000000000,"type":"t","reply_to":"18446744073709551615","mentions":["bob","Ωmega"],"topics":["#news"],"body":"an answer"})");
  CHECK(json(ThreadResult{plain, std::nullopt, {bytes}, Position(8)}) ==
        R"(OK {"message":{"position":7,"id":"5","author":"alice","time":1700000000000,"body":"hi"},"parent":null,"replies":[{"position":8,"id":"6","author":"alice","time":1700000000000,"type":"raw","body_base64":"/w=="}],"next":8})");
  CHECK(json(ThreadResult{plain, plain, {}, std::nullopt}) ==
        R"(OK {"message":{"position":7,"id":"5","author":"alice","time":1700000000000,"body":"hi"},"parent":{"position":7,"id":"5","author":"alice","time":1700000000000,"body":"hi"},"replies":[],"next":null})");
  CHECK(json(RetractResult{}) == R"(OK {"retracted":true})");
  CHECK(json(DeleteResult{}) == R"(OK {"deleted":true})");
  CHECK(json(MarkResult{0}) == R"(OK {"unread":0})");
  CHECK(json(RetainResult{5, 0}) == R"(OK {"count":5,"age":null})");
  CHECK(json(RetainResult{0, 60}) == R"(OK {"count":null,"age":60})");
  CHECK(json(AliasResult{"alice", "al"}) == R"(OK {"entity":"alice","alias":"al"})");
  CHECK(json(ForwardingResult{FollowState::pending, false}) == R"(OK {"state":"pending"})");
  CHECK(json(ForwardingResult{FollowState::active, false}) == R"(OK {"state":"active"})");
  CHECK(json(ForwardingResult{FollowState::pending, true}) == R"(OK {"state":"off"})");
  CHECK(json(Moved{Get{MessageId(5)}}) == R"(ERR {"code":"INTERNAL","message":"the request names an alias that was not resolved"})");
  CHECK(json(NamesResult{{"bob"}, 5, 2}) == R"(OK {"names":["bob"],"next":5,"count":2})");
  CHECK(json(StatusResult{{{"node", {{"name", std::string("n1")}, {"x", uint64_t{5}}}}, {"store", {}}}}) ==
        R"(OK {"node":{"name":"n1","x":5},"store":{}})");
  CHECK(json(TreeResult{"a", 1, 1, {{"branch", std::nullopt, "n1", 1, 1, 1, 0}}}) ==
        R"(OK {"entity":"a","followers":1,"levels":1,"reflectors":[{"kind":"branch","bucket":null,"node":"n1","children":1,"followers":1,"level":1,"parent":0}]})");
  CHECK(json(Error{Code::internal, "\xff\x01", 0}) == "ERR {\"code\":\"INTERNAL\",\"message\":\"\xef\xbf\xbd\\u0001\"}");
  CHECK(json(GetResult{{Position(1), make_blob("rubbish")}}) == R"(ERR {"code":"INTERNAL","message":"a stored message is damaged"})");
}

TEST_CASE("wire: a batch of follows decodes to counts, with the errors where they were") {
  const auto f = decode_reply("FOLLOW", "OK", R"({"active": 1, "pending": 2, "failed": [[1, "BUSY"]]})");
  REQUIRE(f.has_value());
  const auto& r = std::get<FollowResult>(*f);
  CHECK(r.batch);
  REQUIRE(r.states.size() == 4);
  CHECK(std::get<FollowState>(r.states[0]) == FollowState::active);
  CHECK(std::get<Error>(r.states[1]).code == Code::busy);
  CHECK(std::get<FollowState>(r.states[2]) == FollowState::pending);
  CHECK(std::get<FollowState>(r.states[3]) == FollowState::pending);

  const auto u = decode_reply("UNFOLLOW", "OK", R"({"removed": 1, "failed": [[3, "BUSY"]]})");
  REQUIRE(u.has_value());
  const auto& removed = std::get<UnfollowResult>(*u).removed;
  REQUIRE(removed.size() == 4);
  CHECK(std::get<bool>(removed[0]));
  CHECK_FALSE(std::get<bool>(removed[1]));
  CHECK(std::holds_alternative<Error>(removed[3]));
}

TEST_CASE("wire: a reply that does not fit its request is an internal error") {
  struct Case {
    const char *verb, *status, *result, *said;
  };
  const Case cases[] = {
      {"PING", "YES", "{}", "reply's status is neither OK nor ERR"},
      {"PING", "OK", "", "reply does not fit: result ends in the middle of a value"},
      {"PING", "OK", "\x05", "reply does not fit: result is a number: it must be a map"},
      {"PING", "OK", "{}", "reply does not fit: node is missing: PING needs text"},
      {"PING", "ERR", "{}", "reply does not fit: code is missing: PING needs text"},
      {"NOPE", "OK", "{}", "reply does not fit: no reply to NOPE is known"},
      {"FOLLOW", "OK", R"({"state": "x"})", "reply does not fit: state is wrong: it must be active or pending"},
      {"FOLLOW", "OK", R"({"active": 1, "pending": 0, "failed": [[10000, "BUSY"]]})", "reply does not fit: failed[0] is wrong: it must be [index, code], ascending"},
      {"FOLLOW", "OK", R"({"active": 10001, "pending": 0, "failed": []})", "reply does not fit: active is 10001: it must be 0 to 10000"},
      {"GET", "OK", R"({"position": 1, "id": "2", "author": "a", "time": 3})", "reply does not fit: body is missing"},
      {"RETRACT", "OK", R"({"retracted": false})", "reply does not fit: retracted is false: it must be true"},
      {"DELETE", "OK", "{}", "reply does not fit: deleted is missing: DELETE needs true or false"},
      {"MARK", "OK", R"({"unread": null})", "reply does not fit: unread is missing: MARK needs a number"},
      {"RETAIN", "OK", R"({"count": "5"})", "reply does not fit: count is text: it must be a whole number from 0"},
      {"ALIAS", "OK", R"({"entity": "a", "alias": ""})", "reply does not fit: alias is empty: a name has 1 to 200 bytes"},
      {"FORWARD", "OK", R"({"state": "on"})", "reply does not fit: state is wrong: it must be active, pending or off"},
      {"THREAD", "OK", "{}", "reply does not fit: message is missing: THREAD needs an entry"},
      {"THREAD", "OK", R"({"message": 5})", "reply does not fit: message is a number: it must be a map"},
      {"THREAD", "OK", R"({"message": {"position": 1, "id": "2", "author": "a", "time": 3}})", "reply does not fit: message.body is missing"},
      {"X.MOVED", "OK", "{}", "reply does not fit: no reply to X.MOVED is known"},
      {"X.LEAVES", "OK", R"({"buckets": [2, 1]})", "reply does not fit: buckets is wrong: it must hold buckets, ascending"},
  };
  for (const Case& c : cases) {
    const auto reply = decode_reply(c.verb, c.status, c.result);
    REQUIRE_FALSE(reply.has_value());
    CHECK(reply.error().code == Code::internal);
    CHECK(reply.error().message == c.said);
  }
  const auto newer = decode_reply("NOPE", "ERR", R"({"code": "LATER", "message": "m", "more": [1]})");
  REQUIRE(newer.has_value());
  CHECK(std::get<Error>(*newer).code == Code::internal);
  CHECK(std::get<Error>(*newer).message == "m");
}

TEST_CASE("wire: a feed's topic is complete or no topic") {
  Timeline timeline = Timeline::sent;
  std::string entity;
  CHECK(parse_feed_topic(feed_topic(Timeline::home, "alice"), timeline, entity));
  CHECK(timeline == Timeline::home);
  CHECK(entity == "alice");
  CHECK(parse_feed_topic(feed_topic(Timeline::sent, "a/b"), timeline, entity));
  CHECK(timeline == Timeline::sent);
  CHECK(entity == "a/b");
  for (const Timeline each : {Timeline::mentions, Timeline::replies, Timeline::topic}) {
    CHECK(parse_feed_topic(feed_topic(each, "#news"), timeline, entity));
    CHECK(timeline == each);
    CHECK(entity == "#news");
  }
  using namespace std::string_view_literals;
  for (const std::string_view bad : {""sv, "home"sv, "home/"sv, "home/\0"sv, "home/alice"sv, "home/alice\0\0"sv, "home/a\0b\0"sv, "other/alice\0"sv, "/alice\0"sv, "home\0"sv, "home/\xff\0"sv})
    CHECK_FALSE(parse_feed_topic(bad, timeline, entity));
}

TEST_CASE("wire: a feed's message is a topic, a head without the body, and the body") {
  const FeedFrames frames = encode_feed_entry(Timeline::home, "bob", {Position(7), sample_blob(5, "hi", "t")}, Position(6));
  CHECK(frames.topic == std::string("home/bob\0", 9));
  CHECK(frames.body == "hi");
  CHECK(frames.head == std::string("\x86\xa8position\x07\xa2id\x05\xa6" "author\xa5" "alice\xa4time\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x00\xa4type\xa1t\xa4prev\x06", 55));
  const FeedFrames full = encode_feed_entry(Timeline::topic, "#news", full_entry(5), Position(6));
  CHECK(full.topic == std::string("topic/#news\0", 12));
  CHECK(full.head.front() == '\x89');  // position, id, author, time, type, reply_to, mentions, topics, prev
  CHECK(full.head.find(std::string("\xa8reply_to\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa8mentions\x92\xa3" "bob")) != std::string::npos);
  CHECK(full.head.find("\xa6topics\x91\xa5#news") != std::string::npos);
  CHECK(full.head.find("carol") == std::string::npos);
  const FeedFrames retraction = encode_feed_retraction(Timeline::mentions, "bob", MessageId(5));
  CHECK(retraction.topic == std::string("mentions/bob\0", 13));
  CHECK(retraction.head == "\x81\xa9retracted\x05");
  CHECK(retraction.body.empty());
  const FeedFrames beat = encode_feed_beat(Timeline::sent, "bob", Position(9));
  CHECK(beat.topic == std::string("sent/bob\0", 9));
  CHECK(beat.head == "\x82\xa8position\x09\xa4" "beat\xc3");
  CHECK(beat.body.empty());
}
