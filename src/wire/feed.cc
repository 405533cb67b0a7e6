// A live feed's frames.
#include "base/name.h"
#include "wire/message.h"
#include "wire/reply.h"
#include "wire/reply_parts.h"
#include "wire/writer.h"

namespace canopy::wire {

std::string feed_topic(Timeline timeline, std::string_view entity) {
  std::string topic(timeline_name(timeline));
  topic += '/';
  topic += entity;
  topic += '\0';
  return topic;
}

bool parse_feed_topic(std::string_view topic, Timeline& timeline, std::string& entity) {
  const size_t slash = topic.find('/');
  if (slash == std::string_view::npos || topic.back() != '\0') return false;
  Timeline found = Timeline::home;
  if (!parse_timeline(topic.substr(0, slash), found)) return false;
  const std::string_view name = topic.substr(slash + 1, topic.size() - slash - 2);
  if (!check_name("topic", name)) return false;  // a zero byte inside is a control character
  timeline = found;
  entity = name;
  return true;
}

FeedFrames encode_feed_entry(Timeline timeline, std::string_view entity, const Entry& entry, Position prev) {
  FeedFrames frames{feed_topic(timeline, entity), {}, {}};
  const auto message = decode_message(*entry.message);
  // A damaged record has no fields: what is left tells the subscriber to READ, which names the damage.
  const MessageView m = message ? *message : MessageView{};
  const auto w = make_writer(Encoding::msgpack, frames.head);
  w->map(5 + optional_fields(m));
  w->member("position", entry.position.packed());
  w->member("id", m.id);
  w->member("author", m.author);
  w->member("time", m.time_ms);
  write_optional_fields(*w, m);
  w->member("prev", prev.packed());
  frames.body = m.body;
  return frames;
}

FeedFrames encode_feed_retraction(Timeline timeline, std::string_view entity, MessageId id) {
  FeedFrames frames{feed_topic(timeline, entity), {}, {}};
  const auto w = make_writer(Encoding::msgpack, frames.head);
  w->map(1);
  w->member("retracted", id);
  return frames;
}

FeedFrames encode_feed_beat(Timeline timeline, std::string_view entity, Position newest) {
  FeedFrames frames{feed_topic(timeline, entity), {}, {}};
  const auto w = make_writer(Encoding::msgpack, frames.head);
  w->map(2);
  w->member("position", newest.packed());
  w->flag("beat", true);
  return frames;
}

}  // namespace canopy::wire
