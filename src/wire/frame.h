// What nodes say to each other over a link: one ZeroMQ frame = one LinkFrame, msgpack.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "wire/letter.h"
#include "wire/reply.h"
#include "wire/request.h"

namespace canopy::wire {

constexpr uint32_t link_protocol_version = 3;

// Says who is there; sent when a link is opened and again as the heartbeat. It states, it asks for
// nothing, so it may be lost or repeated. `boot` is random per start of the process.
struct Hello {
  uint32_t protocol = link_protocol_version;
  std::string fabric_id;    // 16 bytes; empty: not in a fabric yet
  std::string node;
  uint64_t boot = 0;
  uint64_t seen_boot = 0;   // of the node that this goes to, as last heard; 0: not heard
  uint64_t map_version = 0;
  std::string settings;     // the fabric's settings as this node's file has them, canonical text
  std::string client, feed, link;  // endpoints as others should use them
  std::string zone;
  uint32_t weight_milli = 1000;
};
// Formation: the node with the lowest name offers; formed = false asks all to keep it and accept.
struct MapOffer {
  std::string map;          // encoded (map/)
  bool formed = false;
};
struct MapAccept {
  std::string fabric_id;
  std::string node;
};
// Acknowledges a frame when everything in it is settled or handed on and settled there.
struct FrameAck {
  uint64_t frame = 0;
  struct NotTaken {
    uint32_t item = 0;      // index in the frame
    std::vector<BucketId> leaves;
  };
  std::vector<NotTaken> not_taken;
};
struct Forward {            // a request passed on to the owner of its bucket
  uint64_t request = 0;     // the sender's number for it
  uint32_t remaining_ms = 0;
  uint64_t map_version = 0;
  Request body;
};
struct ForwardReply {
  uint64_t request = 0;
  bool not_owner = false;   // then map_version is the answering node's
  uint64_t map_version = 0;
  Reply body;
};

using LinkItem = std::variant<Hello, MapOffer, MapAccept, FrameAck, Forward, ForwardReply,
                              StreamLetter, ChannelLetter, ChannelAck, Tail, Have, Fetch, Fetched, Check, Checked>;

struct LinkFrame {
  std::string fabric_id;    // 16 bytes, empty before there is one
  uint64_t from_boot = 0, to_boot = 0;  // of both processes; a frame for another boot is dropped. to_boot 0: only Hello
  uint64_t number = 0;      // to acknowledge (it has stream letters); 0: nothing to acknowledge
  std::vector<LinkItem> items;
};

// Each body stands once per frame: letters and fetched items point into one table. Requests
// and replies travel in the client's msgpack form; a ForwardReply names the verb that it answers.
std::string encode_frame(const LinkFrame& frame);
Result<LinkFrame> decode_frame(std::string_view bytes);

}  // namespace canopy::wire
