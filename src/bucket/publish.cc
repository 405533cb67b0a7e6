// PUBLISH and RETRACT, and what of them comes from other buckets: clones for lists, messages and
// retractions that pass from one stream into another.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"
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
using store::PlaceKind;
using store::Table;

// What tells a repeat of a key from another message under the same key.
uint64_t content_hash(const wire::Message& message) {
  std::string content;
  put_string(content, message.author);
  put_string(content, message.type);
  put_string(content, message.body);
  if (message.reply_to.zero() && message.mentions.empty() && message.topics.empty() && message.to.empty()) return hash64(content);
  put_be64(content, message.reply_to.packed());
  for (const auto* names : {&message.mentions, &message.topics, &message.to}) {
    put_varint(content, names->size());
    for (const std::string& name : *names) put_string(content, name);
  }
  return hash64(content);
}

wire::MessageView view_of(const wire::Message& message) {
  wire::MessageView view;
  view.author = message.author;
  view.type = message.type;
  view.body = message.body;
  view.reply_to = message.reply_to;
  view.mentions.assign(message.mentions.begin(), message.mentions.end());
  view.topics.assign(message.topics.begin(), message.topics.end());
  view.to.assign(message.to.begin(), message.to.end());
  return view;
}

// A list of another entity that a message goes to.
struct Target {
  BucketId bucket;
  wire::List list;
  std::string name;   // of replies "": the parent says whose
};

std::vector<Target> targets_of(const map::BucketMap& map, const wire::MessageView& message) {
  std::vector<Target> targets;
  const auto add = [&](wire::List list, const std::vector<std::string_view>& names) {
    for (const std::string_view name : names) targets.push_back({map.bucket_of(name), list, std::string(name)});
  };
  add(wire::List::mentions, message.mentions);
  if (!message.reply_to.zero()) targets.push_back({message.reply_to.bucket(), wire::List::replies, ""});
  add(wire::List::topic, message.topics);
  add(wire::List::direct, message.to);
  return targets;
}

// Returns BUSY when the way to one of the targets is full.
std::optional<Error> full_way(const Channels& channels, const std::vector<Target>& targets) {
  for (const Target& target : targets) {
    if (channels.has_room(target.bucket)) continue;
    const char* field = target.list == wire::List::mentions ? "mentions" : target.list == wire::List::replies ? "reply_to"
                        : target.list == wire::List::topic  ? "topics"   : "to";
    return Error{Code::busy, std::string(field) + ": the way to bucket " + std::to_string(target.bucket.value()) +
                             (target.name.empty() ? "" : " of \"" + target.name + "\"") + " is full", 1000};
  }
  return std::nullopt;
}

wire::Timeline timeline_of(wire::List list) {
  return list == wire::List::direct ? wire::Timeline::home : static_cast<wire::Timeline>(list);
}

}  // namespace

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
  if (auto busy = busy_if_ending(message.author, reader)) return std::move(*busy);
  if (message.reply_to.bucket().value() >= map_->buckets.size())
    return Error{Code::bad_request, "reply_to names no message: it must be the id of one", 0};
  wire::MessageView view = view_of(message);
  const std::vector<Target> targets = targets_of(*map_, view);
  if (const auto full = full_way(channels_, targets)) return *full;

  const EntityNo author = entities_.obtain(message.author, record_, reader, effects.writes);
  const Position position = take_position();
  const MessageId id = MessageId::after(record_.last_message, now.wall_ms, id_);
  record_.last_message = id;
  view.id = id;
  view.position = position;
  view.time_ms = id.time_ms();
  Blob blob = make_blob(wire::encode_message(view));
  const BodyRef ref = wire::body_ref(id, *blob);

  const Position previous = tails_.empty() ? Position() : lists_.newest(ListKind::sent, author, reader);
  lists_.append(ListKind::sent, author, {position, ref, {}}, blob, now, reader, effects.writes);
  const bool shared = !message.topics.empty() || !message.to.empty();
  auto letter = roots_.publish(author, message.author, {ref, blob, shared, false, 0}, reader, effects.writes);
  std::string place;
  put_be32(place, author.value());
  put_be64(place, position.packed());
  if (letter) put_be64(place, letter->item.no.packed());
  effects.writes.put(KeyBuilder(id_, Table::message).add(id), place);
  if (letter) push(std::move(*letter), effects);
  for (const Target& target : targets)
    send_letter(target.bucket, wire::Clone{target.list, target.name, target.name.empty() ? message.reply_to : MessageId(), ref, blob},
                position, now, effects);
  if (!message.key.empty())
    keys_.save(author, message.key, {content, id, id.time_ms()}, position, now.wall_ms, reader, effects.writes);
  ++counters_.publishes;
  entity_created(author, message.author);
  notify({wire::Timeline::sent, message.author}, {position, blob}, previous, effects);
  return wire::Published{id, id.time_ms()};
}

void Bucket::send_letter(BucketId to, wire::Letter letter, Position position, Now now, Effects& effects) {
  std::vector<wire::Packet> packets;
  channels_.write(to, std::move(letter), position, now, effects.writes, packets);
  send_all(std::move(packets), effects);
}

// Down the tree; when all leaves are lazy there is nobody to send it to.
void Bucket::push(wire::StreamLetter letter, Effects& effects) {
  if (letter.route.letters() > 0) effects.held.push_back(Push{std::move(letter)});
}

// ---- Clones: a message arrives in a list

void Bucket::on_letter_body(const wire::Clone& clone, Position position, Now now, const store::Reader& reader, Effects& effects) {
  if (const std::string* entity = alias_target(clone.name)) {
    wire::Clone on = clone;
    on.name = *entity;
    ++counters_.clones_passed_on;
    return send_letter(map_->bucket_of(*entity), std::move(on), position, now, effects);
  }
  const MessageId id = clone.ref.id;
  if (dead_.has(id, reader)) {
    ++counters_.dropped_dead;
    return;
  }
  EntityNo entity;
  std::string name = clone.name;
  if (clone.list == wire::List::replies) {
    const auto parent = own_message(clone.parent, reader);
    if (!parent) {
      ++counters_.replies_to_nothing;
      return;
    }
    entity = parent->author;
    name = entities_.name_of(entity, reader);
  } else {
    const bool fresh = !entities_.find(name, reader);
    entity = entities_.obtain(name, record_, reader, effects.writes);
    entity_created(entity, name);
    // Somebody tails a home that has its first entry now: it is opened before, and hears of the entry.
    if (fresh && clone.list == wire::List::direct && tailed_home(entity)) home(entity, now, reader);
  }
  if (ending(entity)) {
    ++counters_.dropped_ending;
    return;
  }
  const ListKind kind = list_kind(clone.list);
  const auto there = store::find_place(id_, id, place_kind(kind), entity.value(), reader);
  if (there && !planted("clone repeated in a list")) {
    ++counters_.clone_repeats;
    return;
  }
  const TailKey key{timeline_of(clone.list), name};
  const Position previous = tails_.contains(key) && clone.list != wire::List::direct ? lists_.newest(kind, entity, reader) : Position();
  ++counters_.clones;
  if (clone.list == wire::List::direct) {
    arrived(entity, {position, clone.ref, false, true}, clone.message, leaf::Ways(id_, id, reader), reader, effects);
    lists_.append(kind, entity, {position, clone.ref, {}}, clone.message, now, reader, effects.writes, [&](const ListEntry& old) {
      // It was still shown, or shows at another place from now on.
      if (timelines_.holds(entity, old.position) || !leaf::Ways(id_, old.ref.id, reader).single()) drop_home(entity);
    });
    return;
  }
  lists_.append(kind, entity, {position, clone.ref, clone.parent}, clone.message, now, reader, effects.writes);
  notify(key, {position, clone.message}, previous, effects);
  if (clone.list == wire::List::topic) into_stream(entity, name, clone.ref, clone.message, 0, reader, effects);
}

void Bucket::on_letter_body(const wire::Unclone& unclone, Position position, Now now, const store::Reader& reader,
                            Effects& effects) {
  if (const std::string* entity = alias_target(unclone.name)) {
    wire::Unclone on = unclone;
    on.name = *entity;
    return send_letter(map_->bucket_of(*entity), std::move(on), position, now, effects);
  }
  retract_here(unclone.id, position, reader, effects);
  if (unclone.list != wire::List::topic) return;
  if (const auto entity = entities_.find(unclone.name, reader))
    pass_retraction(*entity, unclone.id, StreamNo(), 0, reader, effects);
}

// ---- Streams that feed streams

// Another author's message enters the stream of an entity here, unless it is there already.
void Bucket::into_stream(EntityNo entity, std::string_view name, BodyRef ref, Blob message, uint8_t hops,
                         const store::Reader& reader, Effects& effects) {
  const auto view = wire::decode_message(*message);  // not own_message: it may have fallen out of `sent`
  const bool known = (view && view->author == name) || dead_.has(ref.id, reader) ||
                     store::find_place(id_, ref.id, PlaceKind::stream, entity.value(), reader);
  if (known && !planted("forward without hop or repeat check")) {
    ++counters_.stream_repeats;
    return;
  }
  auto letter = roots_.publish(entity, name, {ref, std::move(message), true, true, hops}, reader, effects.writes);
  if (!letter) return;
  store::put_place(id_, ref.id, PlaceKind::stream, entity.value(), letter->item.no.packed(), effects.writes);
  push(std::move(*letter), effects);
}

// A retraction goes on into the stream of an entity here, once.
void Bucket::pass_retraction(EntityNo entity, MessageId id, StreamNo target, uint8_t hops, const store::Reader& reader,
                             Effects& effects) {
  if (passed_.contains({id, entity}) ||
      store::find_place(id_, id, PlaceKind::passed, entity.value(), reader))
    return;
  passed_.emplace(id, entity);
  auto letter = roots_.retract(entity, entities_.name_of(entity, reader), id, target, hops, reader, effects.writes);
  if (!letter) return;
  store::put_place(id_, id, PlaceKind::passed, entity.value(), letter->item.no.packed(), effects.writes);
  push(std::move(*letter), effects);
}

// ---- RETRACT

wire::Reply Bucket::retract(const wire::Retract& request, Now now, const store::Reader& reader, Effects& effects) {
  const bool of_others = request.id.bucket() != id_;  // nothing that this author published, whether it exists or not
  const auto own = of_others ? std::nullopt : own_message(request.id, reader);
  const auto author = entities_.find(request.author, reader);
  if (!own && !of_others) return no_such_message(request.id);
  if (of_others || !author || own->author != *author)
    return Error{Code::denied, "author: only the author of a message can retract it, and that is not \"" + request.author + "\"", 0};
  if (auto full = withdraw(*own, request.author, now, reader, effects)) return std::move(*full);
  ++counters_.retractions;
  return wire::RetractResult{};
}

// Takes an own message out of `sent`, and sends its retraction wherever the message went.
std::optional<Error> Bucket::withdraw(const OwnMessage& own, std::string_view name, Now now, const store::Reader& reader,
                                      Effects& effects) {
  const Blob blob = reader.body(own.ref);
  ASSERT(blob);
  const auto view = wire::decode_message(*blob);
  ASSERT(view);
  const std::vector<Target> targets = targets_of(*map_, *view);
  if (auto full = full_way(channels_, targets)) return full;

  const Position position = take_position();
  lists_.erase(ListKind::sent, own.author, {own.position, own.ref, {}}, reader, effects.writes);
  notify_retracted({wire::Timeline::sent, std::string(name)}, own.ref.id, effects);
  if (auto letter = roots_.retract(own.author, name, own.ref.id, own.no, 0, reader, effects.writes)) {
    // A loop of forwards brings it back: once is enough.
    store::put_place(id_, own.ref.id, PlaceKind::passed, own.author.value(), letter->item.no.packed(), effects.writes);
    push(std::move(*letter), effects);
  }
  passed_.emplace(own.ref.id, own.author);
  for (const Target& target : targets) {
    if (target.list == wire::List::mentions && planted("retraction misses a list")) continue;
    send_letter(target.bucket, wire::Unclone{target.list, target.name, target.name.empty() ? view->reply_to : MessageId(), own.ref.id},
                position, now, effects);
  }
  retract_here(own.ref.id, position, reader, effects);
  return std::nullopt;
}

// A message is retracted: it goes from every place in this bucket, and is known as dead from now on.
void Bucket::retract_here(MessageId id, Position position, const store::Reader& reader, Effects& effects) {
  // A step does not see what it has erased: the second retraction of the same message in it finds nothing.
  if (!dead_now_.insert(id).second) return;
  if (!dead_.has(id, reader)) dead_.add(id, position, reader, effects.writes);
  std::vector<store::Place> places;
  store::visit_places(id_, id, reader, [&](const store::Place& place) {
    places.push_back(place);
    return true;
  });
  std::vector<EntityNo> pass_on;
  for (const store::Place& place : places) {
    const EntityNo entity(place.number);
    switch (place.kind) {
      case PlaceKind::delivery: {
        retract_delivery(LeafNo(place.number), place.position(), id, Position(), reader, effects);
        // Its own retraction may never come down this leaf's stream: what forwards it hears it now.
        const std::string forwards = KeyBuilder(id_, Table::forward).add(LeafNo(place.number));
        reader.scan(forwards, store::after_prefix(forwards), [&](std::string_view key, std::string_view) {
          pass_on.emplace_back(Cursor(key.substr(forwards.size())).be32());
          return true;
        });
        break;
      }
      case PlaceKind::stream: pass_retraction(entity, id, place.stream_no(), 0, reader, effects); break;
      case PlaceKind::mentions:
      case PlaceKind::replies:
      case PlaceKind::topic: {
        retract_entry(static_cast<ListKind>(place.kind), entity, place.position(), reader, effects);
        notify_retracted({static_cast<wire::Timeline>(place.kind), entities_.name_of(entity, reader)}, id, effects);
        break;
      }
      case PlaceKind::direct:
        retract_entry(ListKind::direct, entity, place.position(), reader, effects);
        gone_from_home(entity, place.position(), id, effects);
        break;
      case PlaceKind::backfill: {
        const std::string key = KeyBuilder(id_, Table::backfill).add(entity).add(LeafNo(place.second)).add(place.position());
        const auto row = reader.get(key);
        ASSERT(row);
        effects.writes.erase(key);
        effects.writes.unref(store::decode_ref(*row));
        effects.writes.erase(store::place_key(id_, id, PlaceKind::backfill, place.number, place.second));
        gone_from_home(entity, place.position(), id, effects);
        break;
      }
      case PlaceKind::passed: break;
    }
  }
  if (planted("retraction not passed on by a forward")) return;
  // With the hops of one forward: more of them are left than there may be, and `passed` ends the loops.
  for (const EntityNo to : pass_on) pass_retraction(to, id, StreamNo(), 1, reader, effects);
}

void Bucket::retract_entry(ListKind kind, EntityNo entity, Position position, const store::Reader& reader, Effects& effects) {
  const auto entry = lists_.find_any(kind, entity, position, reader);
  ASSERT(entry);
  lists_.erase(kind, entity, *entry, reader, effects.writes);
}

// Nothing happens when another message is there: what a peer says of numbers is not trusted. `newer`: a row
// of the leaf that may link to this one. Returns where a dead link was left.
std::optional<Position> Bucket::retract_delivery(LeafNo leaf, Position position, MessageId id, Position newer,
                                                 const store::Reader& reader, Effects& effects) {
  const auto row = reader.delivery(id_, position);
  if (!row || row->leaf != leaf || row->dead || row->ref.id != id) return std::nullopt;
  const bool join = !std::exchange(died_now_, true) && reader.get(KeyBuilder(id_, Table::leaf).add(leaf));
  const leaf::Died died = leaf::retract_row(id_, position, *row, join, newer, reader, effects.writes);
  record_.deliveries -= std::min<uint64_t>(record_.deliveries, died.gone);
  counters_.rows_joined += died.gone;
  if (timelines_.empty() && home_tails_.empty()) return died.link;
  const uint64_t lines_before = timelines_.lines_gone_through();
  leaf::Followers(id_, leaf, reader).visit_chunks([&](const uint32_t* followers, size_t n) {
    counters_.retraction_looks += n;
    constexpr size_t few = leaf::Timelines::prefetched;
    for (size_t i = 0; i < n; ++i) {
      if (i % few == 0) {  // their memory lies far apart
        const size_t lines = std::min(n, i + few), headers = std::min(n, i + 2 * few);
        timelines_.prefetch_headers(followers + headers, n - headers);
        timelines_.prefetch_lines(followers + lines, n - lines);
        timelines_.prefetch_oldest_lines(followers + lines, n - lines);
      }
      gone_from_home(EntityNo(followers[i]), position, id, effects);
    }
    return true;
  });
  counters_.retraction_lines += timelines_.lines_gone_through() - lines_before;
  return died.link;
}

void Bucket::gone_from_home(EntityNo follower, Position position, MessageId id, Effects& effects) {
  const bool unknown = !timelines_.contains(follower);  // dropped, perhaps by a retraction of this step
  const bool had = timelines_.retract(follower, position);
  const auto tailed = home_tails_.find(follower);
  if (tailed == home_tails_.end()) return;
  if (!timelines_.contains(follower)) due_opens_.push_back(follower);
  if (had || unknown) notify_retracted({wire::Timeline::home, tailed->second}, id, effects);
}

// What came down a stream to a leaf: the plain delivery is found by its number, the rest by its places.
void Bucket::retracted(leaf::Leaf& leaf, const std::vector<leaf::Retracted>& retractions, const store::Reader& reader,
                       Effects& effects) {
  for (const leaf::Retracted& retraction : retractions) {
    ++counters_.retracted;
    const bool again = dead_now_.contains(retraction.id);
    retract_here(retraction.id, take_position(), reader, effects);
    if (!again && !retraction.target.zero() && !store::find_place(id_, retraction.id, PlaceKind::delivery, leaf.no.value(), reader)) {
      const Position last = leaf.found_at;
      const auto position = leaves_.find_delivery(leaf, retraction.target, retraction.id, Position(), reader);
      const auto link = position ? retract_delivery(leaf.no, *position, retraction.id, last, reader, effects) : std::nullopt;
      if (link) leaf.found_at = *link;
    }
    if (retraction.hops >= map_->settings.max_hops || planted("retraction not passed on by a forward")) continue;
    for (const leaf::ForwardEdge& forward : leaf.forwards)
      pass_retraction(forward.to, retraction.id, StreamNo(), static_cast<uint8_t>(retraction.hops + 1), reader, effects);
  }
}

std::optional<Bucket::OwnMessage> Bucket::own_message(MessageId id, const store::Reader& reader) const {
  const auto place = reader.get(KeyBuilder(id_, Table::message).add(id));
  if (!place) return std::nullopt;
  Cursor in(*place);
  OwnMessage own;
  own.author = EntityNo(in.be32());
  own.position = Position(in.be64());
  if (in.left() > 0) own.no = StreamNo(in.be64());
  ASSERT(in.done());
  const auto sent = reader.get(KeyBuilder(id_, Table::sent).add(own.author).add(own.position));
  ASSERT(sent);
  own.ref = store::decode_ref(*sent);
  return own;
}

}  // namespace canopy::bucket
