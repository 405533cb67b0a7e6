#include "wire/message.h"

#include "base/hash.h"

namespace canopy::wire {
namespace {
// Never to change. Version 1 ends with the body, version 2 says to whom and to what else the message goes.
constexpr uint8_t message_version_plain = 1;
constexpr uint8_t message_version = 2;

bool plain(const MessageView& m) {
  return m.reply_to.zero() && m.mentions.empty() && m.topics.empty() && m.to.empty();
}

void put_names(std::string& out, const std::vector<std::string_view>& names) {
  put_varint(out, names.size());
  for (const std::string_view name : names) put_string(out, name);
}

// An entry takes a byte at least: a count beyond what is left is refused before anything is allocated.
bool get_names(Cursor& cursor, std::vector<std::string_view>& names) {
  const uint64_t count = cursor.varint();
  if (!cursor.ok() || count > cursor.left()) return false;
  names.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count && cursor.ok(); ++i) names.push_back(cursor.string());
  return cursor.ok();
}

}  // namespace

std::string encode_message(const MessageView& message) {
  std::string out;
  out.reserve(40 + message.author.size() + message.type.size() + message.body.size());
  put_u8(out, plain(message) ? message_version_plain : message_version);
  put_be64(out, message.id.packed());
  put_be64(out, message.position.packed());
  put_varint(out, message.time_ms);
  put_string(out, message.author);
  put_string(out, message.type);
  put_string(out, message.body);
  if (plain(message)) return out;
  put_be64(out, message.reply_to.packed());
  put_names(out, message.mentions);
  put_names(out, message.topics);
  put_names(out, message.to);
  return out;
}

Result<MessageView> decode_message(std::string_view blob) {
  MessageView message;
  TRY(decode_message(blob, message));
  return message;
}

Result<void> decode_message(std::string_view blob, MessageView& message) {
  Cursor cursor(blob);
  const uint8_t version = cursor.u8();
  if (cursor.ok() && (version < message_version_plain || version > message_version))
    return failure(Code::internal, "message record has version " + std::to_string(version) + ": this program knows 1 and 2");
  message.id = MessageId(cursor.be64());
  message.position = Position(cursor.be64());
  message.time_ms = cursor.varint();
  message.author = cursor.string();
  message.type = cursor.string();
  message.body = cursor.string();
  message.reply_to = {};
  message.mentions.clear();
  message.topics.clear();
  message.to.clear();
  bool fits = cursor.ok();
  if (fits && version == message_version) {
    message.reply_to = MessageId(cursor.be64());
    fits = get_names(cursor, message.mentions) && get_names(cursor, message.topics) && get_names(cursor, message.to);
  }
  if (!fits) return failure(Code::internal, "message record is cut short");
  if (!cursor.done())
    return failure(Code::internal, "message record goes on after its last field: " + std::to_string(cursor.left()) + " bytes");
  return {};
}

BodyRef body_ref(MessageId id, std::string_view blob) {
  return {id, static_cast<uint32_t>(hash64(blob))};  // the low half: never to change
}

}  // namespace canopy::wire
