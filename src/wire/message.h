// A message as it is stored and sent: one blob, encoded once at its author, never changed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"

namespace canopy::wire {

// The fields of a message, as views into the blob or the request that they came from.
struct MessageView {
  MessageId id;
  Position position;        // of the publish, in the author's bucket: its place in `sent`
  uint64_t time_ms = 0;     // since 1970, the author's primary's clock
  std::string_view author;
  std::string_view type;    // "" for none
  std::string_view body;
  MessageId reply_to{};     // zero for none
  std::vector<std::string_view> mentions{}, topics{}, to{};
};

// Record: version u8, id be64, position be64, time varint, author, type, body (strings with varint
// length); version 2 appends reply_to be64, mentions, topics, to (each a varint count and strings).
// Version 1 is written when all these are empty. Never to change.
std::string encode_message(const MessageView& message);
// Returns views into `blob`; an error for a damaged or newer record.
Result<MessageView> decode_message(std::string_view blob);
// The same into a view that was used before, for whoever reads many.
[[nodiscard]] Result<void> decode_message(std::string_view blob, MessageView& message);

// Returns what lists point with: the id and a 32-bit hash of the blob.
BodyRef body_ref(MessageId id, std::string_view blob);

}  // namespace canopy::wire
