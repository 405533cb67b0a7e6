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

// The fields that are written, so that a map can be announced with its size.
size_t pairs_of(const Message& m, bool with_body) {
  return 1 + (m.type.empty() ? 0 : 1) + (m.key.empty() ? 0 : 1) + (with_body ? 1 : 0);
}

void write_message(Writer& w, const Message& m, bool with_body) {
  w.map(pairs_of(m, with_body));
  w.member("author", m.author);
  if (!m.type.empty()) w.member("type", m.type);
  if (!m.key.empty()) w.member("key", m.key);
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
  w.map(r.batch ? 2 : 3);
  write_pairs(w, r.pairs, r.batch);
  w.member("wait_ms", uint64_t{r.wait_ms});
}

void write(Writer& w, const Unfollow& r) {
  w.map(r.batch ? 1 : 2);
  write_pairs(w, r.pairs, r.batch);
}

void write(Writer& w, const Read& r) {
  w.map(3 + (r.before ? 1u : 0u) + (r.after ? 1u : 0u) + (r.wait_ms ? 1u : 0u) + (r.stale_ok ? 1u : 0u));
  if (r.batch) {
    w.key("entities");
    w.array(r.entities.size());
    for (const std::string& entity : r.entities) w.text(entity);
  } else {
    w.member("entity", single(r.entities));
  }
  w.member("timeline", timeline_name(r.timeline));
  w.member("limit", uint64_t{r.limit});
  if (r.before) w.member("before", r.before->packed());
  if (r.after) w.member("after", r.after->packed());
  if (r.wait_ms) w.member("wait_ms", uint64_t{r.wait_ms});
  if (r.stale_ok) w.flag("stale_ok", true);
}

void write(Writer& w, const Get& r) {
  w.map(1);
  w.member("id", r.id);
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
  w.map(3);
  w.member("entity", r.entity);
  w.member("depth", uint64_t{r.depth});
  w.member("fanout", uint64_t{r.fanout});
}

void write(Writer& w, const Leaves& r) {
  w.map(1);
  w.member("entity", r.entity);
}

void write(Writer& w, const Leaf& r) {
  w.map(4);
  w.member("reflector", r.reflector);
  w.member("bucket", uint64_t{r.bucket.value()});
  w.member("limit", uint64_t{r.limit});
  w.member("after", uint64_t{r.after.value()});
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
