#include <doctest/doctest.h>

#include "base/limits.h"
#include "samples.h"

using namespace canopy;
using namespace canopy::wire;

namespace {

std::string said(const Result<LinkFrame>& frame) { return frame ? "OK" : frame.error().message; }

// A frame of one item, which is given as msgpack.
std::string frame_of(std::string_view items, std::string_view bodies = "\x90") {
  return std::string("\x97\x02\xc4\x00\x01\x02\x03", 7) + std::string(bodies) + std::string(items);
}

// A frame of one stream letter, whose item is given, and of one channel letter, whose body's index is.
std::string item_of(std::string_view item) {
  return frame_of("\x91\x95\x07\x01\xa1" "a" + std::string(item) + std::string("\x93\x01\xc4\x00\x90", 5));
}
std::string letter_of(const std::string& letter, std::string_view body, const Blob& table = nullptr) {
  const auto bytes = [](const std::string& b) { return "\xc4" + std::string(1, static_cast<char>(b.size())) + b; };
  const std::string head = body.empty() ? "\x91\x98" : "\x91\x99";
  return frame_of(head + "\x08\x01\x02\x03\x04\x05\x06" + bytes(letter) + std::string(body), table ? "\x91" + bytes(*table) : "\x90");
}

}  // namespace

TEST_CASE("wire: a message's record has the bytes that are written down") {
  MessageView m;
  m.id = MessageId(0x0102030405060708);
  m.position = Position(0x11);
  m.time_ms = 300;
  m.author = "al";
  m.type = "t";
  m.body = std::string_view("\0b", 2);
  const std::string blob = encode_message(m);
  CHECK(blob == std::string("\x01\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\x11\xac\x02\x02" "al\x01t\x02\0b", 27));
  const auto decoded = decode_message(blob);
  REQUIRE(decoded.has_value());
  CHECK(decoded->id == m.id);
  CHECK(decoded->position == m.position);
  CHECK(decoded->time_ms == 300);
  CHECK(decoded->author == "al");
  CHECK(decoded->type == "t");
  CHECK(decoded->body == m.body);
  for (size_t n = 0; n < blob.size(); ++n) CHECK_FALSE(decode_message(blob.substr(0, n)).has_value());
  CHECK(decode_message(blob + "x").error().message == "message record goes on after its last field: 1 bytes");
  CHECK(decode_message("\x03").error().message == "message record has version 3: this program knows 1 and 2");
}

TEST_CASE("wire: a message that says to whom it goes has the second version's record, with the bytes that are written down") {
  MessageView m;
  m.id = MessageId(1);
  m.position = Position(2);
  m.time_ms = 3;
  m.author = "al";
  m.reply_to = MessageId(0x0102030405060708);
  m.mentions = {"b", "c"};
  m.topics = {"#x"};
  m.to = {"d"};
  const std::string blob = encode_message(m);
  const std::string first("\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x03\x02" "al\0\0", 22);  // of either version
  CHECK(blob == "\x02" + first + "\x01\x02\x03\x04\x05\x06\x07\x08" "\x02\x01" "b\x01" "c\x01\x02#x\x01\x01" "d");
  const auto decoded = decode_message(blob);
  REQUIRE(decoded.has_value());
  CHECK(decoded->author == "al");
  CHECK(decoded->reply_to == m.reply_to);
  CHECK(decoded->mentions == m.mentions);
  CHECK(decoded->topics == m.topics);
  CHECK(decoded->to == m.to);
  for (size_t n = 0; n < blob.size(); ++n) CHECK_FALSE(decode_message(blob.substr(0, n)).has_value());
  CHECK(decode_message(blob + "x").error().message == "message record goes on after its last field: 1 bytes");
  CHECK(decode_message("\x02" + first + std::string(8, '\0') + "\xff\xff\xff\x7f").error().message == "message record is cut short");

  // Any one of the fields makes it one of the second version.
  const auto version = [](auto set) {
    MessageView one;
    one.author = "al";
    set(one);
    return encode_message(one)[0];
  };
  CHECK(version([](MessageView&) {}) == 1);
  CHECK(version([](MessageView& one) { one.reply_to = MessageId(1); }) == 2);
  CHECK(version([](MessageView& one) { one.mentions = {"b"}; }) == 2);
  CHECK(version([](MessageView& one) { one.topics = {"#x"}; }) == 2);
  CHECK(version([](MessageView& one) { one.to = {"b"}; }) == 2);
}

TEST_CASE("wire: a body's reference differs with a single bit") {
  const Blob a = sample_blob(5, "hello"), b = sample_blob(5, "hellp");
  CHECK(body_ref(MessageId(5), *a) == body_ref(MessageId(5), *a));
  CHECK(body_ref(MessageId(5), *a) != body_ref(MessageId(5), *b));
}

TEST_CASE("wire: letters have the bytes that are written down") {
  using namespace std::string_literals;
  const std::string zeros(8, '\0'), five = std::string(7, '\0') + "\x05";
  struct Case {
    Letter letter;
    std::string bytes;
  };
  const Case cases[] = {
      {LeafJoin{"al", Position(5)}, std::string("\x01\x01\x02" "al\0\0\0\0\0\0\0\x05", 13)},
      {LeafLeave{"al", Position(5)}, std::string("\x01\x02\x02" "al\0\0\0\0\0\0\0\x05", 13)},
      {Welcome{"al", Position(5), StreamNo(6), MessageId(7)}, std::string("\x01\x03\x02" "al\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07", 29)},
      {Clone{List::mentions, "bo", {}, {MessageId(5), 6}, nullptr}, "\x01\x04\x03\x02" "bo" + zeros + five + "\0\0\0\x06"s},
      {Clone{List::replies, "", MessageId(5), {MessageId(5), 6}, nullptr}, "\x01\x04\x04\0"s + five + five + "\0\0\0\x06"s},
      {Clone{List::topic, "#x", {}, {MessageId(5), 6}, nullptr}, "\x01\x04\x05\x02#x" + zeros + five + "\0\0\0\x06"s},
      {Clone{List::direct, "bo", {}, {MessageId(5), 6}, nullptr}, "\x01\x04\x06\x02" "bo" + zeros + five + "\0\0\0\x06"s},
      {Unclone{List::topic, "#x", {}, MessageId(5)}, "\x01\x05\x05\x02#x" + zeros + five},
      {BackfillAsk{"al", "bo", Position(5), 300}, "\x01\x06\x02" "al\x02" "bo" + five + "\xac\x02"},
      {Backfill{"al", "bo", Position(5), 2, {}, {MessageId(5), 6}, nullptr},
       "\x01\x07\x02" "al\x02" "bo" + five + "\x02" + zeros + five + "\0\0\0\x06"s},
      {Redirect{"al", Position(5), "bo"}, "\x01\x08\x02" "al" + five + "\x02" "bo"},
      {AliasClaim{"al", "bo"}, "\x01\x09\x02" "al\x02" "bo"},
      {AliasAnswer{"al", "bo", true}, "\x01\x0a\x02" "al\x02" "bo\x01"},
      {AliasDrop{"al", "bo"}, "\x01\x0b\x02" "al\x02" "bo"},
      {Share{"al", "bo"}, "\x01\x0c\x02" "al\x02" "bo"},
      {Shared{"al", "bo"}, "\x01\x0d\x02" "al\x02" "bo"},
      {LeafMode{"al", Position(5), true}, "\x01\x0e\x02" "al" + five + "\x01"},
  };
  for (const Case& c : cases) {
    CHECK(encode_letter(c.letter) == c.bytes);
    Letter letter;
    REQUIRE(decode_letter(c.bytes, letter));
    CHECK(letter.index() == c.letter.index());
    CHECK(encode_letter(letter) == c.bytes);
    for (size_t n = 0; n < c.bytes.size(); ++n) CHECK_FALSE(decode_letter(c.bytes.substr(0, n), letter));
    CHECK_FALSE(decode_letter(c.bytes + "x", letter));
    for (const char wrong : {'\0', '\x0f', '\xff'}) {
      std::string bytes = c.bytes;
      bytes[1] = wrong;
      CHECK_FALSE(decode_letter(bytes, letter));
      bytes = c.bytes;
      bytes[0] = wrong;
      CHECK_FALSE(decode_letter(bytes, letter));
    }
  }
}

TEST_CASE("wire: a letter that cannot be is refused, and what it was read into stays") {
  const std::string long_name(201, 'n');
  const Position at(1, 5);
  const BodyRef ref{MessageId(5), 6}, none{};
  const uint32_t most = static_cast<uint32_t>(limits::backfill_max);
  const Letter wrong[] = {
      LeafJoin{"", at},
      LeafJoin{long_name, at},
      LeafJoin{"a", Position(UINT64_MAX)},
      LeafLeave{"\xff", at},
      Welcome{"a", at, {}, {}},
      Welcome{"a", at, StreamNo(UINT64_MAX), {}},
      Clone{List::mentions, "", {}, ref, nullptr},
      Clone{List::mentions, "bob", MessageId(7), ref, nullptr},
      Clone{List::mentions, "bob", {}, none, nullptr},
      Clone{List::replies, "", {}, ref, nullptr},
      Clone{List::replies, "bob", MessageId(7), ref, nullptr},
      Clone{List{2}, "bob", {}, ref, nullptr},
      Clone{List{7}, "bob", {}, ref, nullptr},
      Unclone{List::topic, long_name, {}, MessageId(5)},
      Unclone{List::topic, "#x", {}, {}},
      Unclone{List{0}, "#x", {}, MessageId(5)},
      BackfillAsk{"", "bob", at, 1},
      BackfillAsk{"a", "", at, 1},
      BackfillAsk{"a", "bob", {}, 1},
      BackfillAsk{"a", "bob", Position(UINT64_MAX), 1},
      BackfillAsk{"a", "bob", at, 0},
      BackfillAsk{"a", "bob", at, most + 1},
      Backfill{"a", "", at, 1, {}, ref, nullptr},
      Backfill{"a", "bob", {}, 1, {}, ref, nullptr},
      Backfill{"a", "bob", at, 0, {}, ref, nullptr},
      Backfill{"a", "bob", at, most + 1, {}, ref, nullptr},
      Backfill{"a", "bob", at, 1, StreamNo(UINT64_MAX), ref, nullptr},
      Backfill{"a", "bob", at, 1, {}, none, nullptr},
      Redirect{"a", Position(UINT64_MAX), "b"},
      Redirect{"a", at, ""},
      AliasClaim{"a", ""},
      AliasClaim{"a", "a"},
      AliasAnswer{"", "b", true},
      AliasDrop{"a", "a"},
      Share{"a", ""},
      Shared{"", "a"},
      LeafMode{"", at, true},
      LeafMode{"a", Position(UINT64_MAX), true},
  };
  for (const Letter& one : wrong) {
    CAPTURE(one.index());
    Letter letter = Share{"kept", "kept"};
    CHECK_FALSE(decode_letter(encode_letter(one), letter));
    REQUIRE(std::holds_alternative<Share>(letter));
    CHECK(std::get<Share>(letter).reflector == "kept");
  }
  std::string answer = encode_letter(AliasAnswer{"a", "b", true});
  answer.back() = 2;
  Letter letter;
  CHECK_FALSE(decode_letter(answer, letter));
  std::string mode = encode_letter(LeafMode{"a", at, true});
  mode.back() = 2;
  CHECK_FALSE(decode_letter(mode, letter));
}

TEST_CASE("wire: every letter is the same after a round trip, and those with a message tell where it is") {
  for (Letter letter : sample_letters()) {
    const std::string bytes = encode_letter(letter);
    Letter decoded;
    REQUIRE(decode_letter(bytes, decoded));
    CHECK(decoded.index() == letter.index());
    CHECK(encode_letter(decoded) == bytes);
    const bool has_one = std::holds_alternative<Clone>(letter) || std::holds_alternative<Backfill>(letter);
    const LetterBody body = body_of(letter), empty = body_of(decoded);
    CHECK((body.message != nullptr) == has_one);
    CHECK((empty.message != nullptr) == has_one);
    if (!has_one) continue;
    CHECK(*body.message != nullptr);
    CHECK(*empty.message == nullptr);
    CHECK(body.ref == empty.ref);
    CHECK(body.ref == body_ref(body.ref.id, **body.message));
  }
}

TEST_CASE("wire: a packet goes to the other end, an acknowledgement to the channel's sender") {
  const BucketId one(1), two(2);
  CHECK(packet_to(ChannelLetter{one, two, {}, {}, LeafJoin{}}) == two);
  CHECK(packet_to(ChannelAck{one, two, {}}) == one);
  CHECK(packet_to(Tail{one, two, "a", {}}) == two);
  CHECK(packet_to(Fetched{one, two, "a", {}, {}, {}, {}, {}, {}}) == two);
}

TEST_CASE("wire: every item of a frame is the same after a round trip") {
  for (const LinkItem& item : sample_items()) {
    const std::string bytes = encode_frame(sample_frame({item}));
    const auto decoded = decode_frame(bytes);
    REQUIRE_MESSAGE(decoded.has_value(), said(decoded));
    CHECK(decoded->fabric_id == "0123456789abcdef");
    CHECK(decoded->from_boot == 1);
    CHECK(decoded->to_boot == 2);
    CHECK(decoded->number == 3);
    REQUIRE(decoded->items.size() == 1);
    CHECK(decoded->items[0].index() == item.index());
    CHECK(encode_frame(*decoded) == bytes);
  }
  const std::string all = encode_frame(sample_frame(sample_items()));
  const auto decoded = decode_frame(all);
  REQUIRE_MESSAGE(decoded.has_value(), said(decoded));
  CHECK(encode_frame(*decoded) == all);
  CHECK(decode_frame(encode_frame({})).has_value());
}

TEST_CASE("wire: a body stands once in a frame and once in memory") {
  const std::string body(10'000, 'b');
  const StreamItem item = sample_item(1, body);
  StreamItem copy = sample_item(1, body);  // the same content at another place
  const std::string bytes = encode_frame(sample_frame({
      StreamLetter{BucketId(1), "alice", item, sample_route(1)},
      StreamLetter{BucketId(1), "alice", item, sample_route(2)},
      Fetched{BucketId(1), BucketId(2), "alice", {}, {}, {}, {}, {}, {copy}},
      ChannelLetter{BucketId(1), BucketId(2), {}, {}, Clone{List::mentions, "bob", {}, copy.ref, copy.message}},
  }));
  CHECK(bytes.size() < 10'400);
  const auto frame = decode_frame(bytes);
  REQUIRE(frame.has_value());
  const Blob& blob = std::get<StreamLetter>(frame->items[0]).item.message;
  CHECK(*blob == *item.message);
  CHECK(std::get<StreamLetter>(frame->items[1]).item.message == blob);
  CHECK(std::get<Fetched>(frame->items[2]).items.at(0).message == blob);
  CHECK(std::get<Clone>(std::get<ChannelLetter>(frame->items[3]).letter).message == blob);
}

TEST_CASE("wire: a stream item's flags, hops and target arrive") {
  StreamItem message = sample_item(1, "one");
  message.shared = true;
  message.hops = 200;
  StreamItem retraction{StreamNo(1, 4), StreamItem::Kind::retraction, {MessageId(5), 0}, nullptr};
  retraction.hops = 1;
  retraction.target = StreamNo(1, 2);
  const auto frame = decode_frame(encode_frame(sample_frame({Fetched{BucketId(1), BucketId(2), "a", {}, {}, {}, {}, {}, {message, retraction}}})));
  REQUIRE_MESSAGE(frame.has_value(), said(frame));
  const auto& items = std::get<Fetched>(frame->items[0]).items;
  REQUIRE(items.size() == 2);
  CHECK(items[0].shared);
  CHECK(items[0].hops == 200);
  CHECK(items[0].target.zero());
  CHECK(items[1].kind == StreamItem::Kind::retraction);
  CHECK(items[1].ref.id == MessageId(5));
  CHECK_FALSE(items[1].shared);
  CHECK(items[1].hops == 1);
  CHECK(items[1].target == StreamNo(1, 2));
  CHECK(items[1].message == nullptr);
}

TEST_CASE("wire: a frame that is wrong says where") {
  using namespace std::string_literals;
  struct Case {
    std::string bytes, said;
  };
  const StreamItem item = sample_item(1, "one");
  StreamItem other = item;
  other.ref.hash ^= 1;
  const std::string share = encode_letter(Share{"a", "b"});
  const std::string clone = encode_letter(Clone{List::mentions, "bob", {}, other.ref, nullptr});
  const Case cases[] = {
      {"", "frame ends in the middle of a value"},
      {"\x05", "frame is a number: it must be a list"},
      {"\x90", "frame.version is missing"},
      {"\x91\x01", "frame.version is 1: this program knows 2"},
      {"\x97\x02\xc4\x01x\x01\x02\x03\x90\x90"s, "frame.fabric_id has not 16 bytes"},
      {"\x98\x02\xc4\x00\x01\x02\x03\x90\x90\xc0"s, "frame.end is not there: 1 items too many"},
      {frame_of("\x91\x05"), "frame.items[0] is a number: it must be a list"},
      {frame_of("\x91\x91\x10"), "frame.items[0].kind is 16: this program knows 1 to 15"},
      {frame_of("\x91\x91\x00"s), "frame.items[0].kind is 0: this program knows 1 to 15"},
      {frame_of("\x91\x91\xcd\x01\x01"s), "frame.items[0].kind is 257: this program knows 1 to 15"},
      {frame_of("\x91\x95\x0a\x01\x02\xa1" "a\xff"), "frame.items[0].last is a negative number: it must be a number"},
      {frame_of("\x91\x95\x0a\x01\x02\xa0\x05"), "frame.items[0].reflector is empty: a name has 1 to 200 bytes"},
      {frame_of("\x91\x95\x0a\xce\x00\x01\x00\x00\x02\xa1" "a\x05"s), "frame.items[0].from is 65536: it must be at most 65535"},
      {frame_of("\x91\x94\x0a\x01\x02\xa1" "a"), "frame.items[0].last is missing"},
      {frame_of("\x91\x96\x0a\x01\x02\xa1" "a\x05\x06"), "frame.items[0].end is not there: 1 items too many"},
      {frame_of("\x91\x93\x04\x01\x91\x92\x00\xc4\x01x"s), "frame.items[0].not_taken[0].leaves has an odd number of bytes: a bucket takes 2"},
      {frame_of("\x90", "\x91\xc4\x01x"), "frame.bodies[0] is wrong: message record has version 120: this program knows 1 and 2"},
      {frame_of("\x91\x95\x07\x01\xa1" "a\x97\x01\x01\x05\x06\x00\x00\x00\x93\x01\xc4\x00\x90"s), "frame.items[0].item[0].body is not in the table of 0"},
      {frame_of("\x91\x95\x07\x01\xa1" "a\x97\x01\x05\x05\x06\xc0\x00\x00\x93\x01\xc4\x00\x90"s), "frame.items[0].item[0].kind is 5: this program knows 1 to 4"},
      {frame_of("\x91\x95\x07\x01\xa1" "a\x97\x01\x02\x05\x06\x00\x00\x00\x93\x01\xc4\x00\x90"s), "frame.items[0].item[0].body is given: only a message has one"},
      {item_of("\x97\x01\x00\x05\x06\xc0\x00\x00"s), "frame.items[0].item[0].kind is 0: this program knows 1 to 4"},
      {item_of("\x97\x01\x03\x05\x06\x00\x00\x00"s), "frame.items[0].item[0].body is given: only a message has one"},
      {item_of("\x97\x01\x03\x00\x00\xc0\x00\x00"s), "frame.items[0].item[0].id is 0: a retraction needs one"},
      {item_of("\x97\x01\x02\x00\x00\xc0\x01\x00"s), "frame.items[0].item[0].flags are given: this kind has none"},
      {item_of("\x97\x01\x04\x00\x00\xc0\x02\x00"s), "frame.items[0].item[0].flags are given: this kind has none"},
      {item_of("\x97\x01\x04\x00\x00\xc0\x00\x05"s), "frame.items[0].item[0].target is given: only a retraction has one"},
      {item_of("\x97\x01\x03\x05\x00\xc0\xcd\x02\x00\x05"s), "frame.items[0].item[0].flags is 512: it must be at most 511"},
      {item_of("\x95\x01\x02\x05\x06\xc0"), "frame.items[0].item[0].flags is missing"},
      {encode_frame(sample_frame({StreamLetter{BucketId(1), "a", other, {}}})), "frame.items[0].item[0].body has another id or hash than what needs it"},
      {frame_of("\x91\x97\x05\x01\x02\x03\xa5HELLO\xc4\x00\xc0"s),
       "frame.items[0].request is wrong: unknown verb 'HELLO': known are PING, PUBLISH, FOLLOW, UNFOLLOW, READ, GET, FOLLOWERS, FOLLOWING, LOOKUP, MAP, TREE, STATUS, THREAD, RETRACT, DELETE, MARK, RETAIN, ALIAS, FORWARD"},
      {frame_of("\x91\x96\x06\x01\xc2\x03\xa4PING\xc4\x01\x80"s), "frame.items[0].reply is wrong: reply does not fit: node is missing: PING needs text"},
      {frame_of("\x91\x99\x08\x01\x02\x03\x04\x05\x06\xc4\x01x\xc0"s), "frame.items[0].letter is no letter that this program knows"},
      {letter_of(share, "\x00"s), "frame.items[0].body is given: this letter has none"},
      {letter_of(share, ""), "frame.items[0].body is missing"},
      {letter_of(clone, "\xc0"), "frame.items[0].body is not in the table of 0"},
      {letter_of(clone, "\x00"s), "frame.items[0].body is not in the table of 0"},
      {letter_of(clone, "\x01", item.message), "frame.items[0].body is not in the table of 1"},
      {letter_of(clone, "\x00"s, item.message), "frame.items[0].body has another id or hash than what needs it"},
      {frame_of("\x91\x96\x06\x01\xc2\x03\xa7X.MOVED\xc4\x05\x93\xa1X\xc4\x00"s),
       "frame.items[0].reply is wrong: reply ends in the middle of a value"},
      {frame_of("\x91\x96\x06\x01\xc2\x03\xa7X.MOVED\xc4\x06\x93\xa1X\xc4\x00\xc0"s),
       "frame.items[0].reply is wrong: reply.again is wrong: unknown verb 'X': known are PING, PUBLISH, FOLLOW, UNFOLLOW, READ, GET, FOLLOWERS, FOLLOWING, LOOKUP, MAP, TREE, STATUS, THREAD, RETRACT, DELETE, MARK, RETAIN, ALIAS, FORWARD"},
  };
  for (const Case& c : cases) CHECK(said(decode_frame(c.bytes)) == c.said);
}

TEST_CASE("wire: a route may be nested as deep as it may be, and no deeper") {
  CHECK(decode_frame(encode_frame(sample_frame({StreamLetter{BucketId(1), "a", sample_item(1, "x"), sample_route(16)}}))).has_value());
  std::string route = std::string("\x93\x01\xc4\x00\x90", 5);
  for (int i = 1; i < 17; ++i) route = std::string("\x93\x01\xc4\x00\x91", 5) + route;
  const std::string head("\x91\x95\x07\x01\xa1" "a\x97\x01\x02\x05\x06\xc0\x00\x00", 14);
  const auto frame = decode_frame(frame_of(head + route));
  REQUIRE_FALSE(frame.has_value());
  CHECK(frame.error().message.find("node is nested deeper than 16") != std::string::npos);
}

TEST_CASE("wire: a hello of a later protocol is read as far as it is known") {
  std::string bytes = encode_frame(sample_frame({Hello{link_protocol_version + 1, "", "n1", 1, 0, 0, "", "", "", "", "", 1000}}));
  const size_t at = bytes.find('\x9d');  // 13 items: the kind and 12 fields
  REQUIRE(at != std::string::npos);
  bytes[at] = '\x9e';
  bytes += "\xa5later";
  CHECK(decode_frame(bytes).has_value());
  bytes[at + 2] = static_cast<char>(link_protocol_version);
  CHECK_FALSE(decode_frame(bytes).has_value());
}
