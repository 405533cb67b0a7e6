#include "client/translate.h"

#include <algorithm>
#include <limits>

#include "base/limits.h"
#include "wire/message.h"

namespace canopy {
namespace {

// ---- To the wire ----

uint32_t ms32(client::milliseconds wait) {
  return static_cast<uint32_t>(std::clamp<int64_t>(wait.count(), 0, std::numeric_limits<uint32_t>::max()));
}
std::vector<wire::Pair> pairs_of(const std::vector<client::Pair>& from) {
  std::vector<wire::Pair> pairs;
  pairs.reserve(from.size());
  for (const client::Pair& pair : from) pairs.push_back({pair.follower, pair.author});
  return pairs;
}
wire::Timeline timeline_of(client::Timeline timeline) {
  switch (timeline) {
    case client::Timeline::home: return wire::Timeline::home;
    case client::Timeline::sent: return wire::Timeline::sent;
    case client::Timeline::mentions: return wire::Timeline::mentions;
    case client::Timeline::replies: return wire::Timeline::replies;
    case client::Timeline::topic: return wire::Timeline::topic;
  }
  return wire::Timeline::home;
}
std::optional<Position> position_of(std::optional<client::Position> position) {
  if (!position) return std::nullopt;
  return Position(*position);
}

// One overload for each public request. A list of one is said without a list, which also lets the
// body travel as a frame of its own.
struct ToWire {
  wire::Request operator()(const client::Ping&) const { return wire::Ping{}; }
  wire::Request operator()(const client::Publish& from) const {
    wire::Publish publish;
    publish.batch = from.messages.size() != 1;
    for (const client::Message& message : from.messages) {
      wire::Message to;
      to.author = message.author;
      to.type = message.type;
      to.body = message.body;
      to.key = message.key;
      to.reply_to = MessageId(message.reply_to);
      to.mentions = message.mentions;
      to.topics = message.topics;
      to.to = message.to;
      publish.messages.push_back(std::move(to));
    }
    return publish;
  }
  wire::Request operator()(const client::Follow& from) const {
    return wire::Follow{pairs_of(from.pairs), from.pairs.size() != 1, ms32(from.wait), from.backfill};
  }
  wire::Request operator()(const client::Unfollow& from) const {
    return wire::Unfollow{pairs_of(from.pairs), from.pairs.size() != 1};
  }
  wire::Request operator()(const client::Read& from) const {
    wire::Read read;
    read.entities = {from.entity};
    read.timeline = timeline_of(from.timeline);
    read.limit = from.limit;
    read.before = position_of(from.before);
    read.after = position_of(from.after);
    read.wait_ms = ms32(from.wait);
    read.stale_ok = from.stale_ok;
    read.consumer = from.consumer;
    return read;
  }
  wire::Request operator()(const client::Get& from) const { return wire::Get{MessageId(from.id)}; }
  wire::Request operator()(const client::GetThread& from) const {
    return wire::Thread{MessageId(from.id), from.limit, Position(from.after)};
  }
  wire::Request operator()(const client::Retract& from) const { return wire::Retract{from.author, MessageId(from.id)}; }
  wire::Request operator()(const client::Delete& from) const { return wire::Delete{from.entity}; }
  wire::Request operator()(const client::Mark& from) const {
    return wire::Mark{from.entity, timeline_of(from.timeline), Position(from.position), from.consumer};
  }
  wire::Request operator()(const client::Retain& from) const {
    wire::Retain retain{from.entity, timeline_of(from.timeline), from.count, {}};
    if (from.age) retain.age_s = static_cast<uint64_t>(std::max<int64_t>(from.age->count(), 0));
    return retain;
  }
  wire::Request operator()(const client::Alias& from) const { return wire::Alias{from.entity, from.alias}; }
  wire::Request operator()(const client::Forward& from) const { return wire::Forwarding{from.from, from.to, from.off}; }
  wire::Request operator()(const client::Followers& from) const {
    return wire::Followers{from.entity, from.limit, from.after};
  }
  wire::Request operator()(const client::Following& from) const {
    return wire::Following{from.entity, from.limit, from.after};
  }
  wire::Request operator()(const client::Lookup& from) const { return wire::Lookup{from.entity}; }
  wire::Request operator()(const client::GetMap& from) const { return wire::Map{from.after}; }
  wire::Request operator()(const client::GetTree& from) const { return wire::Tree{from.entity, from.depth, from.fanout, from.costs}; }
  wire::Request operator()(const client::GetStatus&) const { return wire::Status{}; }
};

// ---- From the wire ----

client::Error damaged(std::string what) {
  return {client::Code::internal, "the answer cannot be read: " + std::move(what), client::milliseconds{0}};
}

client::LeafCosts costs_of(const wire::LeafCosts& from) {
  client::LeafCosts to{from.mode, from.forced, from.warm, {}};
  if (const auto& m = from.measured)
    to.measured = client::LeafCosts::Measured{static_cast<double>(m->messages_milli) / 1e3, static_cast<double>(m->reads_milli) / 1e3,
                                              m->append_ns, m->merge_ns, m->lazy_ns};
  return to;
}

client::Result<client::Entry> entry_of(const wire::Entry& from) {
  if (!from.message) return damaged("an entry without a message");
  const Result<wire::MessageView> view = wire::decode_message(*from.message);
  if (!view) return from_base(view.error());
  client::Entry entry;
  entry.position = from.position.packed();
  entry.id = view->id.packed();
  entry.author = view->author;
  entry.time_ms = view->time_ms;
  entry.type = view->type;
  entry.body = view->body;
  entry.reply_to = view->reply_to.packed();
  entry.mentions.assign(view->mentions.begin(), view->mentions.end());
  entry.topics.assign(view->topics.begin(), view->topics.end());
  return entry;
}
// Returns an error when one of them cannot be read.
client::Result<std::vector<client::Entry>> entries_of(const std::vector<wire::Entry>& from) {
  std::vector<client::Entry> entries;
  entries.reserve(from.size());
  for (const wire::Entry& wire_entry : from) {
    client::Result<client::Entry> entry = entry_of(wire_entry);
    if (!entry) return entry.error();
    entries.push_back(std::move(*entry));
  }
  return entries;
}
client::FollowState state_of(wire::FollowState state) {
  return state == wire::FollowState::active ? client::FollowState::active : client::FollowState::pending;
}

struct FromWire {
  using Answer = client::Result<client::Answer>;

  Answer operator()(Error& error) const { return from_base(error); }
  Answer operator()(wire::PingResult& from) const {
    return client::Answer(client::NodeInfo{from.node, from.fabric, from.fabric_id, from.version, from.map_version});
  }
  Answer operator()(wire::PublishResult& from) const {
    client::PublishAnswer answer;
    for (const auto& result : from.results) {
      if (const auto* error = std::get_if<Error>(&result)) {
        answer.results.push_back(from_base(*error));
        continue;
      }
      const auto& published = std::get<wire::Published>(result);
      answer.results.push_back(client::Published{published.id.packed(), published.time_ms});
    }
    return client::Answer(std::move(answer));
  }
  Answer operator()(wire::FollowResult& from) const {
    client::FollowAnswer answer;
    for (size_t i = 0; i < from.states.size(); ++i) {
      if (const auto* error = std::get_if<Error>(&from.states[i]))
        answer.failed.push_back({i, from_base(*error)});
      else if (std::get<wire::FollowState>(from.states[i]) == wire::FollowState::active)
        ++answer.active;
      else
        ++answer.pending;
    }
    return client::Answer(std::move(answer));
  }
  Answer operator()(wire::UnfollowResult& from) const {
    client::UnfollowAnswer answer;
    for (size_t i = 0; i < from.removed.size(); ++i) {
      if (const auto* error = std::get_if<Error>(&from.removed[i]))
        answer.failed.push_back({i, from_base(*error)});
      else
        answer.removed += std::get<bool>(from.removed[i]) ? 1 : 0;
    }
    return client::Answer(std::move(answer));
  }
  Answer operator()(wire::ReadResult& from) const {
    if (from.pages.size() != 1) return damaged("READ of one entity with " + std::to_string(from.pages.size()) + " pages");
    if (const auto* error = std::get_if<Error>(&from.pages[0])) return from_base(*error);
    auto& page_from = std::get<wire::TimelinePage>(from.pages[0]);
    client::Page page;
    client::Result<std::vector<client::Entry>> entries = entries_of(page_from.entries);
    if (!entries) return entries.error();
    page.entries = std::move(*entries);
    if (page_from.next) page.next = page_from.next->packed();
    page.unread = page_from.unread;
    page.truncated = page_from.truncated;
    page.incomplete = std::move(page_from.incomplete);
    return client::Answer(std::move(page));
  }
  Answer operator()(wire::GetResult& from) const {
    client::Result<client::Entry> entry = entry_of(from.entry);
    if (!entry) return entry.error();
    return client::Answer(std::move(*entry));
  }
  Answer operator()(wire::ThreadResult& from) const {
    client::Thread thread;
    client::Result<client::Entry> message = entry_of(from.message);
    if (!message) return message.error();
    thread.message = std::move(*message);
    if (from.parent) {
      client::Result<client::Entry> parent = entry_of(*from.parent);
      if (!parent) return parent.error();
      thread.parent = std::move(*parent);
    }
    client::Result<std::vector<client::Entry>> replies = entries_of(from.replies);
    if (!replies) return replies.error();
    thread.replies = std::move(*replies);
    if (from.next) thread.next = from.next->packed();
    return client::Answer(std::move(thread));
  }
  Answer operator()(wire::RetractResult&) const { return client::Answer(client::Retracted{}); }
  Answer operator()(wire::DeleteResult&) const { return client::Answer(client::Deleted{}); }
  Answer operator()(wire::MarkResult& from) const { return client::Answer(client::Marked{from.unread}); }
  Answer operator()(wire::RetainResult& from) const {
    return client::Answer(client::Retention{from.count, std::chrono::seconds(from.age_s)});
  }
  Answer operator()(wire::AliasResult& from) const {
    return client::Answer(client::Aliased{std::move(from.entity), std::move(from.alias)});
  }
  Answer operator()(wire::ForwardingResult& from) const {
    return client::Answer(client::Forwarding{state_of(from.state), from.off});
  }
  Answer operator()(wire::NamesResult& from) const {
    return client::Answer(client::Names{std::move(from.names), from.next, from.count});
  }
  Answer operator()(wire::LookupResult& from) const {
    return client::Answer(client::Place{from.entity, from.bucket.value(), from.epoch.value(), from.primary,
                                        std::move(from.backups), from.endpoint});
  }
  Answer operator()(wire::MapResult& from) const {
    client::Map map;
    map.version = from.version;
    map.bucket_count = from.bucket_count;
    for (wire::MapNode& node : from.nodes)
      map.nodes.push_back({node.name, node.client, node.feed, node.link, node.zone, node.state,
                           static_cast<double>(node.weight_milli) / 1000});
    for (wire::MapBucket& bucket : from.buckets)
      map.buckets.push_back({bucket.bucket.value(), std::move(bucket.primary), std::move(bucket.backups),
                             bucket.epoch.value(), bucket.incarnation});
    return client::Answer(std::move(map));
  }
  Answer operator()(wire::TreeResult& from) const {
    client::Tree tree{from.entity, from.followers, from.levels, {}};
    for (wire::TreeReflector& reflector : from.reflectors) {
      client::Reflector to;
      to.kind = std::move(reflector.kind);
      if (reflector.bucket) to.bucket = reflector.bucket->value();
      to.node = std::move(reflector.node);
      to.children = reflector.children;
      to.followers = reflector.followers;
      to.level = reflector.level;
      to.parent = reflector.parent;
      if (reflector.costs) to.costs = costs_of(*reflector.costs);
      tree.reflectors.push_back(std::move(to));
    }
    return client::Answer(std::move(tree));
  }
  Answer operator()(wire::StatusResult& from) const {
    client::Status status;
    for (wire::StatusSection& section : from.sections)
      status.sections.push_back({std::move(section.name), std::move(section.fields)});
    return client::Answer(std::move(status));
  }
  Answer operator()(wire::LeavesResult&) const { return damaged("it belongs to a request between nodes"); }
  Answer operator()(wire::LeafResult&) const { return damaged("it belongs to a request between nodes"); }
  Answer operator()(wire::Moved&) const { return damaged("it belongs to a request between nodes"); }
};

}  // namespace

wire::Request to_wire(const client::Request& request) { return std::visit(ToWire{}, request); }

client::Error from_base(const Error& error) {
  return {static_cast<client::Code>(error.code), error.message, client::milliseconds{error.retry_after_ms}};
}

client::Result<client::Answer> from_wire(Session::Done done, const std::string& where) {
  using client::Code;
  switch (done.outcome) {
    case Session::Outcome::unreachable:
      return client::Error{Code::unreachable, "cannot connect to " + where, {}};
    case Session::Outcome::no_answer:
      return client::Error{Code::no_answer, "no answer from " + where + " in time", {}};
    case Session::Outcome::unreadable:
      return damaged(std::get<Error>(done.reply).message);
    case Session::Outcome::answered:
      break;
  }
  return std::visit(FromWire{}, done.reply);
}

}  // namespace canopy
