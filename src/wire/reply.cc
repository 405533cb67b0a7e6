// Encodes what clients are answered. Decoding is in reply_decode.cc.
#include "wire/reply.h"

#include "base/assert.h"
#include "wire/message.h"
#include "wire/msgpack_writer.h"
#include "wire/reply_parts.h"

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

template <class Optional>
void write_optional(Writer& w, std::string_view name, const Optional& v) {
  w.key(name);
  if (v)
    w.number(*v);
  else
    w.null();
}

// Results in the order in which they were asked for. Single: the whole result.
// `W`: Writer, or MsgpackWriter itself for speed.
template <class W>
class ResultEncoder {
 public:
  explicit ResultEncoder(W& writer) : w(writer) {}

  void operator()(const Error& error) { write_error(w, error); }

  void operator()(const PingResult& r) {
    w.map(5);
    w.member("node", r.node);
    w.member("fabric", r.fabric);
    w.member("version", r.version);
    w.member("fabric_id", r.fabric_id);
    w.member("map_version", r.map_version);
  }

  void operator()(const PublishResult& r) { results(r.results, r.batch); }

  void operator()(const FollowResult& r) {
    if (!r.batch) {
      w.map(1);
      w.member("state", std::get<FollowState>(single(r.states)) == FollowState::active ? "active" : "pending");
      return;
    }
    uint64_t active = 0, pending = 0;
    for (const auto& state : r.states)
      if (const auto* s = std::get_if<FollowState>(&state)) ++(*s == FollowState::active ? active : pending);
    w.map(3);
    w.member("active", active);
    w.member("pending", pending);
    failed(r.states);
  }

  void operator()(const UnfollowResult& r) {
    if (!r.batch) {
      w.map(1);
      w.flag("removed", std::get<bool>(single(r.removed)));
      return;
    }
    uint64_t removed = 0;
    for (const auto& one : r.removed)
      if (const auto* yes = std::get_if<bool>(&one); yes && *yes) ++removed;
    w.map(2);
    w.member("removed", removed);
    failed(r.removed);
  }

  void operator()(const ReadResult& r) { results(r.pages, r.batch); }
  void operator()(const GetResult& r) { entry(r.entry); }

  void operator()(const ThreadResult& r) {
    w.map(4);
    w.key("message");
    entry(r.message);
    w.key("parent");
    if (r.parent)
      entry(*r.parent);
    else
      w.null();
    w.key("replies");
    w.array(r.replies.size());
    for (const Entry& e : r.replies) entry(e);
    w.key("next");
    if (r.next)
      w.number(r.next->packed());
    else
      w.null();
  }

  void operator()(const RetractResult&) {
    w.map(1);
    w.flag("retracted", true);
  }
  void operator()(const DeleteResult&) {
    w.map(1);
    w.flag("deleted", true);
  }
  void operator()(const MarkResult& r) {
    w.map(1);
    w.member("unread", r.unread);
  }
  void operator()(const RetainResult& r) {
    w.map(2);
    bound("count", r.count);
    bound("age", r.age_s);
  }
  void operator()(const AliasResult& r) {
    w.map(2);
    w.member("entity", r.entity);
    w.member("alias", r.alias);
  }
  void operator()(const ForwardingResult& r) {
    w.map(1);
    w.member("state", r.off ? "off" : r.state == FollowState::active ? "active" : "pending");
  }
  void operator()(const Moved&) { ASSERT(!"a reply between nodes only"); }

  void operator()(const NamesResult& r) {
    w.map(3);
    write_texts(w, "names", r.names);
    write_optional(w, "next", r.next);
    w.member("count", r.count);
  }

  void operator()(const LookupResult& r) {
    w.map(6);
    w.member("entity", r.entity);
    w.member("bucket", uint64_t{r.bucket.value()});
    w.member("epoch", uint64_t{r.epoch.value()});
    w.member("primary", r.primary);
    write_texts(w, "backups", r.backups);
    w.member("endpoint", r.endpoint);
  }

  void operator()(const MapResult& r) {
    w.map(4);
    w.member("version", r.version);
    w.member("bucket_count", uint64_t{r.bucket_count});
    w.key("nodes");
    w.array(r.nodes.size());
    for (const MapNode& n : r.nodes) {
      w.map(7);
      w.member("name", n.name);
      w.member("client", n.client);
      w.member("feed", n.feed);
      w.member("link", n.link);
      w.member("zone", n.zone);
      w.member("state", n.state);
      w.member("weight_milli", uint64_t{n.weight_milli});
    }
    w.key("buckets");
    w.array(r.buckets.size());
    for (const MapBucket& b : r.buckets) {
      w.map(5);
      w.member("bucket", uint64_t{b.bucket.value()});
      w.member("primary", b.primary);
      write_texts(w, "backups", b.backups);
      w.member("epoch", uint64_t{b.epoch.value()});
      w.member("incarnation", b.incarnation);
    }
  }

  void operator()(const TreeResult& r) {
    w.map(4);
    w.member("entity", r.entity);
    w.member("followers", r.followers);
    w.member("levels", uint64_t{r.levels});
    w.key("reflectors");
    w.array(r.reflectors.size());
    for (const TreeReflector& t : r.reflectors) {
      w.map(t.costs ? 8 : 7);
      w.member("kind", t.kind);
      w.key("bucket");
      if (t.bucket)
        w.number(t.bucket->value());
      else
        w.null();
      w.member("node", t.node);
      w.member("children", t.children);
      w.member("followers", t.followers);
      w.member("level", uint64_t{t.level});
      w.member("parent", uint64_t{t.parent});
      if (t.costs) costs(*t.costs);
    }
  }

  void operator()(const StatusResult& r) {
    w.map(r.sections.size());
    for (const StatusSection& section : r.sections) {
      w.key(section.name);
      w.map(section.fields.size());
      for (const auto& [name, value] : section.fields) {
        if (const auto* number = std::get_if<uint64_t>(&value))
          w.member(name, *number);
        else
          w.member(name, std::get<std::string>(value));
      }
    }
  }

  void operator()(const LeavesResult& r) {
    w.map(1);
    w.key("buckets");
    w.array(r.buckets.size());
    for (const BucketId bucket : r.buckets) w.number(bucket.value());
  }

  void operator()(const LeafResult& r) {
    w.map(r.costs ? 4 : 3);
    w.member("count", r.count);
    write_texts(w, "names", r.names);
    w.key("next");
    if (r.next)
      w.number(r.next->value());
    else
      w.null();
    if (r.costs) costs(*r.costs);
  }

  bool damaged() const { return damaged_; }

 private:
  template <class T>
  void results(const std::vector<std::variant<T, Error>>& all, bool batch) {
    if (!batch) return one(std::get<T>(single(all)));
    w.map(1);
    w.key("results");
    w.array(all.size());
    for (const auto& result : all) {
      if (const auto* error = std::get_if<Error>(&result))
        write_error(w, *error);
      else
        one(std::get<T>(result));
    }
  }

  void one(const Published& p) {
    if constexpr (std::is_same_v<W, MsgpackWriter>) w.expect(32);
    w.map(2);
    w.member("id", p.id);
    w.member("time", p.time_ms);
  }

  void one(const TimelinePage& page) {
    expect(page.entries);
    w.map(5);
    w.key("entries");
    w.array(page.entries.size());
    for (const Entry& e : page.entries) entry(e);
    w.key("next");
    if (page.next)
      w.number(page.next->packed());
    else
      w.null();
    write_optional(w, "unread", page.unread);
    w.flag("truncated", page.truncated);
    write_texts(w, "incomplete", page.incomplete);
  }

  // The messages lie anywhere in memory: all are asked for before the first is needed.
  void expect(const std::vector<Entry>& entries) {
    size_t bytes = 200;
    for (const Entry& e : entries) {
      if (!e.message) continue;
      bytes += entry_bytes + e.message->size();
      __builtin_prefetch(e.message->data());
    }
    if constexpr (std::is_same_v<W, MsgpackWriter>) w.expect(bytes);
  }

  void entry(const Entry& e) {
    if (!decode_message(e.message ? std::string_view(*e.message) : std::string_view(), message_)) {
      damaged_ = true;
      return w.null();
    }
    const size_t optional = optional_fields(message_);
    w.map(5 + optional);
    w.key("position");
    w.number(e.position.packed());
    w.key("id");
    w.id(message_.id);
    w.key("author");
    w.text(message_.author);
    w.key("time");
    w.number(message_.time_ms);
    if (optional > 0) write_optional_fields(w, message_);
    w.bytes("body", message_.body);
  }

  void costs(const LeafCosts& c) {
    w.key("costs");
    w.map(c.measured ? 8 : 3);
    w.member("mode", c.mode);
    w.flag("forced", c.forced);
    w.member("warm", c.warm);
    if (!c.measured) return;
    w.member("messages_milli", c.measured->messages_milli);
    w.member("reads_milli", c.measured->reads_milli);
    w.member("append_ns", c.measured->append_ns);
    w.member("merge_ns", c.measured->merge_ns);
    w.member("lazy_ns", c.measured->lazy_ns);
  }

  void bound(std::string_view name, uint64_t most) {
    if (most != 0)
      w.member(name, most);
    else
      w.nothing(name);
  }

  template <class T>
  void failed(const std::vector<std::variant<T, Error>>& all) {
    size_t count = 0;
    for (const auto& result : all) count += std::holds_alternative<Error>(result) ? 1 : 0;
    w.key("failed");
    w.array(count);
    for (size_t i = 0; i < all.size(); ++i) {
      const auto* error = std::get_if<Error>(&all[i]);
      if (!error) continue;
      w.array(2);
      w.number(i);
      w.text(code_name(error->code));
    }
  }

  static constexpr size_t entry_bytes = 72;  // of an entry's names and numbers

  W& w;
  MessageView message_;  // of the entry that is being written
  bool damaged_ = false;
};

// Returns the error that the whole reply is: its own, or that of the one thing that was asked.
template <class T>
const Error* single_error(const std::vector<std::variant<T, Error>>& all, bool batch) {
  return batch ? nullptr : std::get_if<Error>(&single(all));
}
const Error* whole_error(const Error& error) { return &error; }
const Error* whole_error(const PublishResult& r) { return single_error(r.results, r.batch); }
const Error* whole_error(const FollowResult& r) { return single_error(r.states, r.batch); }
const Error* whole_error(const UnfollowResult& r) { return single_error(r.removed, r.batch); }
const Error* whole_error(const ReadResult& r) { return single_error(r.pages, r.batch); }
// A client has no use for it: the node that asked answers it.
const Error* whole_error(const Moved&) {
  static const Error moved{Code::internal, "the request names an alias that was not resolved", 0};
  return &moved;
}
template <class T>
const Error* whole_error(const T&) {
  return nullptr;
}

ReplyFrames encode_error(const Error& error, Encoding encoding) {
  ReplyFrames frames{"ERR", {}};
  write_error(*make_writer(encoding, frames.result), error);
  return frames;
}

}  // namespace

size_t optional_fields(const MessageView& m) {
  return (m.type.empty() ? 0u : 1u) + (m.reply_to.zero() ? 0u : 1u) + (m.mentions.empty() ? 0u : 1u) + (m.topics.empty() ? 0u : 1u);
}

void write_optional_fields(Writer& w, const MessageView& m) {
  if (!m.type.empty()) w.member("type", m.type);
  if (!m.reply_to.zero()) w.member("reply_to", m.reply_to);
  const auto names = [&](std::string_view name, const std::vector<std::string_view>& all) {
    if (all.empty()) return;
    w.key(name);
    w.array(all.size());
    for (const std::string_view one : all) w.text(one);
  };
  names("mentions", m.mentions);
  names("topics", m.topics);
}

void write_error(Writer& w, const Error& error) {
  w.map(error.retry_after_ms ? 3 : 2);
  w.member("code", code_name(error.code));
  w.member("message", error.message);
  if (error.retry_after_ms) w.member("retry_after_ms", uint64_t{error.retry_after_ms});
}

ReplyFrames encode_reply(const Reply& reply, Encoding encoding) {
  if (const Error* error = std::visit([](const auto& r) { return whole_error(r); }, reply))
    return encode_error(*error, encoding);
  ReplyFrames frames{"OK", {}};
  const auto encode = [&](auto& writer) {
    ResultEncoder encoder(writer);
    std::visit(encoder, reply);
    return !encoder.damaged();
  };
  bool sound = false;
  if (encoding == Encoding::msgpack) {
    MsgpackWriter writer(frames.result);
    sound = encode(writer);
  } else {
    sound = encode(*make_writer(encoding, frames.result));
  }
  if (!sound) return encode_error({Code::internal, "a stored message is damaged", 0}, encoding);
  return frames;
}

std::string_view verb_of_reply(const Reply& reply) {
  static constexpr std::string_view verbs[] = {"",       "PING",    "PUBLISH", "FOLLOW", "UNFOLLOW",  "READ",     "GET",    "FOLLOWERS",
                                               "LOOKUP", "MAP",     "TREE",    "STATUS", "X.LEAVES",  "X.LEAF",   "THREAD", "RETRACT",
                                               "DELETE", "MARK",    "RETAIN",  "ALIAS",  "FORWARD",   moved_verb};
  static_assert(std::size(verbs) == std::variant_size_v<Reply>, "each reply answers a verb, in the variant's order");
  return verbs[reply.index()];
}

}  // namespace canopy::wire
