// READ, GET, THREAD, MARK, RETAIN, FOLLOWING, and what other nodes ask to answer FOLLOWERS and TREE.
#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "bucket/bucket.h"
#include "leaf/followers.h"
#include "store/keys.h"
#include "store/refs.h"
#include "wire/message.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

// Fills a page from entries as they come; stops at the limit or near the largest reply.
class PageFiller {
 public:
  PageFiller(size_t limit, size_t room, std::vector<wire::Entry>& entries, std::optional<Position>& next)
      : limit_(limit), room_(room), entries_(entries), next_(next) {}
  // Returns false when the page is full (then this entry is not in it, and there is more).
  bool add(Position position, Blob message) {
    ASSERT(message);
    if (entries_.size() >= limit_ || (!entries_.empty() && bytes_ + message->size() > room_)) {
      next_ = entries_.back().position;
      return false;
    }
    bytes_ += message->size();
    entries_.push_back({position, std::move(message)});
    return true;
  }
  // A reader that comes with `after` goes on from the last entry even when there is no more just now.
  void end(bool after) {
    if (after && !entries_.empty()) next_ = entries_.back().position;
  }

 private:
  const size_t limit_, room_;
  std::vector<wire::Entry>& entries_;
  std::optional<Position>& next_;
  size_t bytes_ = 0;
};

constexpr size_t counted_bytes = 16;  // what counting one unread entry is worth, in bytes of the reply

std::string marker_key(BucketId bucket, EntityNo entity, wire::Timeline timeline, std::string_view consumer) {
  std::string key = KeyBuilder(bucket, Table::marker).add(entity);
  put_u8(key, static_cast<uint8_t>(timeline));
  key.append(consumer);
  return key;
}

}  // namespace

wire::Reply no_such_message(MessageId id) {
  return Error{Code::not_found, "id " + std::to_string(id.packed()) + " names no message", 0};
}

void Bucket::read(const Ask& ask, const wire::Read& request, size_t part, Now now, const store::Reader& reader,
                  Effects& effects) {
  if (part == 0) {
    wire::ReadResult result;
    result.batch = request.batch;
    result.pages.resize(request.entities.size());
    open_ask(ask.ask, std::move(result), request.entities.size());
  }
  ++counters_.reads;
  OpenAsk& open = asks_.at(ask.ask);
  if (open.bytes >= limits::reply_bytes_max) {
    std::get<wire::ReadResult>(open.reply).pages[part] =
        Error{Code::too_large, "entities: those before this one fill the reply: it must be asked for with fewer at once", 0};
    part_done(ask.ask, effects);
    return;
  }
  wire::TimelinePage found = page(request, request.entities[part], limits::reply_bytes_max - open.bytes, now, reader);
  for (const wire::Entry& entry : found.entries) open.bytes += entry.message->size();
  open.bytes += counted_bytes * found.unread.value_or(0);
  for (const std::string& name : found.incomplete) open.bytes += name.size();
  const bool wait = found.entries.empty() && request.wait_ms > 0 && !request.batch;
  std::get<wire::ReadResult>(open.reply).pages[part] = std::move(found);
  if (!wait) {
    part_done(ask.ask, effects);
    return;
  }
  open.read = request;
  set_deadline(ask.ask, std::min(ask.deadline, now.instant + Duration::of_ms(request.wait_ms)));
  tails_[{request.timeline, request.entities[0]}].asks.insert(ask.ask);
  tail(request.timeline, request.entities[0], reader);
}

wire::TimelinePage Bucket::page(const wire::Read& request, std::string_view entity, size_t room, Now now,
                                const store::Reader& reader) {
  const auto no = entities_.find(entity, reader);
  if (!no || ending(*no)) return {};
  const auto marked = marker(*no, request.timeline, request.consumer, reader);
  const std::optional<Position> after = request.consumer.empty() ? request.after : marked.value_or(Position());
  wire::TimelinePage page = request.timeline == wire::Timeline::home ? home_page(request, after, *no, room, now, reader)
                                                                     : list_page(request, after, *no, room, now, reader);
  if (request.timeline != wire::Timeline::home && lists_.touch(list_kind(request.timeline), *no, now, reader))
    work_at_ = std::min(work_at_, now.instant);
  if (marked) page.unread = unread(*no, request.timeline, *marked, now, reader);
  return page;
}

wire::TimelinePage Bucket::home_page(const wire::Read& request, std::optional<Position> after, EntityNo entity, size_t room,
                                     Now now, const store::Reader& reader) {
  const auto home = this->home(entity, now, reader);
  wire::TimelinePage page;
  PageFiller filler(request.limit, room, page.entries, page.next);
  const auto add = [&](const leaf::Timelines::Shown& shown) { return filler.add(shown.position, reader.body(home.entry(shown, reader).ref)); };
  if (after) {
    home.up(after->next(), add);
    const bool below = !record_.horizon.zero() && *after < record_.horizon;
    page.truncated = below || *after < home.left() || *after < lists_.left(ListKind::direct, entity, reader);
  } else {
    page.truncated = home.down(request.before, add) && !record_.horizon.zero();
  }
  filler.end(after.has_value());
  add_incomplete(entity, reader, page);
  return page;
}

wire::TimelinePage Bucket::list_page(const wire::Read& request, std::optional<Position> after, EntityNo entity, size_t room,
                                     Now now, const store::Reader& reader) const {
  wire::TimelinePage page;
  PageFiller filler(request.limit, room, page.entries, page.next);
  const auto add = [&](const ListEntry& entry) { return filler.add(entry.position, reader.body(entry.ref)); };
  const ListKind kind = list_kind(request.timeline);
  const Position left = lists_.left(kind, entity, reader);
  if (after) {
    lists_.up(kind, entity, after->next(), now, reader, add);
    page.truncated = *after < left;
  } else {
    lists_.down(kind, entity, request.before, now, reader, add);
    page.truncated = !page.next && !left.zero();
  }
  filler.end(after.has_value());
  return page;
}

wire::Reply Bucket::get(MessageId id, Now now, const store::Reader& reader) const {
  const auto own = own_message(id, reader);
  if (!own || ending(own->author) || !lists_.find(ListKind::sent, own->author, own->position, now, reader)) return no_such_message(id);
  return wire::GetResult{{own->position, reader.body(own->ref)}};
}

// The message and the replies to it; the front adds what it replies to.
wire::Reply Bucket::thread(const wire::Thread& request, Now now, const store::Reader& reader) const {
  wire::Reply found = get(request.id, now, reader);
  const auto* message = std::get_if<wire::GetResult>(&found);
  if (!message) return found;
  wire::ThreadResult thread;
  thread.message = message->entry;
  PageFiller filler(request.limit, limits::reply_bytes_max, thread.replies, thread.next);
  const std::string prefix = KeyBuilder(id_, Table::thread).add(request.id);
  reader.scan(KeyBuilder(id_, Table::thread).add(request.id).add(request.after.next()), store::after_prefix(prefix),
              [&](std::string_view key, std::string_view owner) {
                const Position position(Cursor(key.substr(prefix.size())).be64());
                const auto reply = lists_.find(ListKind::replies, EntityNo(Cursor(owner).be32()), position, now, reader);
                return !reply || filler.add(position, reader.body(reply->ref));
              });
  return thread;
}

MessageId Bucket::newest_message(EntityNo entity, const store::Reader& reader) const {
  MessageId newest;
  const std::string list = KeyBuilder(id_, Table::sent).add(entity);
  reader.scan_back(list, store::after_prefix(list), [&](std::string_view, std::string_view value) {
    newest = store::decode_ref(value).id;
    return false;
  });
  return newest;
}

// ---- MARK, RETAIN

std::optional<Position> Bucket::marker(EntityNo entity, wire::Timeline timeline, std::string_view consumer,
                                       const store::Reader& reader) const {
  if (!markers_) return std::nullopt;
  const auto value = reader.get(marker_key(id_, entity, timeline, consumer));
  if (!value) return std::nullopt;
  return Position(Cursor(*value).be64());
}

uint64_t Bucket::unread(EntityNo entity, wire::Timeline timeline, Position marker, Now now, const store::Reader& reader) {
  uint64_t count = 0;
  if (timeline != wire::Timeline::home) {
    lists_.up(list_kind(timeline), entity, marker.next(), now, reader, [&](const ListEntry&) { return ++count < limits::unread_max; });
    return count;
  }
  home(entity, now, reader).up(marker.next(), [&](const leaf::Timelines::Shown& shown) {
    count += !shown.backfilled() || planted("unread counts backfill");
    return count < limits::unread_max;
  });
  return count;
}

wire::Reply Bucket::mark(const wire::Mark& request, Now now, const store::Reader& reader, Effects& effects) {
  const EntityNo entity = entities_.obtain(request.entity, record_, reader, effects.writes);
  entity_created(entity, request.entity);
  const std::string key = marker_key(id_, entity, request.timeline, request.consumer);
  const auto before = reader.get(key);
  if (!before) {
    const std::string all = marker_key(id_, entity, request.timeline, "");
    size_t markers = 0;
    reader.scan(all, store::after_prefix(all), [&](std::string_view, std::string_view) { return ++markers < limits::markers_max; });
    if (markers == limits::markers_max)
      return Error{Code::too_large, "consumer: this timeline has " + std::to_string(markers) + " consumers, the most there may be", 0};
  }
  std::string value;
  put_be64(value, request.position.packed());
  if (value != before) effects.writes.put(key, value);
  markers_ = true;
  return wire::MarkResult{unread(entity, request.timeline, request.position, now, reader)};
}

wire::Reply Bucket::retain(const wire::Retain& request, const store::Reader& reader, Effects& effects) {
  const ListKind kind = list_kind(request.timeline);
  const auto known = entities_.find(request.entity, reader);
  Retention retention = lists_.retention(kind, known.value_or(EntityNo()));
  if (request.count || request.age_s) {
    const EntityNo entity = entities_.obtain(request.entity, record_, reader, effects.writes);
    entity_created(entity, request.entity);
    if (request.count) retention.count = *request.count;
    if (request.age_s) retention.age_s = *request.age_s;
    lists_.retain(kind, entity, retention, effects.writes);
    work_at_ = Instant();
  }
  return wire::RetainResult{retention.count, retention.age_s};
}

// ---- FOLLOWING, FOLLOWERS, TREE

wire::Reply Bucket::following(const wire::Following& request, const store::Reader& reader) const {
  wire::NamesResult result;
  const auto entity = entities_.find(request.entity, reader);
  if (!entity || ending(*entity)) return result;
  const std::string edges = KeyBuilder(id_, Table::edge).add(*entity);
  uint64_t last = 0;
  reader.scan(edges, store::after_prefix(edges), [&](std::string_view key, std::string_view) {
    const LeafNo leaf(Cursor(key.substr(edges.size())).be32());
    std::string author = leaves_.reflector_of(leaf, reader);
    if (author.empty()) return true;  // deleted: the edge is about to go
    ++result.count;
    if (leaf.value() <= request.after) return true;
    if (result.names.size() < request.limit) {
      result.names.push_back(std::move(author));
      last = leaf.value();
    } else if (!result.next) {
      result.next = last;
    }
    return true;
  });
  return result;
}

wire::Reply Bucket::leaves(const wire::Leaves& request, const store::Reader& reader) const {
  wire::LeavesResult result;
  if (const auto entity = entities_.find(request.entity, reader)) result.buckets = roots_.leaves_of(*entity, reader);
  return result;
}

wire::Reply Bucket::leaf(const wire::Leaf& request, const store::Reader& reader) {
  wire::LeafResult result;
  leaf::Leaf* const leaf = leaves_.find(request.reflector, reader);
  if (!leaf) return result;
  if (request.costs) result.costs = costs_of(*leaf, reader);
  const leaf::Followers followers(id_, leaf->no, reader);
  result.count = followers.count();
  if (request.limit == 0) return result;
  EntityNo last;
  followers.visit(request.after, [&](EntityNo follower) {
    if (result.names.size() == request.limit) {
      result.next = last;
      return false;
    }
    result.names.push_back(entities_.name_of(follower, reader));
    last = follower;
    return true;
  });
  return result;
}

}  // namespace canopy::bucket
