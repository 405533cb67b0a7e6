#include <utility>

#include "base/assert.h"
#include "wire/request.h"
#include "wire/writer.h"

namespace canopy::wire {
namespace {

// REQUIRES: not a batch, which holds exactly one.
template <class T>
const T& single(const std::vector<T>& all) {
  ASSERT(all.size() == 1);
  return all.front();
}

void write_texts(Writer& w, std::string_view name, const std::vector<std::string>& texts) {
  w.key(name);
  w.array(texts.size());
  for (const std::string& text : texts) w.text(text);
}

// The fields that are written, so that a map can be announced with its size.
size_t pairs_of(const Message& m, bool with_body) {
  return 1 + (m.type.empty() ? 0u : 1u) + (m.key.empty() ? 0u : 1u) + (m.reply_to.zero() ? 0u : 1u) +
         (m.mentions.empty() ? 0u : 1u) + (m.topics.empty() ? 0u : 1u) + (m.to.empty() ? 0u : 1u) + (with_body ? 1u : 0u);
}

void write_message(Writer& w, const Message& m, bool with_body) {
  w.map(pairs_of(m, with_body));
  w.member("author", m.author);
  if (!m.type.empty()) w.member("type", m.type);
  if (!m.key.empty()) w.member("key", m.key);
  if (!m.reply_to.zero()) w.member("reply_to", m.reply_to);
  if (!m.mentions.empty()) write_texts(w, "mentions", m.mentions);
  if (!m.topics.empty()) write_texts(w, "topics", m.topics);
  if (!m.to.empty()) write_texts(w, "to", m.to);
  if (with_body) w.bytes("body", m.body);
}

void write_pairs(Writer& w, const std::vector<Pair>& pairs, bool batch) {
  if (!batch) {
    w.member("follower", single(pairs).follower);
    w.member("author", single(pairs).author);
    return;
  }
  w.key("pairs");
  w.array(pairs.size());
  for (const Pair& pair : pairs) {
    w.array(2);
    w.text(pair.follower);
    w.text(pair.author);
  }
}

void write(Writer& w, const Ping&) { w.map(0); }
void write(Writer& w, const Status&) { w.map(0); }

void write(Writer& w, const Publish& r) {
  if (!r.batch) return write_message(w, single(r.messages), false);
  w.map(1);
  w.key("messages");
  w.array(r.messages.size());
  for (const Message& m : r.messages) write_message(w, m, true);
}

void write(Writer& w, const Follow& r) {
  w.map((r.batch ? 2u : 3u) + (r.backfill ? 1u : 0u));
  write_pairs(w, r.pairs, r.batch);
  w.member("wait_ms", uint64_t{r.wait_ms});
  if (r.backfill) w.member("backfill", uint64_t{r.backfill});
}

void write(Writer& w, const Unfollow& r) {
  w.map(r.batch ? 1 : 2);
  write_pairs(w, r.pairs, r.batch);
}

void write(Writer& w, const Read& r) {
  w.map(3 + (r.before ? 1u : 0u) + (r.after ? 1u : 0u) + (r.wait_ms ? 1u : 0u) + (r.stale_ok ? 1u : 0u) +
        (r.consumer.empty() ? 0u : 1u));
  if (r.batch)
    write_texts(w, "entities", r.entities);
  else
    w.member("entity", single(r.entities));
  w.member("timeline", timeline_name(r.timeline));
  w.member("limit", uint64_t{r.limit});
  if (r.before) w.member("before", r.before->packed());
  if (r.after) w.member("after", r.after->packed());
  if (r.wait_ms) w.member("wait_ms", uint64_t{r.wait_ms});
  if (r.stale_ok) w.flag("stale_ok", true);
  if (!r.consumer.empty()) w.member("consumer", r.consumer);
}

void write(Writer& w, const Get& r) {
  w.map(1);
  w.member("id", r.id);
}

void write(Writer& w, const Thread& r) {
  w.map(3);
  w.member("id", r.id);
  w.member("limit", uint64_t{r.limit});
  w.member("after", r.after.packed());
}

void write(Writer& w, const Retract& r) {
  w.map(2);
  w.member("author", r.author);
  w.member("id", r.id);
}

void write(Writer& w, const Delete& r) {
  w.map(1);
  w.member("entity", r.entity);
}

void write(Writer& w, const Mark& r) {
  w.map(3 + (r.consumer.empty() ? 0u : 1u));
  w.member("entity", r.entity);
  w.member("timeline", timeline_name(r.timeline));
  w.member("position", r.position.packed());
  if (!r.consumer.empty()) w.member("consumer", r.consumer);
}

void write(Writer& w, const Retain& r) {
  w.map(2 + (r.count ? 1u : 0u) + (r.age_s ? 1u : 0u));
  w.member("entity", r.entity);
  w.member("timeline", timeline_name(r.timeline));
  if (r.count) w.member("count", *r.count);
  if (r.age_s) w.member("age", *r.age_s);
}

void write(Writer& w, const Alias& r) {
  w.map(2);
  w.member("entity", r.entity);
  w.member("alias", r.alias);
}

void write(Writer& w, const Forwarding& r) {
  w.map(2 + (r.off ? 1u : 0u));
  w.member("from", r.from);
  w.member("to", r.to);
  if (r.off) w.flag("off", true);
}

template <class Names>
void write_names(Writer& w, const Names& r) {
  w.map(3);
  w.member("entity", r.entity);
  w.member("limit", uint64_t{r.limit});
  w.member("after", r.after);
}
void write(Writer& w, const Followers& r) { write_names(w, r); }
void write(Writer& w, const Following& r) { write_names(w, r); }

void write(Writer& w, const Lookup& r) {
  w.map(1);
  w.member("entity", r.entity);
}

void write(Writer& w, const Map& r) {
  w.map(1);
  w.member("after", r.after);
}

void write(Writer& w, const Tree& r) {
  w.map(r.costs ? 4 : 3);
  w.member("entity", r.entity);
  w.member("depth", uint64_t{r.depth});
  w.member("fanout", uint64_t{r.fanout});
  if (r.costs) w.flag("costs", true);
}

void write(Writer& w, const Leaves& r) {
  w.map(1);
  w.member("entity", r.entity);
}

void write(Writer& w, const Leaf& r) {
  w.map(r.costs ? 5 : 4);
  w.member("reflector", r.reflector);
  w.member("bucket", uint64_t{r.bucket.value()});
  w.member("limit", uint64_t{r.limit});
  w.member("after", uint64_t{r.after.value()});
  if (r.costs) w.flag("costs", true);
}

}  // namespace

RequestFrames encode_request(const Request& request, Encoding encoding) {
  RequestFrames frames;
  frames.verb = verb_of(request);
  const auto writer = make_writer(encoding, frames.args);
  std::visit([&](const auto& r) { write(*writer, r); }, request);
  if (const auto* publish = std::get_if<Publish>(&request); publish && !publish->batch)
    frames.body = single(publish->messages).body;
  return frames;
}

}  // namespace canopy::wire
