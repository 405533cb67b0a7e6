// Fuzzes every decoder of wire/: no crash, and what is accepted can be encoded and read again.
// Built by hand, from the checkout:
//
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -DMSGPACK_NO_BOOST -Isrc
//     tests/fuzz/fuzz_wire.cc src/wire/*.cc src/base/{assert,hash,name,result,values}.cc -lxxhash -o fuzz_wire
//   ./fuzz_wire -max_len=4096 -max_total_time=300 CORPUS_DIRECTORY
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/reply_parts.h"

using namespace canopy;
using namespace canopy::wire;

// The first byte chooses the decoder and the verb.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static constexpr std::string_view verbs[] = {"PING", "PUBLISH", "FOLLOW", "UNFOLLOW", "READ",   "GET",      "FOLLOWERS", "FOLLOWING",
                                               "LOOKUP", "MAP",     "TREE",   "STATUS",   "X.LEAVES", "X.LEAF", "", "nonsense",
                                               "THREAD", "RETRACT", "DELETE", "MARK",     "RETAIN",   "ALIAS",  "FORWARD", "X.MOVED"};
  const std::string_view verb = verbs[data[0] % std::size(verbs)];
  const void* const start = data + 1;
  const std::string_view bytes(static_cast<const char*>(start), size - 1);
  switch (data[0] / std::size(verbs) % 6) {
    case 0: {
      const auto request = decode_request({verb, bytes}, {.between_nodes = true});
      if (!request) break;
      for (const Encoding encoding : {Encoding::msgpack, Encoding::json}) {
        const RequestFrames frames = encode_request(*request, encoding);
        std::vector<std::string_view> again{frames.verb, frames.args};
        if (frames.body) again.push_back(*frames.body);
        const auto decoded = decode_request(again, {.between_nodes = true});
        ASSERT(decoded.has_value());
        ASSERT(encode_request(*decoded, encoding).args == frames.args);
      }
      break;
    }
    case 1: {
      const auto frame = decode_frame(bytes);
      if (frame) ASSERT(decode_frame(encode_frame(*frame)).has_value());
      break;
    }
    case 2: {
      const auto message = decode_message(bytes);
      if (!message) break;
      const std::string once = encode_message(*message);
      const auto again = decode_message(once);
      ASSERT(again.has_value());
      ASSERT(encode_message(*again) == once);
      break;
    }
    case 3: {
      const auto reply = decode_reply(verb, "OK", bytes);
      if (!reply) break;
      for (const Encoding encoding : {Encoding::msgpack, Encoding::json}) {
        const ReplyFrames frames = encode_reply(*reply, encoding);
        ASSERT(decode_reply(verb, frames.status, frames.result).has_value());
      }
      break;
    }
    case 4: {
      const auto reply = decode_reply_between_nodes(verb, bytes);
      if (reply) ASSERT(decode_reply_between_nodes(verb_of_reply(*reply), encode_reply_between_nodes(*reply)).has_value());
      break;
    }
    default: {
      Letter letter;
      if (decode_letter(bytes, letter)) {
        const std::string once = encode_letter(letter);
        ASSERT(decode_letter(once, letter));
        ASSERT(encode_letter(letter) == once);
      }
      (void)decode_ingest({verb, bytes, "body"}, {});
    }
  }
  return 0;
}
