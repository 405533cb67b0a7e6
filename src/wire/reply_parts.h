// What the two forms of a reply share. Internal to wire/.
#pragma once

#include "wire/fields.h"
#include "wire/reply.h"
#include "wire/writer.h"

namespace canopy::wire {

void write_error(Writer& w, const Error& error);  // {code, message, retry_after_ms?}
Error read_error(Value map, Encoding encoding);   // REQUIRES: a map; an unknown code becomes internal

// Between nodes every reply keeps all that it holds, which the client's form of FOLLOW, UNFOLLOW,
// READ and GET does not (which pair is pending; the message's own record): those four and PUBLISH
// have arrays of their own (README.md), the others the client's msgpack.
std::string encode_reply_between_nodes(const Reply& reply);
// `verb`: verb_of_reply of what was encoded.
[[nodiscard]] Result<Reply> decode_reply_between_nodes(std::string_view verb, std::string_view bytes);

}  // namespace canopy::wire
