// Decodes what clients send: verb, then the verb's fields. Encoding is in request_encode.cc.
#include "wire/request.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/limits.h"
#include "base/name.h"
#include "base/values.h"
#include "wire/fields.h"
#include "wire/text.h"

namespace canopy::wire {
namespace {

// With `messages` the bodies stand inside the args.
constexpr size_t batch_args_bytes_max = 16 * limits::args_bytes_max;
static_assert(batch_args_bytes_max >= limits::body_bytes_max, "a batch must hold at least one of the largest bodies");

constexpr uint64_t depth_max = 1000;       // TREE
constexpr uint64_t fanout_max = 1'000'000; // TREE
constexpr uint64_t retention_count_max = position_max;  // RETAIN: what every JSON reader keeps

struct Context {
  std::string_view verb;
  std::optional<std::string_view> body;
  RequestLimits limits;
};

// Each name once, in the order in which they came.
std::vector<std::string> distinct(std::vector<std::string> names) {
  std::vector<std::string> out;
  for (std::string& name : names)
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(std::move(name));
  return out;
}

std::vector<std::string> read_topics(Fields& f) {
  std::vector<std::string> topics = f.names("topics", limits::mentions_max);
  for (size_t i = 0; i < topics.size(); ++i) {
    if (topics[i].front() == '#') continue;
    topics[i].insert(0, "#");
    if (auto checked = check_name(f.path("topics[" + std::to_string(i) + "]"), topics[i]); !checked)
      f.refuse_all(checked.error());
  }
  return distinct(std::move(topics));
}

MessageId read_reply_to(Fields& f) {
  if (!f.given("reply_to")) return {};
  const MessageId id = f.id("reply_to");
  if (id.zero()) f.refuse("reply_to", "is 0: it must be the id of a message");
  return id;
}

void only_message_fields(Fields& f, bool inside) {
  if (f.encoding() == Encoding::msgpack) {
    inside ? f.only({"author", "body", "type", "key", "reply_to", "mentions", "topics", "to"})
           : f.only({"author", "body", "type", "key", "reply_to", "mentions", "topics", "to", "messages"});
    return;
  }
  inside ? f.only({"author", "body", "body_base64", "type", "key", "reply_to", "mentions", "topics", "to"})
         : f.only({"author", "body", "body_base64", "type", "key", "reply_to", "mentions", "topics", "to", "messages"});
}

// One message: the fields of PUBLISH, or of one of its `messages` (`inside`). `author`: what an
// ingest packet's first frame says, else "".
Message read_message(Fields& f, const Context& context, bool inside, std::string_view author = {}) {
  only_message_fields(f, inside);
  Message m;
  if (author.empty() || f.given("author")) m.author = f.name("author");
  if (!author.empty()) {
    if (f.given("author") && f.ok() && m.author != author)
      f.refuse("author", "is " + quoted(m.author) + ": the frame before says " + quoted(author));
    m.author = author;
  }
  m.type = f.text("type", 0, limits::type_bytes_max);
  m.key = f.text("key", 1, limits::key_bytes_max);
  m.reply_to = read_reply_to(f);
  m.mentions = distinct(f.names("mentions", limits::mentions_max));
  m.topics = read_topics(f);
  m.to = distinct(f.names("to", limits::mentions_max));
  auto body = f.bytes("body", context.limits.body_max);
  if (context.body && (f.given("body") || f.given("body_base64")))
    f.refuse("body", "is given twice: as a frame and as a field");
  else if (context.body)
    body = std::string(*context.body);
  if (!body && f.ok())
    f.refuse("body", inside ? "is missing: each of messages needs one"
                            : "is missing: it must stand in the third frame or in the field body");
  if (body && body->size() > context.limits.body_max)
    f.refuse("body",
             "has " + std::to_string(body->size()) + " bytes: it must have at most " +
                 std::to_string(context.limits.body_max),
             Code::too_large);
  m.body = std::move(body).value_or("");
  return m;
}

Publish read_publish(Fields& f, const Context& context) {
  Publish p;
  if (!f.given("messages")) {
    p.messages.push_back(read_message(f, context, false));
    return p;
  }
  p.batch = true;
  for (const std::string_view other : {"author", "body", "body_base64", "type", "key", "reply_to", "mentions", "topics", "to"})
    if (f.given(other)) f.refuse(other, "is given beside messages: it must stand inside them");
  f.only({"messages"});
  if (context.body) f.refuse("body", "is given as a frame beside messages: it must stand inside them");
  const auto list = f.list("messages", limits::batch_messages_max);
  if (!list || !f.ok()) return p;
  const Context inside{context.verb, std::nullopt, context.limits};
  p.messages.reserve(list->size());
  Value item = *list;
  for (size_t i = 0; i < list->size(); ++i) {
    item = i == 0 ? list->first() : item.next();
    const std::string which = "messages[" + std::to_string(i) + "]";
    if (!item.is(Kind::map)) {
      f.refuse(which, wrong_kind(item, "a map of author, body and what else PUBLISH takes"));
      return p;
    }
    Fields inner(context.verb, which + ".", item, f.encoding());
    p.messages.push_back(read_message(inner, inside, true));
    if (!inner.ok()) {
      f.refuse_all(inner.error().value());
      return p;
    }
  }
  return p;
}

// `follower` and `author`, or `pairs`; returns whether it was `pairs`.
bool read_pairs(Fields& f, std::vector<Pair>& pairs) {
  if (!f.given("pairs")) {
    std::string follower = f.name("follower");
    pairs.push_back({std::move(follower), f.name("author")});
    return false;
  }
  for (const std::string_view other : {"follower", "author"})
    if (f.given(other)) f.refuse(other, "is given beside pairs: it must be one or the other");
  const auto list = f.list("pairs", limits::pairs_max);
  if (!list || !f.ok()) return true;
  pairs.reserve(list->size());
  Value item = *list;
  for (size_t i = 0; i < list->size(); ++i) {
    item = i == 0 ? list->first() : item.next();
    const std::string which = "pairs[" + std::to_string(i) + "]";
    if (!item.is(Kind::array) || item.size() != 2) {
      f.refuse(which, item.is(Kind::array) ? "has " + std::to_string(item.size()) + " items: it must be [follower, author]"
                                           : wrong_kind(item, "[follower, author]"));
      return true;
    }
    const std::array<Value, 2> both{item.first(), item.first().next()};
    for (size_t k = 0; k < 2; ++k) {
      const std::string name = which + "[" + std::to_string(k) + "]";
      if (!both[k].is(Kind::text)) return f.refuse(name, wrong_kind(both[k], "a name")), true;
      if (auto checked = check_name(name, both[k].string()); !checked) return f.refuse_all(checked.error()), true;
    }
    pairs.push_back({std::string(both[0].string()), std::string(both[1].string())});
  }
  return true;
}

Follow read_follow(Fields& f, const Context&) {
  f.only({"follower", "author", "pairs", "wait_ms", "backfill"});
  Follow r;
  r.batch = read_pairs(f, r.pairs);
  r.wait_ms = static_cast<uint32_t>(f.number("wait_ms", r.wait_ms, 0, limits::wait_ms_max));
  r.backfill = static_cast<uint32_t>(f.number("backfill", 0, 0, limits::backfill_max));
  return r;
}

Unfollow read_unfollow(Fields& f, const Context&) {
  f.only({"follower", "author", "pairs"});
  Unfollow r;
  r.batch = read_pairs(f, r.pairs);
  return r;
}

Timeline read_timeline(Fields& f, Timeline fallback) {
  if (!f.given("timeline")) return fallback;
  const std::string name = f.any_text("timeline");
  Timeline timeline = fallback;
  if (f.ok() && !parse_timeline(name, timeline))
    f.refuse("timeline", "is " + quoted(name) + ": it must be home, sent, mentions, replies or topic");
  return timeline;
}

std::string read_consumer(Fields& f) { return f.given("consumer") ? f.name("consumer") : std::string(); }

Read read_read(Fields& f, const Context&) {
  f.only({"entity", "entities", "timeline", "limit", "before", "after", "wait_ms", "stale_ok", "consumer"});
  Read r;
  r.batch = f.given("entities");
  if (!r.batch)
    r.entities.push_back(f.name("entity"));
  else if (f.given("entity"))
    f.refuse("entity", "is given beside entities: it must be one or the other");
  else
    r.entities = f.names("entities", limits::batch_entities_max);
  r.timeline = read_timeline(f, r.timeline);
  r.limit = static_cast<uint32_t>(f.number("limit", limits::read_limit_default, 1, limits::read_limit_max));
  r.before = f.position("before");
  r.after = f.position("after");
  r.wait_ms = static_cast<uint32_t>(f.number("wait_ms", 0, 0, limits::wait_ms_max));
  r.stale_ok = f.boolean("stale_ok", false);
  r.consumer = read_consumer(f);
  if (r.before && r.after) f.refuse("before", "is given beside after: it must be one or the other");
  if (r.wait_ms > 0 && r.batch) f.refuse("wait_ms", "is given with entities: it must come with entity");
  for (const std::string_view other : {"before", "after"})
    if (!r.consumer.empty() && f.given(other))
      f.refuse("consumer", "is given beside " + std::string(other) + ": it must be one or the other");
  if (r.wait_ms > 0 && !r.after && r.consumer.empty())
    f.refuse("wait_ms", "is given without after: it must come with after or consumer");
  return r;
}

Get read_get(Fields& f, const Context&) {
  f.only({"id"});
  return {f.id("id")};
}

Thread read_thread(Fields& f, const Context&) {
  f.only({"id", "limit", "after"});
  Thread r;
  r.id = f.id("id");
  r.limit = static_cast<uint32_t>(f.number("limit", limits::read_limit_default, 1, limits::read_limit_max));
  r.after = f.position("after").value_or(Position());
  return r;
}

Retract read_retract(Fields& f, const Context&) {
  f.only({"author", "id"});
  Retract r;
  r.author = f.name("author");
  r.id = f.id("id");
  return r;
}

Delete read_delete(Fields& f, const Context&) {
  f.only({"entity"});
  return {f.name("entity")};
}

Mark read_mark(Fields& f, const Context&) {
  f.only({"entity", "timeline", "position", "consumer"});
  Mark r;
  r.entity = f.name("entity");
  r.timeline = read_timeline(f, r.timeline);
  r.position = Position(f.need_number("position", position_max));
  r.consumer = read_consumer(f);
  return r;
}

// An age is a number of seconds, or text such as "365d".
std::optional<uint64_t> read_age(Fields& f) {
  const auto value = f.find("age");
  if (!value) return std::nullopt;
  const std::string wanted = "a duration in whole seconds such as \"365d\" (s, m, h, d) or a number of seconds, at most " +
                             std::to_string(age_s_max);
  std::optional<uint64_t> age;
  if (value->is(Kind::number)) age = value->number();
  if (value->is(Kind::text)) age = parse_age(value->string());
  if (age && *age <= age_s_max) return age;
  f.refuse("age", value->is(Kind::text)     ? "is " + quoted(value->string()) + ": it must be " + wanted
                  : value->is(Kind::number) ? "is " + std::to_string(value->number()) + ": it must be " + wanted
                                            : wrong_kind(*value, wanted));
  return std::nullopt;
}

Retain read_retain(Fields& f, const Context&) {
  f.only({"entity", "timeline", "count", "age"});
  Retain r;
  r.entity = f.name("entity");
  if (f.require("timeline", "a timeline")) r.timeline = read_timeline(f, r.timeline);
  if (f.ok() && r.timeline == Timeline::home)
    f.refuse("timeline", "is home, which timeline.capacity bounds: it must be sent, mentions, replies or topic");
  if (f.given("count")) r.count = f.need_number("count", retention_count_max);
  r.age_s = read_age(f);
  return r;
}

Alias read_alias(Fields& f, const Context&) {
  f.only({"entity", "alias"});
  Alias r;
  r.entity = f.name("entity");
  r.alias = f.name("alias");
  if (f.ok() && r.alias == r.entity) f.refuse("alias", "is the entity itself: it must be another name");
  return r;
}

Forwarding read_forwarding(Fields& f, const Context&) {
  f.only({"from", "to", "off"});
  Forwarding r;
  r.from = f.name("from");
  r.to = f.name("to");
  r.off = f.boolean("off", false);
  if (f.ok() && r.from == r.to) f.refuse("to", "is the same as from: it must be another entity");
  return r;
}

template <class Names>
Names read_names(Fields& f, const Context&) {
  f.only({"entity", "limit", "after"});
  Names r;
  r.entity = f.name("entity");
  r.limit = static_cast<uint32_t>(f.number("limit", limits::read_limit_default, 1, limits::read_limit_max));
  r.after = f.number("after", 0, 0, UINT64_MAX);
  return r;
}

Lookup read_lookup(Fields& f, const Context&) {
  f.only({"entity"});
  return {f.name("entity")};
}

Map read_map(Fields& f, const Context&) {
  f.only({"after"});
  return {f.number("after", 0, 0, UINT64_MAX)};
}

Tree read_tree(Fields& f, const Context&) {
  f.only({"entity", "depth", "fanout", "costs"});
  Tree r;
  r.entity = f.name("entity");
  r.depth = static_cast<uint32_t>(f.number("depth", 0, 0, depth_max));
  r.fanout = static_cast<uint32_t>(f.number("fanout", 0, 0, fanout_max));
  r.costs = f.boolean("costs", false);
  if (r.fanout == 1) f.refuse("fanout", "is 1: it must be 0 (as it is) or 2 to " + std::to_string(fanout_max));
  return r;
}

template <class Nothing>
Nothing read_nothing(Fields& f, const Context&) {
  f.only({});
  return {};
}

Leaves read_leaves(Fields& f, const Context&) {
  f.only({"entity"});
  return {f.name("entity")};
}

Leaf read_leaf(Fields& f, const Context&) {
  f.only({"reflector", "bucket", "limit", "after", "costs"});
  Leaf r;
  r.reflector = f.name("reflector");
  r.bucket = BucketId(static_cast<uint16_t>(f.need_number("bucket", UINT16_MAX)));
  r.limit = static_cast<uint32_t>(f.number("limit", 0, 0, UINT32_MAX));
  r.after = EntityNo(static_cast<uint32_t>(f.number("after", 0, 0, UINT32_MAX)));
  r.costs = f.boolean("costs", false);
  return r;
}

struct Verb {
  std::string_view name;
  Request (*read)(Fields&, const Context&);
  bool between_nodes = false;
};

template <auto read>
Request as_request(Fields& f, const Context& context) {
  return read(f, context);
}

constexpr std::array<Verb, 21> verbs{{
    {"PING", as_request<read_nothing<Ping>>},
    {"PUBLISH", as_request<read_publish>},
    {"FOLLOW", as_request<read_follow>},
    {"UNFOLLOW", as_request<read_unfollow>},
    {"READ", as_request<read_read>},
    {"GET", as_request<read_get>},
    {"FOLLOWERS", as_request<read_names<Followers>>},
    {"FOLLOWING", as_request<read_names<Following>>},
    {"LOOKUP", as_request<read_lookup>},
    {"MAP", as_request<read_map>},
    {"TREE", as_request<read_tree>},
    {"STATUS", as_request<read_nothing<Status>>},
    {"X.LEAVES", as_request<read_leaves>, true},
    {"X.LEAF", as_request<read_leaf>, true},
    {"THREAD", as_request<read_thread>},
    {"RETRACT", as_request<read_retract>},
    {"DELETE", as_request<read_delete>},
    {"MARK", as_request<read_mark>},
    {"RETAIN", as_request<read_retain>},
    {"ALIAS", as_request<read_alias>},
    {"FORWARD", as_request<read_forwarding>},
}};
static_assert(verbs.size() == std::variant_size_v<Request>, "each request has a verb, in the variant's order");

constexpr std::array<std::string_view, 16> later_verbs{
    "TRACE",       "RECEIPT", "SUBSCRIBE", "CREDIT", "UNSUBSCRIBE", "NODE.JOIN", "NODE.DRAIN", "NODE.REMOVE",
    "BUCKET.MOVE", "PLAN",    "RAFT",      "QUEUE",  "SCRUB",       "BACKUP",    "RECOVER",    "CONFIG.RELOAD"};

Result<const Verb*> find_verb(std::string_view name, bool between_nodes) {
  for (const Verb& verb : verbs)
    if (verb.name == name && (between_nodes || !verb.between_nodes)) return &verb;
  if (std::find(later_verbs.begin(), later_verbs.end(), name) != later_verbs.end())
    return failure(Code::unknown_verb, std::string(name) + " is not supported yet");
  std::string message = "unknown verb " + quoted(name) + ": known are ";
  for (const Verb& verb : verbs) {
    if (verb.between_nodes) continue;
    if (verb.name != verbs[0].name) message += ", ";
    message += verb.name;
  }
  return failure(Code::unknown_verb, std::move(message));
}

// A map of no fields stands for absent args.
Result<void> parse_args(std::string_view args, bool publish, Document& document) {
  if (args.empty()) args = std::string_view("\x80", 1);
  ParseLimits limits;
  if (publish) limits.bytes_max = batch_args_bytes_max;
  const bool json = encoding_of(args) == Encoding::json;
  TRY(json ? parse_json("args", args, limits, document) : parse_msgpack("args", args, limits, document));
  if (!document.root().is(Kind::map))
    return failure(Code::bad_request, "args " + wrong_kind(document.root(), "a msgpack map or a JSON object"));
  return {};
}

}  // namespace

std::string_view timeline_name(Timeline timeline) {
  switch (timeline) {
    case Timeline::home: return "home";
    case Timeline::sent: return "sent";
    case Timeline::mentions: return "mentions";
    case Timeline::replies: return "replies";
    case Timeline::topic: return "topic";
  }
  ASSERT(!"no such timeline");
  return {};
}

bool parse_timeline(std::string_view name, Timeline& timeline) {
  for (const Timeline t : {Timeline::home, Timeline::sent, Timeline::mentions, Timeline::replies, Timeline::topic}) {
    if (name != timeline_name(t)) continue;
    timeline = t;
    return true;
  }
  return false;
}

std::string_view verb_of(const Request& request) { return verbs[request.index()].name; }

Encoding encoding_of(std::string_view args) {
  const size_t first = args.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && args[first] == '{' ? Encoding::json : Encoding::msgpack;
}

Result<Request> decode_request(const std::vector<std::string_view>& frames, const RequestLimits& limits) {
  if (frames.empty()) return failure(Code::bad_request, "request has no frames: it must be verb [args [body]]");
  const auto verb = find_verb(frames[0], limits.between_nodes);
  if (!verb) return tl::unexpected<Error>(verb.error());
  const std::string name((*verb)->name);
  if (frames.size() > 3)
    return failure(Code::bad_request,
                   "request has " + std::to_string(frames.size()) + " frames: it must be verb [args [body]]");
  const bool publish = name == "PUBLISH";
  if (frames.size() == 3 && !publish)
    return failure(Code::bad_request, "body is given as a third frame: " + name + " takes none");
  const std::string_view args = frames.size() > 1 ? frames[1] : std::string_view();
  Document document;
  TRY(parse_args(args, publish, document));
  Fields fields((*verb)->name, "", document.root(), encoding_of(args));
  if (args.size() > limits::args_bytes_max && !fields.given("messages"))
    return failure(Code::too_large, "args have " + std::to_string(args.size()) + " bytes: they must have at most " +
                                        std::to_string(limits::args_bytes_max) +
                                        "; a large body goes into the third frame");
  const Context context{(*verb)->name, frames.size() > 2 ? std::optional(frames[2]) : std::nullopt, limits};
  Request request = (*verb)->read(fields, context);
  if (!fields.ok()) return fields.error();
  return request;
}

Result<Publish> decode_ingest(const std::vector<std::string_view>& frames, const RequestLimits& limits) {
  if (frames.size() != 2 && frames.size() != 3)
    return failure(Code::bad_request, "ingest packet has " + std::to_string(frames.size()) +
                                          " frames: it must be author body, or author args body");
  TRY(check_name("author", frames[0]));
  const std::string_view args = frames.size() == 3 ? frames[1] : std::string_view();
  if (args.size() > limits::args_bytes_max)
    return failure(Code::too_large, "args have " + std::to_string(args.size()) + " bytes: they must have at most " +
                                        std::to_string(limits::args_bytes_max));
  Document document;
  TRY(parse_args(args, false, document));
  Fields fields("PUBLISH", "", document.root(), encoding_of(args));
  if (fields.given("messages")) fields.refuse("messages", "is given: an ingest packet is one message");
  const Context context{"PUBLISH", frames.back(), limits};
  Publish publish;
  publish.messages.push_back(read_message(fields, context, false, frames[0]));
  if (!fields.ok()) return fields.error();
  return publish;
}

}  // namespace canopy::wire
