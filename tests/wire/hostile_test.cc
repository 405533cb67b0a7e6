// What hostile or damaged bytes may do: get an error, quickly, and nothing else.
#include <doctest/doctest.h>

#include "base/name.h"
#include "base/random.h"
#include "samples.h"
#include "wire/reply_parts.h"
#include "wire/value.h"

using namespace canopy;
using namespace canopy::wire;

namespace {

using namespace std::string_view_literals;

std::string parse(std::string_view input, ParseLimits limits = {}) {
  Document document;
  const auto parsed = input.substr(0, 1) == "{" || input.substr(0, 1) == "[" ? parse_json("args", input, limits, document)
                                                                          : parse_msgpack("args", input, limits, document);
  return parsed ? "OK" : parsed.error().message;
}

std::string times(size_t n, std::string_view what) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += what;
  return out;
}

void decode_as_everything(std::string_view bytes) {
  for (const char* verb : {"PUBLISH", "FOLLOW", "READ", "GET", "X.LEAF", "THREAD", "MARK", "RETAIN", "FORWARD", "X.MOVED"}) {
    (void)decode_request({verb, bytes}, {.between_nodes = true});
    (void)decode_reply(verb, "OK", bytes);
    (void)decode_reply_between_nodes(verb, bytes);
  }
  (void)decode_frame(bytes);
  (void)decode_message(bytes);
  Letter letter;
  (void)decode_letter(bytes, letter);
}

}  // namespace

TEST_CASE("wire: msgpack that announces more than it holds allocates nothing") {
  CHECK(parse("\xdd\xff\xff\xff\xff"sv) == "args has more than 262144 values");
  CHECK(parse("\xdf\xff\xff\xff\xff"sv) == "args has more than 262144 values");
  CHECK(parse("\xdd\x00\x01\x00\x00"sv) == "args ends in the middle of a value");
  CHECK(parse("\xc6\xff\xff\xff\xff"sv) == "args ends in the middle of a value");
  CHECK(parse("\xdb\xff\xff\xff\xffx"sv) == "args ends in the middle of a value");
  CHECK(parse(times(100, "\xdd\x00\x03\xff\xff"sv)) == "args has more than 262144 values");
  CHECK(decode_frame("\xdd\xff\xff\xff\xff"sv).error().message == "frame has more than 1048576 values");
}

TEST_CASE("wire: nesting is bounded in both encodings") {
  CHECK(parse(times(16, "\x91") + "\x05") == "OK");
  CHECK(parse(times(17, "\x91") + "\x05") == "args is nested deeper than 16");
  CHECK(parse(times(1'000'000, "\x91")) == "args is nested deeper than 16");
  CHECK(parse(times(16, "[") + times(16, "]")) == "OK");
  CHECK(parse(times(17, "[") + times(17, "]")) == "args is nested deeper than 16");
  CHECK(parse(times(1'000'000, "[")) == "args is nested deeper than 16");
  CHECK(parse(times(500'000, "{\"a\":")) == "args is nested deeper than 16");
}

TEST_CASE("wire: more values than the limit are refused in both encodings") {
  ParseLimits limits;
  limits.values_max = 10;
  CHECK(parse("[1,2,3,4,5,6,7,8,9]", limits) == "OK");
  CHECK(parse("[1,2,3,4,5,6,7,8,9,10]", limits) == "args has more than 10 values");
  CHECK(parse("\x99\x01\x01\x01\x01\x01\x01\x01\x01\x01", limits) == "OK");
  CHECK(parse("\x92\x99\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", limits) == "args has more than 10 values");
  limits.bytes_max = 5;
  CHECK(parse("[1,2,3]", limits) == "args has 7 bytes: it must be at most 5");
}

TEST_CASE("wire: msgpack that means nothing here is refused") {
  CHECK(parse("") == "args ends in the middle of a value");
  CHECK(parse("\x80\x80") == "args goes on after its value: 1 bytes too many");
  CHECK(parse("\xc1").substr(0, 19) == "args is not msgpack");
  CHECK(parse("\xd4\x01\x01") == "args has an extension type: there are none");
  CHECK(parse("\xd6\xff\x01\x01\x01\x01") == "args has an extension type: there are none");
  CHECK(parse("\x81\x01\x02") == "args has a map key that is a number: it must be text");
  CHECK(parse("\x81\x90\x02") == "args has a map key that is a list: it must be text");
  CHECK(parse("\x81\xc4\x01\x61\x02") == "args has a map key that is bytes: it must be text");
  CHECK(parse("\x82\xa1\x61\x01\xa1\x61\x02") == "args has the field 'a' twice");
  CHECK(parse("\x82\xa1\x61\x01\xd9\x01\x61\x02") == "args has the field 'a' twice");
}

TEST_CASE("wire: JSON that is not JSON or not UTF-8 is refused, and what is shown of it is UTF-8") {
  for (const std::string_view bad : {"{"sv, "{\"a\"}"sv, "{\"a\":1,}"sv, "{\"a\":\"\xff\"}"sv, "{\"a\":\"\xc0\x80\"}"sv, "{\"a\":\"\\ud800\"}"sv, "{\"a\":01}"sv, "{\"a\":NaN}"sv, "{/**/}"sv, "{\0}"sv, "{\"\xed\xa0\x80\":1}"sv}) {
    const std::string said = parse(bad);
    CHECK(said.substr(0, 16) == "args is not JSON");
    CHECK(valid_utf8(said));
  }
  CHECK(parse("{\"a\":1,\"b\":2,\"a\":3}") == "args has the field 'a' twice");
  CHECK(parse("{\"a\":1,\"\\u0061\":3}") == "args has the field 'a' twice");
  CHECK(parse("{\"a\":1e999}").substr(0, 16) == "args is not JSON");
  CHECK(parse("{\"a\":[{\"b\":1},{\"b\":1}]}") == "OK");
}

TEST_CASE("wire: a map with as many keys as may be is checked quickly") {
  std::string map = "{";
  for (int i = 0; i < 130'000; ++i) map.append("\"").append(std::to_string(i)).append("\":0,");
  map += "\"77\":0}";
  CHECK(parse(map) == "args has the field '77' twice");
  CHECK(decode_request({"PING", map.substr(0, map.size() - 8).append("}")}, {}).error().message == "unknown field '0' in PING: it takes none");
}

TEST_CASE("wire: what is cut short at any byte is refused") {
  for (const LinkItem& item : sample_items()) {
    const std::string bytes = encode_frame(sample_frame({item}));
    for (size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode_frame(std::string_view(bytes).substr(0, n)).has_value());
    CHECK_FALSE(decode_frame(bytes + '\xc0').has_value());
  }
  for (const Encoding encoding : {Encoding::msgpack, Encoding::json}) {
    for (const Request& request : sample_requests()) {
      RequestFrames frames = encode_request(request, encoding);
      for (size_t n = 1; n < frames.args.size(); ++n) {
        RequestFrames cut = frames;
        cut.args.resize(n);
        CHECK_FALSE(decode_request(views(cut), {.between_nodes = true}).has_value());
      }
    }
    for (const Reply& reply : sample_replies()) {
      const ReplyFrames frames = encode_reply(reply, encoding);
      for (size_t n = 0; n < frames.result.size(); ++n)
        CHECK_FALSE(decode_reply(verb_of_reply(reply), frames.status, std::string_view(frames.result).substr(0, n)).has_value());
      const std::string bytes = encode_reply_between_nodes(reply);
      for (size_t n = 0; n < bytes.size(); ++n)
        CHECK_FALSE(decode_reply_between_nodes(verb_of_reply(reply), std::string_view(bytes).substr(0, n)).has_value());
    }
  }
}

TEST_CASE("wire: what is changed at random is refused, or is something that can be encoded again") {
  std::vector<std::string> seeds;
  for (const LinkItem& item : sample_items()) seeds.push_back(encode_frame(sample_frame({item})));
  for (const Request& request : sample_requests())
    for (const Encoding encoding : {Encoding::msgpack, Encoding::json}) seeds.push_back(encode_request(request, encoding).args);
  for (const Reply& reply : sample_replies()) {
    for (const Encoding encoding : {Encoding::msgpack, Encoding::json}) seeds.push_back(encode_reply(reply, encoding).result);
    seeds.push_back(encode_reply_between_nodes(reply));
  }
  for (const Reply& reply : sample_moves()) seeds.push_back(encode_reply_between_nodes(reply));
  for (const Letter& letter : sample_letters()) seeds.push_back(encode_letter(letter));
  seeds.push_back(*full_entry(5).message);
  Random random(20240601);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = seeds[random.below(seeds.size())];
    for (uint64_t changes = 1 + random.below(4); changes > 0; --changes) {
      if (bytes.empty()) break;
      const size_t at = random.below(bytes.size());
      switch (random.below(4)) {
        case 0: bytes[at] = static_cast<char>(random.next()); break;
        case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8))); break;
        case 2: bytes.erase(at, 1 + random.below(4)); break;
        default: bytes.insert(at, 1, static_cast<char>(random.next())); break;
      }
    }
    decode_as_everything(bytes);
    Letter letter;
    if (decode_letter(bytes, letter)) {
      const std::string once = encode_letter(letter);  // not `bytes`: a number may have been written longer than it must
      REQUIRE(decode_letter(once, letter));
      CHECK(encode_letter(letter) == once);
    }
    if (const auto frame = decode_frame(bytes)) {
      const std::string again = encode_frame(*frame);
      const auto decoded = decode_frame(again);
      REQUIRE_MESSAGE(decoded.has_value(), decoded.error().message);
      CHECK(encode_frame(*decoded) == again);
    }
  }
}
