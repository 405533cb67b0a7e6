// FOLLOW, UNFOLLOW and FORWARD: who gets whose messages, and the earlier ones that a follow brings with it.
#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "bucket/bucket.h"
#include "leaf/followers.h"
#include "store/keys.h"
#include "store/refs.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::PlaceKind;
using store::Table;

constexpr Duration forward_wait = Duration::of_s(1);
constexpr size_t backfill_bytes_max = 4u << 20;  // that one follow brings; the newest go first

Error way_is_full(std::string_view field) {
  return {Code::busy, std::string(field) + ": the way to its bucket is full", 1000};
}

std::string encode_forward(const leaf::ForwardEdge& forward) {
  std::string value;
  put_be64(value, forward.since.packed());
  put_u8(value, forward.off ? 1 : 0);
  put_u8(value, forward.active ? 1 : 0);
  return value;
}

}  // namespace

// ---- FOLLOW

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

  if (auto busy = busy_if_ending(pair.follower, reader)) {
    state = std::move(*busy);
    part_done(ask.ask, effects);
    return;
  }
  const std::string author = first_name(pair.author);
  leaf::Leaf* leaf = leaves_.find(author, reader);
  const auto known_follower = entities_.find(pair.follower, reader);
  const bool known = leaf && known_follower && reader.get(KeyBuilder(id_, Table::edge).add(*known_follower).add(leaf->no));
  if (!known && (!leaf || request.backfill > 0) && !channels_.has_room(map_->bucket_of(author))) {
    state = way_is_full("author");
    part_done(ask.ask, effects);
    return;
  }
  const EntityNo follower = known_follower ? *known_follower : entities_.obtain(pair.follower, record_, reader, effects.writes);
  entity_created(follower, pair.follower);
  if (!known) {
    // The positions below `since` are for the earlier messages; more than home shows are not wanted.
    const uint32_t backfill = std::min(request.backfill, map_->settings.capacity);
    position_ = Position(position_.packed() + backfill);
    const Position since = take_position();
    if (!leaf) leaf = join(author, since, now, effects);
    effects.writes.put(KeyBuilder(id_, Table::edge).add(follower).add(leaf->no), leaf::encode_edge({since, backfill}));
    leaf::Followers(id_, leaf->no, reader).insert(follower, effects.writes);
    leaves_.follower_added(*leaf, follower);
    if (tailed_home(follower) && lazy_.lazy(leaf->no)) due_opens_.push_back(follower);  // which rouses the leaf
    if (backfill > 0)
      send_letter(map_->bucket_of(author), wire::BackfillAsk{author, pair.follower, since, backfill}, since, now, effects);
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

// A leaf is made, and joins its root.
leaf::Leaf* Bucket::join(const std::string& author, Position generation, Now now, Effects& effects) {
  record_.last_leaf = LeafNo(record_.last_leaf.value() + 1);
  leaf::Leaf* const leaf = leaves_.create(author, record_.last_leaf, generation, effects.writes);
  send_letter(map_->bucket_of(author), wire::LeafJoin{author, generation}, generation, now, effects);
  return leaf;
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

// ---- UNFOLLOW

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
  auto& removed = std::get<wire::UnfollowResult>(asks_.at(ask.ask).reply).removed[part];
  if (auto busy = busy_if_ending(pair.follower, reader)) {
    removed = std::move(*busy);
  } else if (const auto follower = entities_.find(pair.follower, reader)) {
    removed = cut(*follower, pair.author, now, reader, effects);
    // Perhaps he followed it by another name.
    const auto* none = std::get_if<bool>(&removed);
    if (const auto* entity = alias_target(pair.author); entity && none && !*none)
      removed = cut(*follower, *entity, now, reader, effects);
  }
  part_done(ask.ask, effects);
}

// Takes an edge away; returns whether there was one, or BUSY.
std::variant<bool, Error> Bucket::cut(EntityNo follower, const std::string& author, Now now, const store::Reader& reader,
                                      Effects& effects) {
  leaf::Leaf* const leaf = leaves_.find(author, reader);
  if (!leaf) return false;
  const std::string key = KeyBuilder(id_, Table::edge).add(follower).add(leaf->no);
  const auto edge = reader.get(key);
  if (!edge) return false;
  const leaf::Followers followers(id_, leaf->no, reader);
  const bool last = followers.only(follower) && leaf->forwards.empty();
  if (last && !channels_.has_room(map_->bucket_of(author))) return way_is_full("author");
  const Position position = take_position();
  effects.writes.erase(key);
  followers.remove(follower, effects.writes);
  leaves_.follower_removed(*leaf, follower);
  if (leaf::decode_edge(*edge).backfill > 0) {  // what came with it goes bit by bit
    effects.writes.put(KeyBuilder(id_, Table::retired).add(leaf->no).add(follower), "");
    retired_leaves_ = true;
    work_at_ = std::min(work_at_, now.instant);
  }
  drop_home(follower);  // older entries of others fill it again at the next read
  if (last) leave(*leaf, position, now, effects);
  return true;
}

// A leaf that nobody needs any more goes, and says so to its root.
void Bucket::leave(leaf::Leaf& leaf, Position position, Now now, Effects& effects) {
  const LeafNo no = leaf.no;
  const std::string author = leaf.reflector;
  send_letter(map_->bucket_of(author), wire::LeafLeave{author, leaf.generation}, position, now, effects);
  leaves_.retire(author, effects.writes);
  lazy_.erase(no, effects.writes);
  leaf_gone(no);
  retired_leaves_ = true;
  work_at_ = std::min(work_at_, now.instant);
  follows_settled(no, wire::FollowState::pending, effects);
  // Who waits for a forward is told `pending` when its time is over.
  std::erase_if(waiting_forwards_, [no](const auto& waiting) { return waiting.first.first == no; });
}

// The leaf's entity was deleted: who followed it follows it no more.
void Bucket::leaf_ended(leaf::Leaf& leaf, Now now, Effects& effects) {
  leave(leaf, take_position(), now, effects);
  timelines_.drop_all();
  for (const auto& [entity, name] : home_tails_) due_opens_.push_back(entity);
}

// ---- What a follow brings with it

// At the root: the newest messages of the entity, oldest first. A topic's are those that carry it.
void Bucket::on_letter_body(const wire::BackfillAsk& ask, Position position, Now now, const store::Reader& reader, Effects& effects) {
  const auto entity = entities_.find(ask.reflector, reader);
  if (!entity || ending(*entity)) return;
  const BucketId to = map_->bucket_of(ask.follower);
  if (!channels_.has_room(to)) {
    ++counters_.backfills_cut;
    return;
  }
  std::vector<ListEntry> newest;
  for (const ListKind kind : {ListKind::sent, ListKind::topic}) {
    size_t taken = 0;
    lists_.down(kind, *entity, std::nullopt, now, reader, [&](const ListEntry& entry) {
      newest.push_back(entry);
      return ++taken < ask.count;
    });
  }
  std::sort(newest.begin(), newest.end(), [](const ListEntry& a, const ListEntry& b) { return a.position > b.position; });
  // A message that carries its author's own topic stands in both lists.
  std::set<MessageId> ids;
  std::erase_if(newest, [&](const ListEntry& entry) { return !ids.insert(entry.ref.id).second; });
  if (newest.size() > ask.count) newest.resize(ask.count);
  std::vector<Blob> messages;
  for (size_t bytes = 0; messages.size() < newest.size();) {
    Blob message = reader.body(newest[messages.size()].ref);
    bytes += message->size();
    if (bytes > backfill_bytes_max && !messages.empty()) {
      ++counters_.backfills_cut;
      newest.resize(messages.size());
      break;
    }
    messages.push_back(std::move(message));
  }
  for (size_t i = newest.size(); i > 0; --i) {
    const ListEntry& entry = newest[i - 1];
    StreamNo no;
    if (const auto own = own_message(entry.ref.id, reader); own && own->author == *entity) no = own->no;
    else if (const auto at = store::find_place(id_, entry.ref.id, PlaceKind::stream, entity->value(), reader)) no = StreamNo(*at);
    send_letter(to, wire::Backfill{ask.reflector, ask.follower, ask.since, static_cast<uint32_t>(i), no, entry.ref, messages[i - 1]},
                position, now, effects);
  }
}

// At the follower: what the stream brings above `since` is left to it.
void Bucket::on_letter_body(const wire::Backfill& earlier, const store::Reader& reader, Effects& effects) {
  leaf::Leaf* const leaf = leaves_.find(earlier.reflector, reader);
  const auto follower = entities_.find(earlier.follower, reader);
  if (!leaf || !follower || earlier.back == 0 || earlier.back >= earlier.since.number()) return;
  const auto edge = reader.get(KeyBuilder(id_, Table::edge).add(*follower).add(leaf->no));
  if (!edge || leaf::decode_edge(*edge).since != earlier.since || earlier.back > leaf::decode_edge(*edge).backfill) return;  // unfollowed since
  const MessageId id = earlier.ref.id;
  if (dead_.has(id, reader)) {
    ++counters_.dropped_dead;
    return;
  }
  const auto delivered = earlier.no.zero() ? std::nullopt : leaves_.find_delivery(*leaf, earlier.no, id, earlier.since, reader);
  if ((!earlier.no.zero() && earlier.no > leaf->applied) || delivered) {
    ++counters_.backfill_repeats;
    return;
  }
  const Position position(earlier.since.packed() - earlier.back);
  const std::string row = KeyBuilder(id_, Table::backfill).add(*follower).add(leaf->no).add(position);
  const auto place = reader.get(store::place_key(id_, id, PlaceKind::backfill, follower->value(), leaf->no.value()));
  const Position before = place ? Position(Cursor(*place).be64()) : Position();
  if (reader.get(row) || before >= leaf::decode_edge(*edge).begin()) {
    ++counters_.backfill_repeats;
    return;
  }
  if (place) {  // of a follow before this one, not erased yet
    const std::string old = KeyBuilder(id_, Table::backfill).add(*follower).add(leaf->no).add(before);
    if (const auto ref = reader.get(old)) effects.writes.unref(store::decode_ref(*ref));
    effects.writes.erase(old);
  }
  effects.writes.put(row, store::encode_ref(earlier.ref));
  effects.writes.ref(earlier.ref, earlier.message);
  store::put_place(id_, id, PlaceKind::backfill, follower->value(), position.packed(), effects.writes, leaf->no.value());
  ++counters_.backfilled;
  drop_home(*follower);
}

// ---- FORWARD

void Bucket::forward(const Ask& ask, const wire::Forwarding& request, Now now, const store::Reader& reader, Effects& effects) {
  const auto answer = [&](wire::Reply reply) { effects.held.push_back(Answer{ask.ask, std::move(reply)}); };
  if (const std::string to = first_name(request.to); to == request.from || to == first_name(request.from))
    return answer(Error{Code::bad_request, "from: \"" + request.from + "\" and \"" + request.to + "\" are the same entity: it must be another one", 0});
  // Perhaps it is forwarded by another name: an alias that was followed here is remembered.
  const std::string* remembered = leaves_.find(request.from, reader) ? nullptr : alias_target(request.from);
  const std::string from = remembered && (request.off || leaves_.find(*remembered, reader)) ? *remembered : first_name(request.from);
  leaf::Leaf* leaf = leaves_.find(from, reader);
  const auto known = entities_.find(request.to, reader);
  const auto edge_of = [&]() -> leaf::ForwardEdge* {
    if (!leaf || !known) return nullptr;
    const auto at = std::find_if(leaf->forwards.begin(), leaf->forwards.end(), [&](const auto& e) { return e.to == *known; });
    return at == leaf->forwards.end() ? nullptr : &*at;
  };
  leaf::ForwardEdge* edge = edge_of();
  if (request.off) {
    // The leaf stays: retractions of what came through it still pass.
    if (edge && !edge->off) {
      edge->off = true;
      effects.writes.put(KeyBuilder(id_, Table::forward).add(leaf->no).add(edge->to), encode_forward(*edge));
    }
    if (!edge)
      return answer(Error{Code::not_found, "from: nothing of \"" + request.from + "\" is forwarded to \"" + request.to +
                                           "\" by this name: it must be one that FORWARD was given, or the first name", 0});
    return answer(wire::ForwardingResult{wire::FollowState::active, true});
  }
  if (edge && !edge->off && edge->active) return answer(wire::ForwardingResult{wire::FollowState::active, false});
  const BucketId root = map_->bucket_of(from);
  if (!channels_.has_room(root)) return answer(way_is_full("from"));
  if (missing_ && !missing_->empty())  // what it published before must not be forwarded as new
    return answer(Error{Code::busy, "from: what \"" + from + "\" published so far cannot be fetched just now", 1000});

  if (!edge) {
    const EntityNo to = entities_.obtain(request.to, record_, reader, effects.writes);
    entity_created(to, request.to);
    size_t forwards = 0;
    const std::string all = KeyBuilder(id_, Table::forward_of).add(to);
    reader.scan(all, store::after_prefix(all), [&](std::string_view, std::string_view) { return ++forwards < limits::forwards_max; });
    if (forwards == limits::forwards_max)
      return answer(Error{Code::too_large, "to: " + std::to_string(forwards) + " entities forward to it, the most there may be", 0});
    const Position since = take_position();
    if (!leaf) leaf = join(from, since, now, effects);
    leaf->forwards.push_back({to, since, false, false});
    edge = &leaf->forwards.back();
    effects.writes.put(KeyBuilder(id_, Table::forward_of).add(to).add(leaf->no), "");
  } else if (edge->off) {
    edge->off = false;
    edge->since = take_position();
  }
  effects.writes.put(KeyBuilder(id_, Table::forward).add(leaf->no).add(edge->to), encode_forward(*edge));
  if (lazy_.lazy(leaf->no)) set_mode(*leaf, leaf::Mode::append, now, reader, effects);
  if (edge->active) return answer(wire::ForwardingResult{wire::FollowState::active, false});
  const Position position = take_position();
  send_letter(root, wire::Share{from, request.to}, position, now, effects);
  open_ask(ask.ask, wire::ForwardingResult{wire::FollowState::pending, false}, 1);
  set_deadline(ask.ask, std::min(ask.deadline, now.instant + forward_wait));
  wait(waiting_forwards_[{leaf->no, edge->to}], ask.ask);
}

// At the root: from now on its messages say that they may come by several ways.
void Bucket::on_letter_body(const wire::Share& share, Position position, Now now, const store::Reader& reader, Effects& effects) {
  if (alias_target(share.reflector)) return;  // its join was redirected, and Share comes again
  const EntityNo entity = entities_.obtain(share.reflector, record_, reader, effects.writes);
  entity_created(entity, share.reflector);
  roots_.share(entity, share.reflector, reader, effects.writes);
  send_letter(map_->bucket_of(share.target), wire::Shared{share.reflector, share.target}, position, now, effects);
}

void Bucket::on_letter_body(const wire::Shared& shared, const store::Reader& reader, Effects& effects) {
  leaf::Leaf* const leaf = leaves_.find(shared.reflector, reader);
  const auto to = entities_.find(shared.target, reader);
  if (!leaf || !to) return;
  for (leaf::ForwardEdge& edge : leaf->forwards) {
    if (edge.to != *to || edge.active) continue;
    edge.active = true;
    effects.writes.put(KeyBuilder(id_, Table::forward).add(leaf->no).add(edge.to), encode_forward(edge));
  }
  forwards_active(leaf->no, *to, effects);
}

void Bucket::forwards_active(LeafNo leaf, EntityNo to, Effects& effects) {
  const auto waiting = waiting_forwards_.extract(std::pair{leaf, to});
  if (waiting.empty()) return;
  for (const uint64_t ask : waiting.mapped()) {
    const auto open = asks_.find(ask);
    if (open == asks_.end()) continue;
    std::get<wire::ForwardingResult>(open->second.reply).state = wire::FollowState::active;
    part_done(ask, effects);
  }
}

// ---- An alias was followed: the leaf is its entity's

void Bucket::on_letter_body(const wire::Redirect& redirect, Position position, Now now, const store::Reader& reader, Effects& effects) {
  leaves_.find(redirect.entity, reader);  // a find may empty a full cache: those after it do not any more
  leaf::Leaf* const old = leaves_.find(redirect.reflector, reader);
  if (!old || old->generation != redirect.generation || old->welcomed || redirect.entity == redirect.reflector) return;
  ++counters_.redirects;
  // An alias of this bucket it knows itself, and may have dropped meanwhile.
  if (map_->bucket_of(redirect.reflector) != id_) remember_alias(redirect.reflector, redirect.entity, effects);
  std::vector<std::pair<EntityNo, std::string>> edges;  // follower, edge
  leaf::Followers(id_, old->no, reader).visit(EntityNo(), [&](EntityNo follower) {
    const auto edge = reader.get(KeyBuilder(id_, Table::edge).add(follower).add(old->no));
    ASSERT(edge);
    edges.emplace_back(follower, *edge);
    return true;
  });

  leaf::Leaf* leaf = leaves_.find(redirect.entity, reader);
  const BucketId root = map_->bucket_of(redirect.entity);
  if (!leaf) {
    leaf = leaves_.rename(redirect.reflector, redirect.entity, position, effects.writes);
    send_letter(root, wire::LeafJoin{redirect.entity, position}, position, now, effects);
  } else {
    merge(*old, *leaf, edges, reader, effects);
    if (!leaf->forwards.empty() && lazy_.lazy(leaf->no)) set_mode(*leaf, leaf::Mode::append, now, reader, effects);
    position = take_position();
  }
  for (const leaf::ForwardEdge& forward : leaf->forwards)
    if (!forward.active) send_letter(root, wire::Share{redirect.entity, entities_.name_of(forward.to, reader)}, position, now, effects);
  for (const auto& [follower, value] : edges) {
    const leaf::Edge edge = leaf::decode_edge(value);
    if (edge.backfill > 0)
      send_letter(root, wire::BackfillAsk{redirect.entity, entities_.name_of(follower, reader), edge.since, edge.backfill}, position, now, effects);
  }
  if (leaf->welcomed) follows_settled(leaf->no, wire::FollowState::active, effects);
}

// Whoever follows `old` follows `leaf`. An edge that is there already stays as it is.
void Bucket::merge(leaf::Leaf& old, leaf::Leaf& leaf, std::vector<std::pair<EntityNo, std::string>>& edges,
                   const store::Reader& reader, Effects& effects) {
  std::vector<EntityNo> fresh;
  std::vector<std::pair<EntityNo, std::string>> moved_edges;
  for (auto& [follower, edge] : edges) {
    effects.writes.erase(KeyBuilder(id_, Table::edge).add(follower).add(old.no));
    drop_home(follower);
    const std::string key = KeyBuilder(id_, Table::edge).add(follower).add(leaf.no);
    if (reader.get(key)) continue;
    // It was pending until now: what the leaf had meanwhile stands below what this follower may have read.
    const uint32_t backfill = leaf::decode_edge(edge).backfill;
    position_ = Position(position_.packed() + backfill);
    std::string begins = leaf::encode_edge({take_position(), backfill});
    effects.writes.put(key, begins);
    fresh.push_back(follower);
    moved_edges.emplace_back(follower, std::move(begins));
  }
  edges = std::move(moved_edges);
  leaf::Followers(id_, leaf.no, reader).insert_all(fresh, effects.writes);
  leaves_.followers_changed(leaf);
  leaf::Followers(id_, old.no, reader).clear(effects.writes);
  for (const leaf::ForwardEdge& forward : old.forwards) {
    const auto known = std::find_if(leaf.forwards.begin(), leaf.forwards.end(), [&](const auto& e) { return e.to == forward.to; });
    leaf::ForwardEdge& edge = known == leaf.forwards.end() ? leaf.forwards.emplace_back(forward) : *known;
    if (edge.off && !forward.off) {  // on again, by the alias
      edge.off = false;
      edge.since = forward.since;
    }
    effects.writes.put(KeyBuilder(id_, Table::forward).add(leaf.no).add(forward.to), encode_forward(edge));
    effects.writes.put(KeyBuilder(id_, Table::forward_of).add(forward.to).add(leaf.no), "");
    if (edge.active) forwards_active(old.no, forward.to, effects);
    if (auto waiting = waiting_forwards_.extract(std::pair{old.no, forward.to}); !waiting.empty()) {
      auto& all = waiting_forwards_[{leaf.no, forward.to}];
      all.insert(all.end(), waiting.mapped().begin(), waiting.mapped().end());
    }
  }
  if (auto waiting = waiting_follows_.extract(old.no); !waiting.empty()) {
    auto& all = waiting_follows_[leaf.no];
    all.insert(all.end(), waiting.mapped().begin(), waiting.mapped().end());
  }
  leaves_.retire(old.reflector, effects.writes);  // its root knows nothing of it: no leave is owed
  retired_leaves_ = true;
  work_at_ = Instant();
}

}  // namespace canopy::bucket
