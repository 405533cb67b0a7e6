// What the two forms of a reply share. Internal to wire/.
#pragma once

#include "wire/fields.h"
#include "wire/message.h"
#include "wire/reply.h"
#include "wire/writer.h"

namespace canopy::wire {

// The fields that an entry has only where they apply: how many, and they themselves. Never `to`.
size_t optional_fields(const MessageView& message);
void write_optional_fields(Writer& w, const MessageView& message);

void write_error(Writer& w, const Error& error);  // {code, message, retry_after_ms?}
Error read_error(Value map, Encoding encoding);   // REQUIRES: a map; an unknown code becomes internal

// What a Moved answers: no request of that name is ever made.
constexpr std::string_view moved_verb = "X.MOVED";

// Between nodes every reply keeps all that it holds, which the client's form of FOLLOW, UNFOLLOW,
// READ, GET and THREAD does not (which pair is pending; the message's own record): these, PUBLISH and
// Moved have arrays of their own (README.md), the others the client's msgpack.
std::string encode_reply_between_nodes(const Reply& reply);
// `verb`: verb_of_reply of what was encoded.
[[nodiscard]] Result<Reply> decode_reply_between_nodes(std::string_view verb, std::string_view bytes);

}  // namespace canopy::wire
