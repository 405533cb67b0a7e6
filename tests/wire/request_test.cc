#include <doctest/doctest.h>

#include "base/limits.h"
#include "samples.h"
#include "wire/text.h"
#include "wire/value.h"

using namespace canopy;
using namespace canopy::wire;

namespace {

Result<Request> decode(std::vector<std::string_view> frames) { return decode_request(frames, {}); }

std::string said(const Result<Request>& request) {
  if (request) return "OK";
  return std::string(code_name(request.error().code)) + ": " + request.error().message;
}

const std::string name200(200, 'n'), name201(201, 'n');

}  // namespace

TEST_CASE("wire: every request is the same after a round trip in both encodings") {
  for (const Encoding encoding : {Encoding::msgpack, Encoding::json}) {
    for (const Request& request : sample_requests()) {
      const RequestFrames frames = encode_request(request, encoding);
      CAPTURE(frames.verb);
      CAPTURE(frames.args);
      CHECK(encoding_of(frames.args) == encoding);
      const auto decoded = decode_request(views(frames), {.between_nodes = true});
      REQUIRE_MESSAGE(decoded.has_value(), said(decoded));
      CHECK(decoded->index() == request.index());
      const RequestFrames again = encode_request(*decoded, encoding);
      CHECK(again.args == frames.args);
      CHECK(again.body == frames.body);
    }
  }
}

TEST_CASE("wire: both encodings of a request give the same request") {
  for (const Request& request : sample_requests()) {
    const auto decoded = decode_request(views(encode_request(request, Encoding::json)), {.between_nodes = true});
    REQUIRE(decoded.has_value());
    CHECK(encode_request(*decoded, Encoding::msgpack).args == encode_request(request, Encoding::msgpack).args);
  }
}

TEST_CASE("wire: a request's fields and their defaults arrive") {
  auto r = decode({"READ", R"({"entity": "bob", "after": 0, "wait_ms": 1000})"});
  REQUIRE(r.has_value());
  const Read& read = std::get<Read>(*r);
  CHECK(read.entities == std::vector<std::string>{"bob"});
  CHECK_FALSE(read.batch);
  CHECK(read.limit == 50);
  CHECK(read.timeline == Timeline::home);
  REQUIRE(read.after.has_value());
  CHECK(read.after->zero());
  CHECK_FALSE(read.before.has_value());
  CHECK(read.wait_ms == 1000);

  r = decode({"FOLLOW", "  \n{\"follower\": \"bob\", \"author\": \"alice\"}"});
  REQUIRE(r.has_value());
  CHECK(std::get<Follow>(*r).wait_ms == 1000);
  CHECK(std::get<Follow>(*r).pairs.at(0).follower == "bob");

  r = decode({"PUBLISH", R"({"author": "alice"})", "hello"});
  REQUIRE(r.has_value());
  CHECK(std::get<Publish>(*r).messages.at(0).body == "hello");
  CHECK(std::get<Publish>(*r).messages.at(0).author == "alice");
}

TEST_CASE("wire: names of a message are taken once each, in their order, and topics with their '#'") {
  const auto r = decode({"PUBLISH", R"({"author": "a", "reply_to": "7", "mentions": ["c", "b", "c"], "topics": ["x", "#y", "#x", "##"], "to": ["b", "b"]})", "hi"});
  REQUIRE_MESSAGE(r.has_value(), said(r));
  const Message& m = std::get<Publish>(*r).messages.at(0);
  CHECK(m.reply_to == MessageId(7));
  CHECK(m.mentions == std::vector<std::string>{"c", "b"});
  CHECK(m.topics == std::vector<std::string>{"#x", "#y", "##"});
  CHECK(m.to == std::vector<std::string>{"b"});
  const auto inside = decode({"PUBLISH", R"({"messages": [{"author": "a", "body": "", "topics": ["x", "#x"]}]})"});
  REQUIRE_MESSAGE(inside.has_value(), said(inside));
  CHECK(std::get<Publish>(*inside).messages.at(0).topics == std::vector<std::string>{"#x"});
  const std::string widest = R"({"author": "a", "topics": [")" + name200.substr(1) + "\"]}";
  CHECK(said(decode({"PUBLISH", widest, ""})) == "OK");
}

TEST_CASE("wire: the fields of the message graph's requests and their defaults arrive") {
  auto r = decode({"MARK", R"({"entity": "bob", "position": 5})"});
  REQUIRE(r.has_value());
  CHECK(std::get<Mark>(*r).timeline == Timeline::home);
  CHECK(std::get<Mark>(*r).position == Position(5));
  CHECK(std::get<Mark>(*r).consumer.empty());

  r = decode({"THREAD", R"({"id": "5"})"});
  REQUIRE(r.has_value());
  CHECK(std::get<Thread>(*r).id == MessageId(5));
  CHECK(std::get<Thread>(*r).limit == 50);
  CHECK(std::get<Thread>(*r).after.zero());

  r = decode({"READ", R"({"entity": "bob", "timeline": "replies", "consumer": "mailer", "wait_ms": 5})"});
  REQUIRE_MESSAGE(r.has_value(), said(r));
  CHECK(std::get<Read>(*r).timeline == Timeline::replies);
  CHECK(std::get<Read>(*r).consumer == "mailer");

  r = decode({"FORWARD", R"({"from": "a", "to": "b"})"});
  REQUIRE(r.has_value());
  CHECK_FALSE(std::get<Forwarding>(*r).off);

  struct Case {
    std::string fields;
    std::optional<uint64_t> count, age_s;
  };
  const Case cases[] = {
      {"", {}, {}},
      {R"(, "count": 0)", 0, {}},
      {R"(, "count": 9007199254740991, "age": null)", (uint64_t{1} << 53) - 1, {}},
      {R"(, "age": "365d")", {}, 365 * 86'400},
      {R"(, "age": "12h")", {}, 43'200},
      {R"(, "age": "2m")", {}, 120},
      {R"(, "age": "30s")", {}, 30},
      {R"(, "age": "3000ms")", {}, 3},
      {R"(, "age": 3162240000, "count": 1)", 1, 3'162'240'000},
      {R"(, "age": 0)", {}, 0},
  };
  for (const Case& c : cases) {
    r = decode({"RETAIN", R"({"entity": "a", "timeline": "topic")" + c.fields + "}"});
    REQUIRE_MESSAGE(r.has_value(), said(r));
    CHECK(std::get<Retain>(*r).timeline == Timeline::topic);
    CHECK(std::get<Retain>(*r).count == c.count);
    CHECK(std::get<Retain>(*r).age_s == c.age_s);
  }
}

TEST_CASE("wire: what may be given in more than one way is taken in each") {
  const std::vector<std::vector<std::string_view>> taken{
      {"PING"},
      {"PING", ""},
      {"PING", "{}"},
      {"PING", "\x80"},
      {"GET", R"({"id": "18446744073709551615"})"},
      {"GET", R"({"id": 18446744073709551615})"},
      {"GET", std::string_view("\x81\xa2id\x05", 5)},
      {"GET", std::string_view("\x81\xa2id\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 13)},  // a signed 5
      {"PUBLISH", R"({"author": "a", "body": "b", "mentions": [], "topics": [], "to": [], "reply_to": null})"},
      {"PUBLISH", R"({"author": "a", "body_base64": "/w=="})"},
      {"PUBLISH", R"({"author": "a", "type": ""})", ""},
      {"FOLLOW", R"({"follower": "a", "author": "b", "backfill": 0})"},
      {"READ", R"({"entity": "a", "before": null, "consumer": null})"},
      {"READ", R"({"entity": "a", "wait_ms": 0})"},
      {"READ", R"({"entities": []})"},
      {"TREE", R"({"entity": "a", "fanout": 2})"},
  };
  for (const auto& frames : taken) {
    CAPTURE(frames[0]);
    CHECK(said(decode(frames)) == "OK");
  }
  const auto r = decode(taken[9]);
  REQUIRE(r.has_value());
  CHECK(std::get<Publish>(*r).messages.at(0).body == "\xff");
}

TEST_CASE("wire: a bad request names the field and what would be right") {
  struct Case {
    std::vector<std::string_view> frames;
    std::string said;
  };
  const std::string long_name = R"({"entity": ")" + name201 + "\"}";
  const std::string known_verbs = "PING, PUBLISH, FOLLOW, UNFOLLOW, READ, GET, FOLLOWERS, FOLLOWING, LOOKUP, MAP, TREE, STATUS, "
                                  "THREAD, RETRACT, DELETE, MARK, RETAIN, ALIAS, FORWARD";
  const std::string long_topic = R"({"author": "a", "topics": [")" + name200 + "\"]}";  // 201 with its '#'
  const std::string age = "a duration in whole seconds such as \"365d\" (s, m, h, d) or a number of seconds, at most 3162240000";
  const std::vector<Case> cases{
      {{}, "BAD_REQUEST: request has no frames: it must be verb [args [body]]"},
      {{"HELLO"}, "UNKNOWN_VERB: unknown verb 'HELLO': known are " + known_verbs},
      {{std::string_view("pi\nng\0\xff", 7)}, "UNKNOWN_VERB: unknown verb 'pi\\x0ang\\x00\\xff': known are " + known_verbs},
      {{"X.LEAVES", R"({"entity": "a"})"}, "UNKNOWN_VERB: unknown verb 'X.LEAVES': known are " + known_verbs},
      {{"TRACE"}, "UNKNOWN_VERB: TRACE is not supported yet"},
      {{"NODE.DRAIN"}, "UNKNOWN_VERB: NODE.DRAIN is not supported yet"},
      {{"SUBSCRIBE", "{}", "x", "y"}, "UNKNOWN_VERB: SUBSCRIBE is not supported yet"},
      {{"PING", "", "", ""}, "BAD_REQUEST: request has 4 frames: it must be verb [args [body]]"},
      {{"PING", "", ""}, "BAD_REQUEST: body is given as a third frame: PING takes none"},
      {{"PING", "[]"}, "BAD_REQUEST: args goes on after its value: 1 bytes too many"},
      {{"PING", "\x90"}, "BAD_REQUEST: args is a list: it must be a msgpack map or a JSON object"},
      {{"PING", "\x05"}, "BAD_REQUEST: args is a number: it must be a msgpack map or a JSON object"},
      {{"PING", "{} x"}, "BAD_REQUEST: args is not JSON: parse error at line 1, column 4: syntax error while parsing value - invalid literal; last read: '{} x'; expected end of input"},
      {{"PING", R"({"x": 1})"}, "BAD_REQUEST: unknown field 'x' in PING: it takes none"},
      {{"FOLLOW", R"({"folower": "a", "author": "b"})"},
       "BAD_REQUEST: unknown field 'folower' in FOLLOW: known are follower, author, pairs, wait_ms, backfill"},
      {{"FOLLOW", R"({"author": "b"})"}, "BAD_REQUEST: follower is missing: FOLLOW needs a name"},
      {{"FOLLOW", R"({"follower": 5, "author": "b"})"}, "BAD_REQUEST: follower is a number: it must be a name"},
      {{"FOLLOW", R"({"follower": "", "author": "b"})"}, "BAD_REQUEST: follower is empty: a name has 1 to 200 bytes"},
      {{"FOLLOW", R"({"follower": "a\u0000", "author": "b"})"}, "BAD_REQUEST: follower has a control character: a name must have none"},
      {{"FOLLOW", R"({"follower": "a", "author": "b", "backfill": 1001})"}, "BAD_REQUEST: backfill is 1001: it must be 0 to 1000"},
      {{"FOLLOW", R"({"follower": "a", "author": "b", "wait_ms": 60001})"}, "BAD_REQUEST: wait_ms is 60001: it must be 0 to 60000"},
      {{"FOLLOW", R"({"follower": "a", "author": "b", "wait_ms": -1})"}, "BAD_REQUEST: wait_ms is a negative number: it must be 0 to 60000"},
      {{"FOLLOW", R"({"follower": "a", "pairs": []})"}, "BAD_REQUEST: follower is given beside pairs: it must be one or the other"},
      {{"FOLLOW", R"({"pairs": "x"})"}, "BAD_REQUEST: pairs is text: it must be a list of at most 10000"},
      {{"FOLLOW", R"({"pairs": [["a", "b"], ["a"]]})"}, "BAD_REQUEST: pairs[1] has 1 items: it must be [follower, author]"},
      {{"UNFOLLOW", R"({"pairs": [{}]})"}, "BAD_REQUEST: pairs[0] is a map: it must be [follower, author]"},
      {{"UNFOLLOW", R"({"pairs": [["a", ""]]})"}, "BAD_REQUEST: pairs[0][1] is empty: a name has 1 to 200 bytes"},
      {{"UNFOLLOW", R"({"pairs": [["a", null]]})"}, "BAD_REQUEST: pairs[0][1] is null: it must be a name"},
      {{"READ", "{}"}, "BAD_REQUEST: entity is missing: READ needs a name"},
      {{"READ", long_name}, "BAD_REQUEST: entity has 201 bytes: a name has 1 to 200"},
      {{"READ", R"({"entity": "a", "entities": ["b"]})"}, "BAD_REQUEST: entity is given beside entities: it must be one or the other"},
      {{"READ", R"({"entities": ["b", 7]})"}, "BAD_REQUEST: entities[1] is a number: it must be a name"},
      {{"READ", R"({"entity": "a", "limit": 5000})"}, "BAD_REQUEST: limit is 5000: it must be 1 to 1000"},
      {{"READ", R"({"entity": "a", "limit": 0})"}, "BAD_REQUEST: limit is 0: it must be 1 to 1000"},
      {{"READ", R"({"entity": "a", "limit": "5"})"}, "BAD_REQUEST: limit is text: it must be 1 to 1000"},
      {{"READ", R"({"entity": "a", "limit": 5.5})"}, "BAD_REQUEST: limit is a fraction: it must be 1 to 1000"},
      {{"READ", R"({"entity": "a", "after": 9007199254740992})"}, "BAD_REQUEST: after is 9007199254740992: it must be 0 to 9007199254740991"},
      {{"READ", R"({"entity": "a", "after": 1, "before": 2})"}, "BAD_REQUEST: before is given beside after: it must be one or the other"},
      {{"READ", R"({"entity": "a", "wait_ms": 2})"}, "BAD_REQUEST: wait_ms is given without after: it must come with after or consumer"},
      {{"READ", R"({"entity": "a", "timeline": "hme"})"}, "BAD_REQUEST: timeline is 'hme': it must be home, sent, mentions, replies or topic"},
      {{"READ", R"({"entity": "a", "consumer": ""})"}, "BAD_REQUEST: consumer is empty: a name has 1 to 200 bytes"},
      {{"READ", R"({"entity": "a", "consumer": "c", "after": 1})"}, "BAD_REQUEST: consumer is given beside after: it must be one or the other"},
      {{"READ", R"({"entity": "a", "consumer": "c", "before": 1})"}, "BAD_REQUEST: consumer is given beside before: it must be one or the other"},
      {{"READ", R"({"entity": "a", "stale_ok": 1})"}, "BAD_REQUEST: stale_ok is a number: it must be true or false"},
      {{"READ", R"({"entity": "a", "entity": "b"})"}, "BAD_REQUEST: args has the field 'entity' twice"},
      {{"GET", "{}"}, "BAD_REQUEST: id is missing: GET needs a message id"},
      {{"GET", R"({"id": "12x"})"}, "BAD_REQUEST: id is '12x': it must be a message id, decimal digits of 64 bits"},
      {{"GET", R"({"id": "18446744073709551616"})"},
       "BAD_REQUEST: id is '18446744073709551616': it must be a message id, decimal digits of 64 bits"},
      {{"GET", R"({"id": 1e3})"}, "BAD_REQUEST: id is a fraction: it must be a message id, text of decimal digits"},
      {{"GET", std::string_view("\x81\xa2id\xa1\x35", 6)}, "BAD_REQUEST: id is text: it must be a message id, a whole number of 64 bits"},
      {{"TREE", R"({"entity": "a", "fanout": 1})"}, "BAD_REQUEST: fanout is 1: it must be 0 (as it is) or 2 to 1000000"},
      {{"PUBLISH", R"({"author": "a"})"}, "BAD_REQUEST: body is missing: it must stand in the third frame or in the field body"},
      {{"PUBLISH", "", "x"}, "BAD_REQUEST: author is missing: PUBLISH needs a name"},
      {{"PUBLISH", R"({"author": "a", "body": "x"})", "y"}, "BAD_REQUEST: body is given twice: as a frame and as a field"},
      {{"PUBLISH", R"({"author": "a", "body": "x", "body_base64": "eA=="})"}, "BAD_REQUEST: body is given twice: as body and as body_base64"},
      {{"PUBLISH", R"({"author": "a", "body_base64": "eA="})"}, "BAD_REQUEST: body_base64 is not base64"},
      {{"PUBLISH", R"({"author": "a", "body": {}})"}, "BAD_REQUEST: body is a map: it must be text (or body_base64)"},
      {{"PUBLISH", R"({"author": "a", "key": ""})", "x"}, "BAD_REQUEST: key has 0 bytes: it must have 1 to 200 bytes"},
      {{"PUBLISH", R"({"author": "a", "type": "a\u0085b"})", "x"}, "BAD_REQUEST: type has a control character: it must have none"},
      {{"PUBLISH", R"({"author": "a", "reply_to": "0"})", "x"}, "BAD_REQUEST: reply_to is 0: it must be the id of a message"},
      {{"PUBLISH", R"({"author": "a", "reply_to": "x"})", "x"}, "BAD_REQUEST: reply_to is 'x': it must be a message id, decimal digits of 64 bits"},
      {{"PUBLISH", R"({"author": "a", "mentions": "b"})", "x"}, "BAD_REQUEST: mentions is text: it must be a list of at most 64"},
      {{"PUBLISH", R"({"author": "a", "mentions": ["b", ""]})", "x"}, "BAD_REQUEST: mentions[1] is empty: a name has 1 to 200 bytes"},
      {{"PUBLISH", R"({"author": "a", "topics": ["b", 5]})", "x"}, "BAD_REQUEST: topics[1] is a number: it must be a name"},
      {{"PUBLISH", R"({"author": "a", "topics": [""]})", "x"}, "BAD_REQUEST: topics[0] is empty: a name has 1 to 200 bytes"},
      {{"PUBLISH", long_topic, "x"}, "BAD_REQUEST: topics[0] has 201 bytes: a name has 1 to 200"},
      {{"PUBLISH", R"({"author": "a", "to": {}})", "x"}, "BAD_REQUEST: to is a map: it must be a list of at most 64"},
      {{"PUBLISH", R"({"messages": [{"author": "a", "body": "x", "to": ["a\u0000"]}]})"},
       "BAD_REQUEST: messages[0].to[0] has a control character: a name must have none"},
      {{"PUBLISH", R"({"messages": [{"author": "a", "body": "x", "reply_to": "0"}]})"},
       "BAD_REQUEST: messages[0].reply_to is 0: it must be the id of a message"},
      {{"PUBLISH", R"({"messages": [], "to": ["b"]})"}, "BAD_REQUEST: to is given beside messages: it must stand inside them"},
      {{"THREAD"}, "BAD_REQUEST: id is missing: THREAD needs a message id"},
      {{"THREAD", R"({"id": "5", "limit": 1001})"}, "BAD_REQUEST: limit is 1001: it must be 1 to 1000"},
      {{"THREAD", R"({"id": "5", "before": 1})"}, "BAD_REQUEST: unknown field 'before' in THREAD: known are id, limit, after"},
      {{"RETRACT", R"({"id": "5"})"}, "BAD_REQUEST: author is missing: RETRACT needs a name"},
      {{"RETRACT", R"({"author": "a"})"}, "BAD_REQUEST: id is missing: RETRACT needs a message id"},
      {{"DELETE"}, "BAD_REQUEST: entity is missing: DELETE needs a name"},
      {{"MARK", R"({"entity": "a"})"}, "BAD_REQUEST: position is missing: MARK needs a number"},
      {{"MARK", R"({"entity": "a", "position": 9007199254740992})"}, "BAD_REQUEST: position is 9007199254740992: it must be 0 to 9007199254740991"},
      {{"MARK", R"({"entity": "a", "position": 1, "timeline": "x"})"}, "BAD_REQUEST: timeline is 'x': it must be home, sent, mentions, replies or topic"},
      {{"MARK", R"({"entity": "a", "position": 1, "consumer": ""})"}, "BAD_REQUEST: consumer is empty: a name has 1 to 200 bytes"},
      {{"RETAIN", R"({"entity": "a"})"}, "BAD_REQUEST: timeline is missing: RETAIN needs a timeline"},
      {{"RETAIN", R"({"entity": "a", "timeline": "home"})"},
       "BAD_REQUEST: timeline is home, which timeline.capacity bounds: it must be sent, mentions, replies or topic"},
      {{"RETAIN", R"({"entity": "a", "timeline": "sent", "count": "5"})"}, "BAD_REQUEST: count is text: it must be 0 to 9007199254740991"},
      {{"RETAIN", R"({"entity": "a", "timeline": "sent", "age": "soon"})"}, "BAD_REQUEST: age is 'soon': it must be " + age},
      {{"RETAIN", R"({"entity": "a", "timeline": "sent", "age": "1500ms"})"}, "BAD_REQUEST: age is '1500ms': it must be " + age},
      {{"RETAIN", R"({"entity": "a", "timeline": "sent", "age": 3162240001})"}, "BAD_REQUEST: age is 3162240001: it must be " + age},
      {{"RETAIN", R"({"entity": "a", "timeline": "sent", "age": []})"}, "BAD_REQUEST: age is a list: it must be " + age},
      {{"ALIAS", R"({"entity": "a"})"}, "BAD_REQUEST: alias is missing: ALIAS needs a name"},
      {{"ALIAS", R"({"entity": "a", "alias": "a"})"}, "BAD_REQUEST: alias is the entity itself: it must be another name"},
      {{"FORWARD", R"({"from": "a"})"}, "BAD_REQUEST: to is missing: FORWARD needs a name"},
      {{"FORWARD", R"({"from": "a", "to": "a"})"}, "BAD_REQUEST: to is the same as from: it must be another entity"},
      {{"FORWARD", R"({"from": "a", "to": "b", "off": 1})"}, "BAD_REQUEST: off is a number: it must be true or false"},
      {{"PUBLISH", R"({"author": "a", "messages": []})"}, "BAD_REQUEST: author is given beside messages: it must stand inside them"},
      {{"PUBLISH", R"({"messages": []})", "x"}, "BAD_REQUEST: body is given as a frame beside messages: it must stand inside them"},
      {{"PUBLISH", R"({"messages": [{"author": "a", "body": "x"}, {"author": "a"}]})"},
       "BAD_REQUEST: messages[1].body is missing: each of messages needs one"},
      {{"PUBLISH", R"({"messages": [{"author": "a", "body": "x", "too": []}]})"},
       "BAD_REQUEST: unknown field 'messages[0].too' in PUBLISH: known are author, body, body_base64, type, key, reply_to, mentions, topics, to"},
      {{"PUBLISH", R"({"messages": [5]})"}, "BAD_REQUEST: messages[0] is a number: it must be a map of author, body and what else PUBLISH takes"},
  };
  for (const Case& c : cases) CHECK(said(decode(c.frames)) == c.said);
}

TEST_CASE("wire: what is too large or too many is refused with its bound") {
  const std::string body(11, 'b');
  RequestLimits limits;
  limits.body_max = 10;
  CHECK(said(decode_request({"PUBLISH", R"({"author": "a"})", body}, limits)) == "TOO_LARGE: body has 11 bytes: it must have at most 10");
  const std::string field = R"({"author": "a", "body": "bbbbbbbbbbb"})";
  CHECK(said(decode_request({"PUBLISH", field}, limits)) == "TOO_LARGE: body has 11 bytes: it must have at most 10");
  const std::string inside = R"({"messages": [{"author": "a", "body": "bbbbbbbbbbb"}]})";
  CHECK(said(decode_request({"PUBLISH", inside}, limits)) == "TOO_LARGE: messages[0].body has 11 bytes: it must have at most 10");

  Follow follow{{}, true, 0};
  follow.pairs.assign(limits::pairs_max, {"a", "b"});
  CHECK(decode(views(encode_request(follow, Encoding::msgpack))).has_value());
  follow.pairs.push_back({"a", "b"});
  CHECK(said(decode(views(encode_request(follow, Encoding::json)))) == "TOO_LARGE: pairs has 10001 items: it must be a list of at most 10000");

  Publish publish{{}, true};
  publish.messages.assign(limits::batch_messages_max, {"a", "", std::string(8000, 'x'), ""});  // more than plain args may have
  CHECK(said(decode(views(encode_request(publish, Encoding::msgpack)))) == "OK");
  CHECK(said(decode(views(encode_request(publish, Encoding::json)))) == "OK");
  publish.messages.push_back({"a", "", "", ""});
  CHECK(said(decode(views(encode_request(publish, Encoding::json)))) == "TOO_LARGE: messages has 1001 items: it must be a list of at most 1000");

  Read read;
  read.batch = true;
  read.entities.assign(limits::batch_entities_max + 1, "a");
  CHECK(said(decode(views(encode_request(read, Encoding::json)))) == "TOO_LARGE: entities has 1001 items: it must be a list of at most 1000");

  for (const std::string_view list_field : {"mentions", "topics", "to"}) {
    const auto args = [&](size_t names) {
      std::string list;
      for (size_t i = 0; i < names; ++i) list += i == 0 ? "\"a\"" : ", \"a\"";
      return R"({"author": "a", ")" + std::string(list_field) + "\": [" + list + "]}";
    };
    CHECK(said(decode({"PUBLISH", args(limits::mentions_max), "x"})) == "OK");
    CHECK(said(decode({"PUBLISH", args(limits::mentions_max + 1), "x"})) ==
          "TOO_LARGE: " + std::string(list_field) + " has 65 items: it must be a list of at most 64");
  }

  const std::string padded = "{" + std::string(limits::args_bytes_max, ' ') + "}";
  CHECK(said(decode({"PING", padded})) == "TOO_LARGE: args has 4194306 bytes: it must be at most 4194304");
  CHECK(said(decode({"PUBLISH", padded, "x"})) ==
        "TOO_LARGE: args have 4194306 bytes: they must have at most 4194304; a large body goes into the third frame");
  CHECK(decode({"READ", R"({"entity": ")" + name200 + "\"}"}).has_value());
}

TEST_CASE("wire: an ingest packet is one message") {
  const auto ingest = [](const std::vector<std::string_view>& frames) {
    const auto p = decode_ingest(frames, {});
    if (!p) return std::string(code_name(p.error().code)) + ": " + p.error().message;
    REQUIRE(p->messages.size() == 1);
    const Message& m = p->messages.front();
    return m.author + "|" + m.type + "|" + m.key + "|" + m.body;
  };
  CHECK(ingest({"alice", "hello"}) == "alice|||hello");
  CHECK(ingest({"alice", "", "hello"}) == "alice|||hello");
  CHECK(ingest({"alice", R"({"type": "t", "key": "k", "author": "alice"})", "hello"}) == "alice|t|k|hello");
  CHECK(ingest({"alice"}) == "BAD_REQUEST: ingest packet has 1 frames: it must be author body, or author args body");
  CHECK(ingest({"", "hello"}) == "BAD_REQUEST: author is empty: a name has 1 to 200 bytes");
  CHECK(ingest({"alice", R"({"author": "bob"})", "hello"}) == "BAD_REQUEST: author is 'bob': the frame before says 'alice'");
  CHECK(ingest({"alice", R"({"body": "b"})", "hello"}) == "BAD_REQUEST: body is given twice: as a frame and as a field");
  CHECK(ingest({"alice", R"({"messages": []})", "hello"}) == "BAD_REQUEST: messages is given: an ingest packet is one message");
}

TEST_CASE("wire: base64 knows every length and refuses what is not base64") {
  const std::vector<std::pair<std::string, std::string>> table{{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe", "//4="}};
  for (const auto& [bytes, text] : table) {
    CHECK(base64_encode(bytes) == text);
    CHECK(base64_decode(text) == bytes);
  }
  for (const char* bad : {"Z", "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9_", "Zm 9"}) CHECK_FALSE(base64_decode(bad).has_value());
}
