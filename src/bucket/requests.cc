// What clients ask of a bucket: the verbs.
#include <algorithm>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "bucket/bucket.h"
#include "leaf/followers.h"
#include "store/keys.h"
#include "store/refs.h"
#include "wire/message.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

// What tells a repeat of a key from another message under the same key.
uint64_t content_hash(const wire::Message& message) {
  std::string content;
  put_string(content, message.author);
  put_string(content, message.type);
  put_string(content, message.body);
  return hash64(content);
}

wire::Reply no_such_message(MessageId id) {
  return Error{Code::not_found, "id " + std::to_string(id.packed()) + " names no message", 0};
}

}  // namespace

void Bucket::on(const Ask& ask, size_t part, Now now, const store::Reader& reader, Effects& effects) {
  const auto answer = [&](wire::Reply reply) { effects.held.push_back(Answer{ask.ask, std::move(reply)}); };
  if (const auto* p = std::get_if<wire::Publish>(&ask.request)) publish(ask, *p, part, now, reader, effects);
  else if (const auto* f = std::get_if<wire::Follow>(&ask.request)) follow(ask, *f, part, now, reader, effects);
  else if (const auto* u = std::get_if<wire::Unfollow>(&ask.request)) unfollow(ask, *u, part, now, reader, effects);
  else if (const auto* r = std::get_if<wire::Read>(&ask.request)) read(ask, *r, part, now, reader, effects);
  else if (const auto* g = std::get_if<wire::Get>(&ask.request)) answer(get(g->id, reader));
  else if (const auto* n = std::get_if<wire::Following>(&ask.request)) answer(following(*n, reader));
  else if (const auto* t = std::get_if<wire::Leaves>(&ask.request)) answer(leaves(*t, reader));
  else if (const auto* l = std::get_if<wire::Leaf>(&ask.request)) answer(leaf(*l, reader));
  else answer(Error{Code::internal, "this request is not for a bucket", 0});
}

// ---- PUBLISH

void Bucket::publish(const Ask& ask, const wire::Publish& request, size_t part, Now now, const store::Reader& reader,
                     Effects& effects) {
  if (part == 0) {
    wire::PublishResult result;
    result.batch = request.batch;
    result.results.resize(request.messages.size());
    open_ask(ask.ask, std::move(result), request.messages.size());
  }
  std::get<wire::PublishResult>(asks_.at(ask.ask).reply).results[part] = publish_one(request.messages[part], now, reader, effects);
  part_done(ask.ask, effects);
}

std::variant<wire::Published, Error> Bucket::publish_one(const wire::Message& message, Now now,
                                                         const store::Reader& reader, Effects& effects) {
  const uint64_t content = message.key.empty() ? 0 : content_hash(message);
  if (!message.key.empty()) {
    const auto author = entities_.find(message.author, reader);
    const auto first = author ? keys_.find(*author, message.key, now.wall_ms, reader) : std::nullopt;
    if (first && first->content == content) return wire::Published{first->id, first->time_ms};
    if (first)
      return Error{Code::bad_request, "key was used by this author for another message: give each message a key of its own", 0};
  }

  const EntityNo author = entities_.obtain(message.author, record_, reader, effects.writes);
  const Position position = take_position();
  const MessageId id = MessageId::after(record_.last_message, now.wall_ms, id_);
  record_.last_message = id;
  Blob blob = make_blob(wire::encode_message({id, position, id.time_ms(), message.author, message.type, message.body}));
  const BodyRef ref = wire::body_ref(id, *blob);

  std::string place;
  put_be32(place, author.value());
  put_be64(place, position.packed());
  const Position previous = tails_.empty() ? Position() : newest_sent(author, reader);
  effects.writes.ref(ref, blob);
  effects.writes.put(KeyBuilder(id_, Table::sent).add(author).add(position), store::encode_ref(ref));
  effects.writes.put(KeyBuilder(id_, Table::message).add(id), place);
  if (!message.key.empty())
    keys_.save(author, message.key, {content, id, id.time_ms()}, position, now.wall_ms, reader, effects.writes);
  if (auto letter = roots_.publish(author, message.author, ref, blob, reader, effects.writes))
    effects.held.push_back(Push{std::move(*letter)});
  ++counters_.publishes;
  entity_created(author, message.author);
  notify({wire::Timeline::sent, message.author}, {position, blob}, previous, effects);
  return wire::Published{id, id.time_ms()};
}

Position Bucket::newest_sent(EntityNo entity, const store::Reader& reader) const {
  Position newest;
  const std::string list = KeyBuilder(id_, Table::sent).add(entity);
  reader.scan_back(list, store::after_prefix(list), [&](std::string_view key, std::string_view) {
    newest = Position(Cursor(key.substr(list.size())).be64());
    return false;
  });
  return newest;
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

// ---- FOLLOW, UNFOLLOW

void Bucket::follow(const Ask& ask, const wire::Follow& request, size_t part, Now now, const store::Reader& reader,
                    Effects& effects) {
  if (part == 0) {
    wire::FollowResult result;
    result.batch = request.batch;
    result.states.assign(request.pairs.size(), wire::FollowState::pending);
    open_ask(ask.ask, std::move(result), request.pairs.size());
    set_deadline(ask.ask, std::min(ask.deadline, now.instant + Duration::of_ms(request.wait_ms)));
  }
  auto& state = std::get<wire::FollowResult>(asks_.at(ask.ask).reply).states[part];
  const wire::Pair& pair = request.pairs[part];
  ++counters_.follows;

  leaf::Leaf* leaf = leaves_.find(pair.author, reader);
  const BucketId root = map_->bucket_of(pair.author);
  if (!leaf && !channels_.has_room(root)) {
    state = Error{Code::busy, "the way to the author's bucket is full", 1000};
    part_done(ask.ask, effects);
    return;
  }
  const EntityNo follower = entities_.obtain(pair.follower, record_, reader, effects.writes);
  entity_created(follower, pair.follower);
  const bool known = leaf && reader.get(KeyBuilder(id_, Table::edge).add(follower).add(leaf->no));
  if (!known) {
    const Position since = take_position();
    if (!leaf) {
      record_.last_leaf = LeafNo(record_.last_leaf.value() + 1);
      leaf = leaves_.create(pair.author, record_.last_leaf, since, effects.writes);
      std::vector<wire::Packet> packets;
      channels_.write(root, wire::LeafJoin{pair.author, since}, since, now, effects.writes, packets);
      send_all(std::move(packets), effects);
    }
    std::string value;
    put_be64(value, since.packed());
    effects.writes.put(KeyBuilder(id_, Table::edge).add(follower).add(leaf->no), value);
    leaf::Followers(id_, leaf->no, reader).insert(follower, effects.writes);
  }
  if (leaf->welcomed) {
    state = wire::FollowState::active;
    part_done(ask.ask, effects);
  } else if (request.wait_ms == 0) {
    part_done(ask.ask, effects);
  } else {
    waiting_follows_[leaf->no].emplace_back(ask.ask, part);
  }
}

void Bucket::follows_settled(LeafNo leaf, wire::FollowState state, Effects& effects) {
  const auto it = waiting_follows_.find(leaf);
  if (it == waiting_follows_.end()) return;
  const auto waiting = std::move(it->second);
  waiting_follows_.erase(it);
  for (const auto& [ask, part] : waiting) {
    const auto open = asks_.find(ask);
    if (open == asks_.end()) continue;
    std::get<wire::FollowResult>(open->second.reply).states[part] = state;
    part_done(ask, effects);
  }
}

void Bucket::unfollow(const Ask& ask, const wire::Unfollow& request, size_t part, Now now, const store::Reader& reader,
                      Effects& effects) {
  if (part == 0) {
    wire::UnfollowResult result;
    result.batch = request.batch;
    result.removed.assign(request.pairs.size(), false);
    open_ask(ask.ask, std::move(result), request.pairs.size());
  }
  const wire::Pair& pair = request.pairs[part];
  ++counters_.unfollows;
  leaf::Leaf* const leaf = leaves_.find(pair.author, reader);
  const auto follower = entities_.find(pair.follower, reader);
  const BucketId root = map_->bucket_of(pair.author);
  const std::string edge = leaf && follower ? std::string(KeyBuilder(id_, Table::edge).add(*follower).add(leaf->no)) : "";
  auto& removed = std::get<wire::UnfollowResult>(asks_.at(ask.ask).reply).removed[part];
  if (!edge.empty() && reader.get(edge)) {
    const leaf::Followers followers(id_, leaf->no, reader);
    const bool last = followers.only(*follower);
    if (last && !channels_.has_room(root)) {
      removed = Error{Code::busy, "the way to the author's bucket is full", 1000};
    } else {
      const Position position = take_position();
      effects.writes.erase(edge);
      followers.remove(*follower, effects.writes);
      timelines_.drop(*follower);  // older entries of others fill it again at the next read
      if (tailed_home(*follower)) due_opens_.push_back(*follower);
      if (last) {
        const LeafNo no = leaf->no;
        std::vector<wire::Packet> packets;
        channels_.write(root, wire::LeafLeave{pair.author, leaf->generation}, position, now, effects.writes, packets);
        send_all(std::move(packets), effects);
        leaves_.retire(pair.author, effects.writes);
        retired_leaves_ = true;
        work_at_ = std::min(work_at_, now.instant);
        follows_settled(no, wire::FollowState::pending, effects);
      }
      removed = true;
    }
  }
  part_done(ask.ask, effects);
}

// ---- READ, GET

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
  if (!no) return {};
  return request.timeline == wire::Timeline::home ? home_page(request, *no, room, now, reader)
                                                  : sent_page(request, *no, room, reader);
}

namespace {

// Fills a page from entries as they come; stops at the limit or near the largest reply.
class PageFiller {
 public:
  PageFiller(const wire::Read& request, size_t room, wire::TimelinePage& page) : request_(request), room_(room), page_(page) {}
  // Returns false when the page is full (then this entry is not in it, and there is more).
  bool add(Position position, Blob message) {
    if (page_.entries.size() >= request_.limit ||
        (!page_.entries.empty() && bytes_ + message->size() > room_)) {
      page_.next = page_.entries.back().position;
      return false;
    }
    bytes_ += message->size();
    page_.entries.push_back({position, std::move(message)});
    return true;
  }
  // A reader that comes with `after` goes on from the last entry even when there is no more just now.
  void end() {
    if (request_.after && !page_.entries.empty()) page_.next = page_.entries.back().position;
  }

 private:
  const wire::Read& request_;
  const size_t room_;
  wire::TimelinePage& page_;
  size_t bytes_ = 0;
};

}  // namespace

wire::TimelinePage Bucket::home_page(const wire::Read& request, EntityNo entity, size_t room, Now now,
                                     const store::Reader& reader) {
  const leaf::Home& home = timelines_.open(entity, now, reader);
  wire::TimelinePage page;
  PageFiller filler(request, room, page);
  const auto add = [&](const leaf::HomeEntry& entry) {
    Blob message = reader.body(entry.ref);
    ASSERT(message);
    return filler.add(entry.position, std::move(message));
  };
  const auto behind = [](const leaf::HomeEntry& e, Position p) { return e.position < p; };
  if (request.after) {
    auto it = std::lower_bound(home.entries.begin(), home.entries.end(), request.after->next(), behind);
    while (it != home.entries.end() && add(*it)) ++it;
    const bool below = !record_.horizon.zero() && *request.after < record_.horizon;
    page.truncated = below || *request.after < home.left;
  } else {
    auto it = home.entries.end();
    if (request.before) it = std::lower_bound(home.entries.begin(), home.entries.end(), *request.before, behind);
    while (it != home.entries.begin() && add(*std::prev(it))) --it;
    page.truncated = it == home.entries.begin() && !record_.horizon.zero();
  }
  filler.end();
  return page;
}

wire::TimelinePage Bucket::sent_page(const wire::Read& request, EntityNo entity, size_t room, const store::Reader& reader) const {
  wire::TimelinePage page;
  PageFiller filler(request, room, page);
  const std::string list = KeyBuilder(id_, Table::sent).add(entity);
  const auto add = [&](std::string_view key, std::string_view value) {
    Blob message = reader.body(store::decode_ref(value));
    ASSERT(message);
    return filler.add(Position(Cursor(key.substr(list.size())).be64()), std::move(message));
  };
  if (request.after) {
    reader.scan(KeyBuilder(id_, Table::sent).add(entity).add(request.after->next()), store::after_prefix(list), add);
  } else {
    const std::string to = request.before ? std::string(KeyBuilder(id_, Table::sent).add(entity).add(*request.before))
                                          : store::after_prefix(list);
    reader.scan_back(list, to, add);
  }
  filler.end();
  return page;
}

wire::Reply Bucket::get(MessageId id, const store::Reader& reader) const {
  const auto place = reader.get(KeyBuilder(id_, Table::message).add(id));
  if (!place) return no_such_message(id);
  Cursor in(*place);
  const EntityNo author(in.be32());
  const Position position(in.be64());
  const auto sent = reader.get(KeyBuilder(id_, Table::sent).add(author).add(position));
  if (!sent) return no_such_message(id);
  return wire::GetResult{{position, reader.body(store::decode_ref(*sent))}};
}

// ---- FOLLOWING, and what other nodes ask to answer FOLLOWERS and TREE

wire::Reply Bucket::following(const wire::Following& request, const store::Reader& reader) const {
  wire::NamesResult result;
  const auto entity = entities_.find(request.entity, reader);
  if (!entity) return result;
  const std::string edges = KeyBuilder(id_, Table::edge).add(*entity);
  uint64_t last = 0;
  reader.scan(edges, store::after_prefix(edges), [&](std::string_view key, std::string_view) {
    const LeafNo leaf(Cursor(key.substr(edges.size())).be32());
    ++result.count;
    if (leaf.value() <= request.after) return true;
    if (result.names.size() < request.limit) {
      result.names.push_back(leaves_.reflector_of(leaf, reader));
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
  const leaf::Leaf* const leaf = leaves_.find(request.reflector, reader);
  if (!leaf) return result;
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
