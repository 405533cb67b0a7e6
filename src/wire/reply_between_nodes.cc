// Replies inside a ForwardReply: arrays that keep everything. The layout is in README.md; one
// result is [1, fields…], an error in its place [0, code, message, retry_after_ms].
#include "base/limits.h"
#include "wire/array_reader.h"
#include "wire/message.h"
#include "wire/reply_parts.h"

namespace canopy::wire {
namespace {

constexpr ParseLimits node_reply_limits{2 * limits::reply_bytes_max, 1u << 22, limits::depth_max};

void write_one_error(Writer& w, const Error& error) {
  w.array(4);
  w.number(0);
  w.number(static_cast<uint64_t>(error.code));
  w.text(error.message);
  w.number(error.retry_after_ms);
}

void write_entry(Writer& w, const Entry& entry) {
  w.array(2);
  w.number(entry.position.packed());
  w.raw(*entry.message);
}

void write_one(Writer& w, const Published& p) {
  w.array(3);
  w.number(1);
  w.number(p.id.packed());
  w.number(p.time_ms);
}

void write_one(Writer& w, FollowState state) {
  w.array(2);
  w.number(1);
  w.number(static_cast<uint64_t>(state));
}

void write_one(Writer& w, bool removed) {
  w.array(2);
  w.number(1);
  w.boolean(removed);
}

void write_one(Writer& w, const TimelinePage& page) {
  w.array(5);
  w.number(1);
  w.array(page.entries.size());
  for (const Entry& entry : page.entries) write_entry(w, entry);
  if (page.next)
    w.number(page.next->packed());
  else
    w.null();
  w.boolean(page.truncated);
  w.array(page.incomplete.size());
  for (const std::string& name : page.incomplete) w.text(name);
}

template <class T>
std::string write_results(const std::vector<std::variant<T, Error>>& all, bool batch) {
  std::string out;
  const auto w = make_writer(Encoding::msgpack, out);
  w->array(2);
  w->boolean(batch);
  w->array(all.size());
  for (const auto& one : all) {
    if (const auto* error = std::get_if<Error>(&one))
      write_one_error(*w, *error);
    else
      write_one(*w, std::get<T>(one));
  }
  return out;
}

Entry read_entry(ArrayReader& in) {
  Entry entry;
  entry.position = Position(in.number("position", position_max));
  const std::string_view blob = in.bytes("message");
  if (in.ok()) {
    if (auto message = decode_message(blob); !message) in.refuse("message", message.error().message);
  }
  entry.message = make_blob(std::string(blob));
  return entry;
}

Published read_one(ArrayReader& in, const Published*) {
  const MessageId id(in.number("id"));
  return {id, in.number("time")};
}

FollowState read_one(ArrayReader& in, const FollowState*) {
  const uint64_t state = in.number("state");
  if (state != 1 && state != 2) in.refuse("state", "is unknown");
  return static_cast<FollowState>(state);
}

bool read_one(ArrayReader& in, const bool*) { return in.boolean("removed"); }

TimelinePage read_one(ArrayReader& in, const TimelinePage*) {
  TimelinePage page;
  in.each("entries", [&](ArrayReader& entry) { page.entries.push_back(read_entry(entry)); });
  if (const auto next = in.optional_number("next", position_max)) page.next = Position(*next);
  page.truncated = in.boolean("truncated");
  page.incomplete = in.texts("incomplete");
  return page;
}

template <class T>
void read_results(ArrayReader& in, std::vector<std::variant<T, Error>>& all, bool& batch, size_t most) {
  batch = in.boolean("batch");
  in.each("results", [&](ArrayReader& one) {
    const uint64_t kind = one.number("kind", 1);
    if (all.size() >= most) return one.refuse("results", "has more than " + std::to_string(most));
    if (kind == 1) {
      all.push_back(read_one(one, static_cast<const T*>(nullptr)));
      return;
    }
    Error error;
    const uint64_t code = one.number("code");
    if (code < 1 || code > static_cast<uint64_t>(Code::internal)) one.refuse("code", "is unknown");
    error.code = static_cast<Code>(code);
    error.message = one.text("message");
    error.retry_after_ms = static_cast<uint32_t>(one.number("retry_after_ms", UINT32_MAX));
    all.push_back(std::move(error));
  });
  if (!batch && all.size() != 1) in.refuse("results", "has not one result");
}

}  // namespace

std::string encode_reply_between_nodes(const Reply& reply) {
  if (const auto* r = std::get_if<PublishResult>(&reply)) return write_results(r->results, r->batch);
  if (const auto* r = std::get_if<FollowResult>(&reply)) return write_results(r->states, r->batch);
  if (const auto* r = std::get_if<UnfollowResult>(&reply)) return write_results(r->removed, r->batch);
  if (const auto* r = std::get_if<ReadResult>(&reply)) return write_results(r->pages, r->batch);
  if (const auto* r = std::get_if<GetResult>(&reply)) {
    std::string out;
    write_entry(*make_writer(Encoding::msgpack, out), r->entry);
    return out;
  }
  return encode_reply(reply, Encoding::msgpack).result;
}

Result<Reply> decode_reply_between_nodes(std::string_view verb, std::string_view bytes) {
  const bool own = verb == "PUBLISH" || verb == "FOLLOW" || verb == "UNFOLLOW" || verb == "READ" || verb == "GET";
  if (!own) return decode_reply(verb, verb.empty() ? "ERR" : "OK", bytes);
  Document document;
  TRY(parse_msgpack("reply", bytes, node_reply_limits, document));
  ArrayReader in("reply", document.root());
  Reply reply;
  if (verb == "PUBLISH") {
    PublishResult r;
    read_results(in, r.results, r.batch, limits::batch_messages_max);
    reply = std::move(r);
  } else if (verb == "FOLLOW") {
    FollowResult r;
    read_results(in, r.states, r.batch, limits::pairs_max);
    reply = std::move(r);
  } else if (verb == "UNFOLLOW") {
    UnfollowResult r;
    read_results(in, r.removed, r.batch, limits::pairs_max);
    reply = std::move(r);
  } else if (verb == "READ") {
    ReadResult r;
    read_results(in, r.pages, r.batch, limits::batch_entities_max);
    reply = std::move(r);
  } else {
    reply = GetResult{read_entry(in)};
  }
  in.end();
  if (!in.ok()) return in.error();
  return reply;
}

}  // namespace canopy::wire
