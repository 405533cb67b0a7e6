// Replies inside a ForwardReply: arrays that keep everything. The layout is in README.md; one
// result is [1, fields…], an error in its place [0, code, message, retry_after_ms].
#include "base/limits.h"
#include "wire/array_reader.h"
#include "wire/message.h"
#include "wire/reply_parts.h"

namespace canopy::wire {
namespace {

constexpr ParseLimits node_reply_limits{2 * limits::reply_bytes_max, 1u << 22, limits::depth_max};
// A Moved holds a whole request: args of a batch, or a body beside the args.
constexpr ParseLimits moved_limits{16 * limits::args_bytes_max + limits::body_bytes_max + 64, 8, 2};

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

void write_entries(Writer& w, const std::vector<Entry>& entries) {
  w.array(entries.size());
  for (const Entry& entry : entries) write_entry(w, entry);
}

void write_next(Writer& w, const std::optional<Position>& next) {
  if (next)
    w.number(next->packed());
  else
    w.null();
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
  w.array(6);
  w.number(1);
  write_entries(w, page.entries);
  write_next(w, page.next);
  if (page.unread)
    w.number(*page.unread);
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

std::string write_thread(const ThreadResult& r) {
  std::string out;
  const auto w = make_writer(Encoding::msgpack, out);
  w->array(4);
  write_entry(*w, r.message);
  std::vector<Entry> parent;
  if (r.parent) parent.push_back(*r.parent);
  write_entries(*w, parent);
  write_entries(*w, r.replies);
  write_next(*w, r.next);
  return out;
}

std::string write_moved(const Moved& r) {
  const RequestFrames frames = encode_request(r.again, Encoding::msgpack);
  std::string out;
  const auto w = make_writer(Encoding::msgpack, out);
  w->array(3);
  w->text(frames.verb);
  w->raw(frames.args);
  if (frames.body)
    w->raw(*frames.body);
  else
    w->null();
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

std::vector<Entry> read_entries(ArrayReader& in, std::string_view what) {
  std::vector<Entry> entries;
  in.each(what, [&](ArrayReader& entry) { entries.push_back(read_entry(entry)); });
  return entries;
}

std::optional<Position> read_next(ArrayReader& in) {
  const auto next = in.optional_number("next", position_max);
  return next ? std::optional(Position(*next)) : std::nullopt;
}

ThreadResult read_thread(ArrayReader& in) {
  ThreadResult r;
  in.one("message", [&](ArrayReader& entry) { r.message = read_entry(entry); });
  std::vector<Entry> parent = read_entries(in, "parent");
  if (parent.size() > 1) in.refuse("parent", "is more than one");
  if (parent.size() == 1) r.parent = std::move(parent.front());
  r.replies = read_entries(in, "replies");
  r.next = read_next(in);
  return r;
}

Moved read_moved(ArrayReader& in) {
  const std::string verb = in.text("verb");
  std::vector<std::string_view> frames{verb, in.bytes("args")};
  if (const auto body = in.optional_bytes("body")) frames.push_back(*body);
  if (!in.ok()) return {};
  auto request = decode_request(frames, {limits::body_bytes_max, true});
  if (request) return {std::move(*request)};
  in.refuse("again", "is wrong: " + request.error().message);
  return {};
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
  page.entries = read_entries(in, "entries");
  page.next = read_next(in);
  page.unread = in.optional_number("unread", UINT64_MAX);
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
  if (const auto* r = std::get_if<ThreadResult>(&reply)) return write_thread(*r);
  if (const auto* r = std::get_if<Moved>(&reply)) return write_moved(*r);
  return encode_reply(reply, Encoding::msgpack).result;
}

Result<Reply> decode_reply_between_nodes(std::string_view verb, std::string_view bytes) {
  const bool own = verb == "PUBLISH" || verb == "FOLLOW" || verb == "UNFOLLOW" || verb == "READ" || verb == "GET" ||
                   verb == "THREAD" || verb == moved_verb;
  if (!own) return decode_reply(verb, verb.empty() ? "ERR" : "OK", bytes);
  Document document;
  TRY(parse_msgpack("reply", bytes, verb == moved_verb ? moved_limits : node_reply_limits, document));
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
  } else if (verb == "THREAD") {
    reply = read_thread(in);
  } else if (verb == moved_verb) {
    reply = read_moved(in);
  } else {
    reply = GetResult{read_entry(in)};
  }
  in.end();
  if (!in.ok()) return in.error();
  return reply;
}

}  // namespace canopy::wire
