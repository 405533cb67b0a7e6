#include "wire/message.h"

#include "base/hash.h"

namespace canopy::wire {
namespace {
constexpr uint8_t message_version = 1;  // never to change
}

std::string encode_message(const MessageView& message) {
  std::string out;
  out.reserve(40 + message.author.size() + message.type.size() + message.body.size());
  put_u8(out, message_version);
  put_be64(out, message.id.packed());
  put_be64(out, message.position.packed());
  put_varint(out, message.time_ms);
  put_string(out, message.author);
  put_string(out, message.type);
  put_string(out, message.body);
  return out;
}

Result<MessageView> decode_message(std::string_view blob) {
  Cursor cursor(blob);
  const uint8_t version = cursor.u8();
  if (cursor.ok() && version != message_version)
    return failure(Code::internal, "message record has version " + std::to_string(version) + ": this program knows 1");
  MessageView message;
  message.id = MessageId(cursor.be64());
  message.position = Position(cursor.be64());
  message.time_ms = cursor.varint();
  message.author = cursor.string();
  message.type = cursor.string();
  message.body = cursor.string();
  if (!cursor.ok()) return failure(Code::internal, "message record is cut short");
  if (!cursor.done())
    return failure(Code::internal, "message record goes on after its body: " + std::to_string(cursor.left()) + " bytes");
  return message;
}

BodyRef body_ref(MessageId id, std::string_view blob) {
  return {id, static_cast<uint32_t>(hash64(blob))};  // the low half: never to change
}

}  // namespace canopy::wire
