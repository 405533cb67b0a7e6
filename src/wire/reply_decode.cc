// Decodes what a client was answered. Fields that are not known are passed over: a newer node may
// say more.
#include <algorithm>

#include "base/limits.h"
#include "base/name.h"
#include "wire/message.h"
#include "wire/reply_parts.h"

namespace canopy::wire {
namespace {

// A READ of 1,000 timelines of 1,000 entries has about 14 million values, in 64 MiB of records and
// what msgpack or JSON put around them.
constexpr ParseLimits reply_limits{4 * limits::reply_bytes_max, 1u << 24, limits::depth_max};

template <class F>
void for_each(const std::optional<Value>& list, F f) {
  if (!list) return;
  Value item = *list;
  for (size_t i = 0; i < list->size(); ++i) {
    item = i == 0 ? list->first() : item.next();
    f(i, item);
  }
}

// Calls f(inner fields) for each map of a list.
template <class F>
void for_each_map(Fields& f, std::string_view field, F read) {
  f.require(field, "a list");
  for_each(f.list(field, UINT32_MAX), [&](size_t i, Value item) {
    const std::string which = std::string(field) + "[" + std::to_string(i) + "]";
    if (!f.ok()) return;
    if (!item.is(Kind::map)) return f.refuse(which, wrong_kind(item, "a map"));
    Fields inner(f.owner(), f.path(which) + ".", item, f.encoding());
    read(inner);
    if (!inner.ok()) f.refuse_all(inner.error().value());
  });
}

std::vector<std::string> texts(Fields& f, std::string_view field) {
  std::vector<std::string> out;
  f.require(field, "a list");
  for_each(f.list(field, UINT32_MAX), [&](size_t, Value item) {
    if (item.is(Kind::text) && valid_utf8(item.string()))
      out.emplace_back(item.string());
    else
      f.refuse(field, "holds " + std::string(kind_name(item.kind())) + ": it must hold text");
  });
  return out;
}

uint32_t number32(Fields& f, std::string_view field) { return static_cast<uint32_t>(f.need_number(field, UINT32_MAX)); }
BucketId bucket(Fields& f, std::string_view field) {
  return BucketId(static_cast<uint16_t>(f.need_number(field, UINT16_MAX)));
}

// The record is made anew; its own position is not in the reply, and the entry's stands in for it.
Entry entry(Fields& f) {
  const Position position(f.need_number("position", position_max));
  MessageView m;
  m.id = f.id("id");
  m.position = position;
  m.time_ms = f.need_number("time");
  const std::string author = f.name("author");
  const std::string type = f.text("type", 0, limits::type_bytes_max);
  if (f.given("reply_to")) m.reply_to = f.id("reply_to");
  const std::vector<std::string> mentions = f.names("mentions", limits::mentions_max);
  const std::vector<std::string> topics = f.names("topics", limits::mentions_max);
  const auto body = f.bytes("body", limits::body_bytes_max);
  if (!body) f.refuse("body", "is missing");
  if (!f.ok()) return {};
  m.author = author;
  m.type = type;
  m.mentions.assign(mentions.begin(), mentions.end());
  m.topics.assign(topics.begin(), topics.end());
  m.body = *body;
  return {position, make_blob(encode_message(m))};
}

Published published(Fields& f) {
  const MessageId id = f.id("id");
  return {id, f.need_number("time")};
}

TimelinePage page(Fields& f) {
  TimelinePage p;
  for_each_map(f, "entries", [&](Fields& inner) { p.entries.push_back(entry(inner)); });
  p.next = f.position("next");
  if (f.given("unread")) p.unread = f.need_number("unread");
  p.truncated = f.need_boolean("truncated");
  p.incomplete = texts(f, "incomplete");
  return p;
}

template <class T>
void results(Fields& f, T (*read)(Fields&), std::vector<std::variant<T, Error>>& all, bool& batch) {
  batch = f.given("results");
  if (!batch) {
    all.push_back(read(f));
    return;
  }
  for_each_map(f, "results", [&](Fields& inner) {
    if (!inner.given("code")) {
      all.push_back(read(inner));
      return;
    }
    Error error;
    if (!parse_code(inner.any_text("code"), error.code)) error.code = Code::internal;
    error.message = inner.any_text("message");
    error.retry_after_ms = static_cast<uint32_t>(inner.number("retry_after_ms", 0, 0, UINT32_MAX));
    all.push_back(std::move(error));
  });
}

// `failed` of a batch, ascending by index, with which the others are filled up.
std::vector<std::pair<uint32_t, Error>> failed(Fields& f) {
  std::vector<std::pair<uint32_t, Error>> out;
  f.require("failed", "a list");
  for_each(f.list("failed", limits::pairs_max), [&](size_t i, Value item) {
    const bool fits = item.is(Kind::array) && item.size() == 2 && item.first().is(Kind::number) &&
                      item.first().number() < limits::pairs_max && item.first().next().is(Kind::text) &&
                      (out.empty() || item.first().number() > out.back().first);
    if (!fits) return f.refuse("failed[" + std::to_string(i) + "]", "is wrong: it must be [index, code], ascending");
    Error error;
    if (!parse_code(item.first().next().string(), error.code)) error.code = Code::internal;
    error.message = code_name(error.code);
    out.emplace_back(static_cast<uint32_t>(item.first().number()), std::move(error));
  });
  return out;
}

// Puts the errors at their indexes, and `value(n)` for the n-th of the others; at least `others`.
template <class T, class F>
std::vector<std::variant<T, Error>> fill(std::vector<std::pair<uint32_t, Error>> errors, size_t others, F value) {
  const size_t last = errors.empty() ? 0 : errors.back().first + size_t{1};
  const size_t size = std::max(last, errors.size() + others);
  std::vector<std::variant<T, Error>> all;
  size_t next_error = 0, next_other = 0;
  for (size_t i = 0; i < size; ++i) {
    if (next_error < errors.size() && errors[next_error].first == i)
      all.push_back(std::move(errors[next_error++].second));
    else
      all.push_back(value(next_other++));
  }
  return all;
}

PingResult read_ping(Fields& f) {
  PingResult r;
  r.node = f.any_text("node");
  r.fabric = f.any_text("fabric");
  r.version = f.any_text("version");
  r.fabric_id = f.any_text("fabric_id");
  r.map_version = f.need_number("map_version");
  return r;
}

PublishResult read_publish(Fields& f) {
  PublishResult r;
  results(f, published, r.results, r.batch);
  return r;
}

FollowResult read_follow(Fields& f) {
  FollowResult r;
  r.batch = !f.given("state");
  if (!r.batch) {
    const std::string state = f.any_text("state");
    if (state != "active" && state != "pending") f.refuse("state", "is wrong: it must be active or pending");
    r.states.push_back(state == "active" ? FollowState::active : FollowState::pending);
    return r;
  }
  const uint64_t active = f.need_number("active", limits::pairs_max);
  const uint64_t pending = f.need_number("pending", limits::pairs_max);
  auto errors = failed(f);
  r.states = fill<FollowState>(std::move(errors), active + pending, [&](size_t n) {
    return n < active ? FollowState::active : FollowState::pending;
  });
  return r;
}

UnfollowResult read_unfollow(Fields& f) {
  UnfollowResult r;
  const auto value = f.require("removed", "true, false or a count");
  if (!value) return r;
  r.batch = !value->is(Kind::boolean);
  if (!r.batch) {
    r.removed.push_back(value->boolean());
    return r;
  }
  const uint64_t removed = f.need_number("removed", limits::pairs_max);
  r.removed = fill<bool>(failed(f), removed, [&](size_t n) { return n < removed; });
  return r;
}

ReadResult read_read(Fields& f) {
  ReadResult r;
  results(f, page, r.pages, r.batch);
  return r;
}

GetResult read_get(Fields& f) { return {entry(f)}; }

// An entry that stands under a name of its own.
Entry inner_entry(Fields& f, std::string_view field) {
  const auto value = f.require(field, "an entry");
  if (!value) return {};
  if (!value->is(Kind::map)) return f.refuse(field, wrong_kind(*value, "a map")), Entry();
  Fields inner(f.owner(), f.path(field) + ".", *value, f.encoding());
  Entry read = entry(inner);
  if (!inner.ok()) f.refuse_all(inner.error().value());
  return read;
}

ThreadResult read_thread(Fields& f) {
  ThreadResult r;
  r.message = inner_entry(f, "message");
  if (f.given("parent")) r.parent = inner_entry(f, "parent");
  for_each_map(f, "replies", [&](Fields& inner) { r.replies.push_back(entry(inner)); });
  r.next = f.position("next");
  return r;
}

// A reply that only ever says true.
template <class Done>
Done read_done(Fields& f, std::string_view field) {
  if (!f.need_boolean(field)) f.refuse(field, "is false: it must be true");
  return {};
}

RetainResult read_retain(Fields& f) {
  RetainResult r;
  r.count = f.number("count", 0, 0, UINT64_MAX);
  r.age_s = f.number("age", 0, 0, UINT64_MAX);
  return r;
}

AliasResult read_alias(Fields& f) {
  AliasResult r;
  r.entity = f.name("entity");
  r.alias = f.name("alias");
  return r;
}

ForwardingResult read_forwarding(Fields& f) {
  const std::string state = f.any_text("state");
  if (state != "active" && state != "pending" && state != "off")
    f.refuse("state", "is wrong: it must be active, pending or off");
  return {state == "pending" ? FollowState::pending : FollowState::active, state == "off"};
}

NamesResult read_names(Fields& f) {
  NamesResult r;
  r.names = texts(f, "names");
  if (f.given("next")) r.next = f.need_number("next");
  r.count = f.need_number("count");
  return r;
}

LookupResult read_lookup(Fields& f) {
  LookupResult r;
  r.entity = f.name("entity");
  r.bucket = bucket(f, "bucket");
  r.epoch = Epoch(number32(f, "epoch"));
  r.primary = f.any_text("primary");
  r.backups = texts(f, "backups");
  r.endpoint = f.any_text("endpoint");
  return r;
}

MapResult read_map(Fields& f) {
  MapResult r;
  r.version = f.need_number("version");
  r.bucket_count = number32(f, "bucket_count");
  for_each_map(f, "nodes", [&](Fields& inner) {
    MapNode n;
    n.name = inner.any_text("name");
    n.client = inner.any_text("client");
    n.feed = inner.any_text("feed");
    n.link = inner.any_text("link");
    n.zone = inner.any_text("zone");
    n.state = inner.any_text("state");
    n.weight_milli = number32(inner, "weight_milli");
    r.nodes.push_back(std::move(n));
  });
  for_each_map(f, "buckets", [&](Fields& inner) {
    MapBucket b;
    b.bucket = bucket(inner, "bucket");
    b.primary = inner.any_text("primary");
    b.backups = texts(inner, "backups");
    b.epoch = Epoch(number32(inner, "epoch"));
    b.incarnation = inner.need_number("incarnation");
    r.buckets.push_back(std::move(b));
  });
  return r;
}

// Of a leaf, where it was asked for.
std::optional<LeafCosts> costs(Fields& f) {
  const auto value = f.find("costs");
  if (!value) return std::nullopt;
  if (!value->is(Kind::map)) return f.refuse("costs", wrong_kind(*value, "a map")), std::nullopt;
  Fields inner(f.owner(), f.path("costs") + ".", *value, f.encoding());
  LeafCosts c;
  c.mode = inner.any_text("mode");
  c.forced = inner.boolean("forced", false);
  c.warm = inner.number("warm", 0, 0, UINT64_MAX);
  if (inner.given("messages_milli")) {
    const auto number = [&](std::string_view field) { return inner.need_number(field); };
    c.measured = {number("messages_milli"), number("reads_milli"), number("append_ns"), number("merge_ns"), number("lazy_ns")};
  }
  if (!inner.ok()) f.refuse_all(inner.error().value());
  return c;
}

TreeResult read_tree(Fields& f) {
  TreeResult r;
  r.entity = f.name("entity");
  r.followers = f.need_number("followers");
  r.levels = number32(f, "levels");
  for_each_map(f, "reflectors", [&](Fields& inner) {
    TreeReflector t;
    t.kind = inner.any_text("kind");
    if (inner.given("bucket")) t.bucket = bucket(inner, "bucket");
    t.node = inner.any_text("node");
    t.children = inner.need_number("children");
    t.followers = inner.need_number("followers");
    t.level = number32(inner, "level");
    t.parent = number32(inner, "parent");
    t.costs = costs(inner);
    const size_t at = r.reflectors.size();
    if (t.parent > at || (t.parent == at && at != 0)) inner.refuse("parent", "is no reflector before this one");
    r.reflectors.push_back(std::move(t));
  });
  return r;
}

StatusResult read_status(Value map) {
  StatusResult r;
  Value key = map;
  for (size_t i = 0; i < map.size(); ++i) {
    key = i == 0 ? map.first() : key.next().next();
    const Value fields = key.next();
    if (!fields.is(Kind::map) || !valid_utf8(key.string())) continue;
    StatusSection section{std::string(key.string()), {}};
    Value name = fields;
    for (size_t k = 0; k < fields.size(); ++k) {
      name = k == 0 ? fields.first() : name.next().next();
      const Value value = name.next();
      if (!valid_utf8(name.string())) continue;
      if (value.is(Kind::number)) section.fields.emplace_back(name.string(), value.number());
      if (value.is(Kind::text) && valid_utf8(value.string())) section.fields.emplace_back(name.string(), std::string(value.string()));
    }
    r.sections.push_back(std::move(section));
  }
  return r;
}

LeavesResult read_leaves(Fields& f) {
  LeavesResult r;
  f.require("buckets", "a list");
  for_each(f.list("buckets", limits::bucket_count_max), [&](size_t, Value item) {
    if (!item.is(Kind::number) || item.number() > UINT16_MAX ||
        (!r.buckets.empty() && item.number() <= r.buckets.back().value()))
      return f.refuse("buckets", "is wrong: it must hold buckets, ascending");
    r.buckets.emplace_back(static_cast<uint16_t>(item.number()));
  });
  return r;
}

LeafResult read_leaf(Fields& f) {
  LeafResult r;
  r.count = f.need_number("count");
  r.names = texts(f, "names");
  if (f.given("next")) r.next = EntityNo(number32(f, "next"));
  r.costs = costs(f);
  return r;
}

Reply read_ok(std::string_view verb, Fields& f, Value root) {
  if (verb == "PING") return read_ping(f);
  if (verb == "PUBLISH") return read_publish(f);
  if (verb == "FOLLOW") return read_follow(f);
  if (verb == "UNFOLLOW") return read_unfollow(f);
  if (verb == "READ") return read_read(f);
  if (verb == "GET") return read_get(f);
  if (verb == "FOLLOWERS" || verb == "FOLLOWING") return read_names(f);
  if (verb == "LOOKUP") return read_lookup(f);
  if (verb == "MAP") return read_map(f);
  if (verb == "TREE") return read_tree(f);
  if (verb == "STATUS") return read_status(root);
  if (verb == "THREAD") return read_thread(f);
  if (verb == "RETRACT") return read_done<RetractResult>(f, "retracted");
  if (verb == "DELETE") return read_done<DeleteResult>(f, "deleted");
  if (verb == "MARK") return MarkResult{f.need_number("unread")};
  if (verb == "RETAIN") return read_retain(f);
  if (verb == "ALIAS") return read_alias(f);
  if (verb == "FORWARD") return read_forwarding(f);
  if (verb == "X.LEAVES") return read_leaves(f);
  if (verb == "X.LEAF") return read_leaf(f);
  f.refuse_all({Code::internal, "no reply to " + std::string(verb) + " is known", 0});
  return {};
}

}  // namespace

Error read_error(Value map, Encoding encoding) {
  Fields f("ERR", "", map, encoding);
  Error error;
  if (!parse_code(f.any_text("code"), error.code)) error.code = Code::internal;
  error.message = f.any_text("message");
  error.retry_after_ms = static_cast<uint32_t>(f.number("retry_after_ms", 0, 0, UINT32_MAX));
  return error;
}

Result<Reply> decode_reply(std::string_view verb, std::string_view status, std::string_view result) {
  const auto unfit = [](const Error& error) { return failure(Code::internal, "reply does not fit: " + error.message); };
  if (status != "OK" && status != "ERR") return failure(Code::internal, "reply's status is neither OK nor ERR");
  const Encoding encoding = encoding_of(result);
  Document document;
  const auto parsed = encoding == Encoding::json ? parse_json("result", result, reply_limits, document)
                                                 : parse_msgpack("result", result, reply_limits, document);
  if (!parsed) return unfit(parsed.error());
  const Value root = document.root();
  if (!root.is(Kind::map)) return failure(Code::internal, "reply does not fit: result " + wrong_kind(root, "a map"));
  Fields fields(verb, "", root, encoding);
  Reply reply;
  if (status == "ERR") {
    fields.any_text("code");
    fields.any_text("message");
    reply = read_error(root, encoding);
  } else {
    reply = read_ok(verb, fields, root);
  }
  if (!fields.ok()) return unfit(fields.error().value());
  return reply;
}

}  // namespace canopy::wire
