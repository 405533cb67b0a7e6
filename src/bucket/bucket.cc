#include "bucket/bucket.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "leaf/followers.h"
#include "store/keys.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr size_t erase_slice = 1'000;            // deliveries erased in one step
constexpr Duration erase_wait = Duration::of_ms(20);  // between slices, so that batches go on
constexpr Duration others_wait = Duration::of_ms(500);
constexpr size_t lists_per_slice = 50;           // looked at

}  // namespace

Bucket::Bucket(BucketId id, MapRef map, NodeIndex self, BucketOptions options, const store::Reader& reader, Now now)
    : id_(id), options_(options), entities_(id), channels_(id), roots_(id), leaves_(id), timelines_(id), keys_(id),
      lists_(id), dead_(id), lazy_(id) {
  leaves_.begin_with(options_.modes.forced.value_or(leaf::Mode::append), options_.modes.look_every, lazy_);
  on_map(std::move(map), self);
  reopen(reader, now);
  sweep_at_ = now.instant + Duration{options_.active_window.us / 4};
}

void Bucket::on_map(MapRef map, NodeIndex self) {
  map_ = std::move(map);
  self_ = self;
  const auto& settings = map_->settings;
  // The lambda keeps the map alive for as long as the roots may ask it.
  roots_.on_map({[m = map_](BucketId b) { return m->owner(b); }, self, settings.fanout, settings.stream_retention,
                 map_->row(id_).incarnation});
  limit_homes(options_.home_bytes_max);
  lists_.on_settings({{ListKind::sent, settings.sent},
                      {ListKind::mentions, settings.mentions},
                      {ListKind::replies, settings.replies},
                      {ListKind::topic, settings.topic},
                      {ListKind::direct, {settings.capacity, 0}}});
}

void Bucket::limit_homes(size_t bytes_max) {
  options_.home_bytes_max = bytes_max;
  timelines_.limit(map_->settings.capacity, bytes_max - bytes_max / 8, options_.active_window);
  leaves_.limit_followers(bytes_max / 8);
}

void Bucket::reopen(const store::Reader& reader, Now now) {
  position_ = std::max(reader.position(id_), Position(map_->row(id_).incarnation, 0));
  const auto record = reader.get(KeyBuilder(id_, Table::bucket));
  record_ = record ? decode_bucket_record(*record) : BucketRecord();
  saved_record_ = record_;
  channels_.open(reader, now);
  roots_.open(reader, [&](EntityNo no) { return entities_.name_of(no, reader); }, now);
  leaves_.reset();
  lazy_.open(reader);
  modes_at_ = options_.modes.forced ? now.instant : Instant::never();
  modes_walked_ = LeafNo();
  timelines_.drop_all();
  trim_.stop();
  keys_.open(reader);
  lists_.open(reader);
  dead_.open(reader);
  passed_.clear();
  dead_now_.clear();
  aliases_.clear();
  const std::string aliases = KeyBuilder(id_, Table::alias);
  reader.scan(aliases, store::after_prefix(aliases), [&](std::string_view key, std::string_view entity) {
    aliases_.emplace(key.substr(aliases.size()), entity);
    return true;
  });
  endings_.clear();
  const std::string endings = KeyBuilder(id_, Table::ending);
  reader.scan(endings, store::after_prefix(endings), [&](std::string_view key, std::string_view) {
    endings_.emplace(Cursor(key.substr(endings.size())).be32(), Ending());  // also by the rows of leaves that wait
    return true;
  });
  markers_ = false;
  const std::string markers = KeyBuilder(id_, Table::marker);
  reader.scan(markers, store::after_prefix(markers), [&](std::string_view, std::string_view) {
    markers_ = true;
    return false;
  });
  const std::string retired = KeyBuilder(id_, Table::retired);
  retired_leaves_ = false;
  reader.scan(retired, store::after_prefix(retired), [&](std::string_view, std::string_view) {
    retired_leaves_ = true;
    return false;
  });
  work_at_ = work_left() ? now.instant : Instant::never();

  due_opens_.clear();
  home_tails_.clear();
  for (const auto& [key, tailed] : tails_) {
    if (key.first != wire::Timeline::home) continue;
    if (const auto entity = entities_.find(key.second, reader)) entity_created(*entity, key.second);
  }
  wanted_modes_.clear();
  if (!parked_.empty()) wait_again(now, reader);
}

size_t Bucket::parts(const Event& event) {
  const auto* ask = std::get_if<Ask>(&event);
  return ask ? parts(ask->request) : 1;
}

size_t Bucket::parts(const wire::Request& request) {
  if (const auto* p = std::get_if<wire::Publish>(&request)) return p->messages.size();
  if (const auto* f = std::get_if<wire::Follow>(&request)) return f->pairs.size();
  if (const auto* u = std::get_if<wire::Unfollow>(&request)) return u->pairs.size();
  if (const auto* r = std::get_if<wire::Read>(&request)) return r->entities.size();
  return 1;
}

void Bucket::step(const Event& event, size_t part, Now now, const store::Reader& reader, Effects& effects) {
  const Position before = position_;
  lists_.begin_step();
  roots_.begin_step(position_);
  passed_.clear();
  dead_now_.clear();
  died_now_ = false;
  now_ = now;
  if (options_.modes.shuffle != 0) shuffle_modes();
  if (!wanted_modes_.empty()) take_wanted_modes(now, reader, effects);
  std::visit(
      [&](const auto& e) {
        using E = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<E, Ask>) on(e, part, now, reader, effects);
        else if constexpr (std::is_same_v<E, Forget>) on(e);
        else if constexpr (std::is_same_v<E, Pushed> || std::is_same_v<E, Audience>) on(e, now, reader);
        else if constexpr (std::is_same_v<E, NodeUp>) on(e, now);
        else on(e, now, reader, effects);
      },
      event);
  if (untailed_) walk_modes_later(now);
  // The counter of deliveries is about right, so it is written with other changes and now and then.
  BucketRecord saved = saved_record_;
  saved.deliveries = record_.deliveries;
  const uint64_t drift = record_.deliveries > saved_record_.deliveries ? record_.deliveries - saved_record_.deliveries
                                                                       : saved_record_.deliveries - record_.deliveries;
  if (record_ != saved || drift >= deliveries_per_save) {
    effects.writes.put(KeyBuilder(id_, Table::bucket), encode_bucket_record(record_));
    saved_record_ = record_;
  }
  if (!effects.writes.empty() && position_ == before) take_position();
  effects.upto = position_;
}

// ---- Requests

// A request that names an alias is not for this bucket: the front asks again. What clients ask of an entity
// that is being deleted is refused; reading it finds nothing.
void Bucket::on(const Ask& ask, size_t part, Now now, const store::Reader& reader, Effects& effects) {
  const auto answer = [&](wire::Reply reply) { effects.held.push_back(Answer{ask.ask, std::move(reply)}); };
  if (part == 0) {
    if (auto again = moved(ask.request)) {
      ++counters_.moved;
      return answer(wire::Moved{std::move(*again)});
    }
    if (!missing_ && wait_for_leaves(ask, now, reader, effects)) return;
  } else if (!asks_.contains(ask.ask)) {
    return;  // a part of one that was moved, waits, or was answered for want of time
  }
  const auto on_entity = [&](const std::string& name, const auto& reply) {
    if (auto busy = busy_if_ending(name, reader)) answer(std::move(*busy));
    else reply();
  };
  std::visit(
      [&](const auto& r) {
        using R = std::decay_t<decltype(r)>;
        if constexpr (std::is_same_v<R, wire::Publish>) publish(ask, r, part, now, reader, effects);
        else if constexpr (std::is_same_v<R, wire::Follow>) follow(ask, r, part, now, reader, effects);
        else if constexpr (std::is_same_v<R, wire::Unfollow>) unfollow(ask, r, part, now, reader, effects);
        else if constexpr (std::is_same_v<R, wire::Read>) read(ask, r, part, now, reader, effects);
        else if constexpr (std::is_same_v<R, wire::Get>) answer(get(r.id, now, reader));
        else if constexpr (std::is_same_v<R, wire::Thread>) answer(thread(r, now, reader));
        else if constexpr (std::is_same_v<R, wire::Retract>) on_entity(r.author, [&] { answer(retract(r, now, reader, effects)); });
        else if constexpr (std::is_same_v<R, wire::Mark>) on_entity(r.entity, [&] { answer(mark(r, now, reader, effects)); });
        else if constexpr (std::is_same_v<R, wire::Retain>) on_entity(r.entity, [&] { answer(retain(r, reader, effects)); });
        else if constexpr (std::is_same_v<R, wire::Alias>) on_entity(r.entity, [&] { alias(ask, r, now, reader, effects); });
        else if constexpr (std::is_same_v<R, wire::Forwarding>) on_entity(r.to, [&] { forward(ask, r, now, reader, effects); });
        else if constexpr (std::is_same_v<R, wire::Delete>) answer(remove(r, now, reader, effects));
        else if constexpr (std::is_same_v<R, wire::Following>) answer(following(r, reader));
        else if constexpr (std::is_same_v<R, wire::Lookup>) answer(wire::LookupResult{r.entity, id_, {}, {}, {}, {}});
        else if constexpr (std::is_same_v<R, wire::Leaves>) answer(leaves(r, reader));
        else if constexpr (std::is_same_v<R, wire::Leaf>) answer(leaf(r, reader));
        else answer(Error{Code::internal, "this request is not for a bucket", 0});
      },
      ask.request);
}

void Bucket::send_all(std::vector<wire::Packet> packets, Effects& effects) {
  for (auto& packet : packets) effects.held.push_back(Depart{std::move(packet)});
}

// ---- Packets from other buckets

void Bucket::on(const Arrive& arrive, Now now, const store::Reader& reader, Effects& effects) {
  std::visit(
      [&](const auto& packet) {
        using P = std::decay_t<decltype(packet)>;
        if constexpr (std::is_same_v<P, wire::ChannelLetter>) on_letter(packet, now, reader, effects);
        else if constexpr (std::is_same_v<P, wire::Have>) on_packet(packet, now, reader);
        else if constexpr (std::is_same_v<P, wire::Fetch> || std::is_same_v<P, wire::Check>) on_packet(packet, reader, effects);
        else on_packet(packet, now, reader, effects);
      },
      arrive.packet);
}

void Bucket::on_letter(const wire::ChannelLetter& letter, Now now, const store::Reader& reader, Effects& effects) {
  const Judgement judgement = channels_.judge(letter, reader);
  LetterNo have = channels_.mark(letter.from, reader);
  if (judgement == Judgement::next) {
    ++counters_.letters;
    const Position position = take_position();
    if (planted("mark not in the same commit")) {
      due_marks_.push_back(letter);
      marks_at_ = now.instant + Duration::of_ms(1);
    } else channels_.advance(letter, effects.writes);
    have = letter.number;
    std::visit(
        [&](const auto& body) {
          using B = std::decay_t<decltype(body)>;
          if constexpr (std::is_same_v<B, wire::LeafJoin>) on_letter_body(body, letter.from, position, now, reader, effects);
          else if constexpr (std::is_same_v<B, wire::LeafMode>) on_letter_body(body, letter.from, now, reader, effects);
          else if constexpr (std::is_same_v<B, wire::LeafLeave>) on_letter_body(body, letter.from, reader, effects);
          else if constexpr (std::is_same_v<B, wire::Welcome>) on_letter_body(body, letter.from, now, reader, effects);
          else if constexpr (std::is_same_v<B, wire::Backfill> || std::is_same_v<B, wire::Shared>) on_letter_body(body, reader, effects);
          else if constexpr (std::is_same_v<B, wire::AliasDrop>) on_letter_body(body, effects);
          else on_letter_body(body, position, now, reader, effects);
        },
        letter.letter);
  } else {
    ++(judgement == Judgement::repeat ? counters_.letter_repeats : counters_.letter_gaps);
  }
  effects.held.push_back(Depart{wire::ChannelAck{letter.from, id_, have}});
}

void Bucket::on_letter_body(const wire::LeafJoin& join, BucketId from, Position position, Now now,
                            const store::Reader& reader, Effects& effects) {
  if (const std::string* entity = alias_target(join.reflector))
    return send_letter(from, wire::Redirect{join.reflector, join.generation, *entity}, position, now, effects);
  const EntityNo entity = entities_.obtain(join.reflector, record_, reader, effects.writes);
  if (ending(entity)) {  // it follows whoever has the name afterwards, and is welcomed then
    std::string generation;
    put_be64(generation, join.generation.packed());
    effects.writes.put(KeyBuilder(id_, Table::ending).add(entity).add(from), generation);
    return;
  }
  welcome(entity, join, from, position, now, reader, effects);
  entity_created(entity, join.reflector);
}

void Bucket::on_letter_body(const wire::LeafLeave& leave, BucketId from, const store::Reader& reader, Effects& effects) {
  const auto entity = entities_.find(leave.reflector, reader);
  if (!entity) return;
  if (ending(*entity)) {
    work_at_ = Instant();
    const std::string waiting = KeyBuilder(id_, Table::ending).add(*entity).add(from);
    if (reader.get(waiting)) return effects.writes.erase(waiting);
  }
  roots_.on_leave(*entity, leave.reflector, from, reader, effects.writes);
}

// Welcomes a leaf.
void Bucket::welcome(EntityNo entity, const wire::LeafJoin& join, BucketId from, Position position, Now now,
                     const store::Reader& reader, Effects& effects) {
  send_letter(from, roots_.on_join(entity, join.reflector, from, join, newest_message(entity, reader), reader, effects.writes),
              position, now, effects);
}

void Bucket::on_letter_body(const wire::Welcome& welcome, BucketId from, Now now, const store::Reader& reader,
                            Effects& effects) {
  leaf::Leaf* const leaf = leaves_.find(welcome.reflector, reader);
  if (!leaf || !leaves_.on_welcome(*leaf, welcome, effects.writes)) return;
  follows_settled(leaf->no, wire::FollowState::active, effects);
  if (options_.modes.forced == leaf::Mode::lazy) set_mode(*leaf, leaf::Mode::lazy, now, reader, effects);
  if (!apply_to(*leaf, now, reader, effects, [&](leaf::Applying& applying) { leaves_.drain_parked(*leaf, applying); })) return;
  std::vector<wire::Packet> packets;
  leaves_.fetch_missing(*leaf, from, now, false, packets);
  send_all(std::move(packets), effects);
}

void Bucket::on_packet(const wire::ChannelAck& ack, Now now, const store::Reader& reader, Effects& effects) {
  std::vector<wire::Packet> packets;
  channels_.on_ack(ack, now, reader, effects.writes, packets);
  send_all(std::move(packets), effects);
}

void Bucket::on_packet(const wire::Tail& tail, Now now, const store::Reader& reader, Effects& effects) {
  ++counters_.tails;
  leaf::Leaf* const leaf = leaves_.find(tail.reflector, reader);
  if (!leaf) {
    // Nobody here follows it: nothing is owed (the leave is on its way).
    effects.held.push_back(Depart{wire::Have{id_, tail.from, tail.reflector, tail.last}});
    return;
  }
  leaf->known = std::max(leaf->known, tail.last);
  if (!leaf->welcomed) return;
  if (leaf->applied >= tail.last) {
    effects.held.push_back(Depart{wire::Have{id_, tail.from, tail.reflector, leaf->applied}});
    return;
  }
  std::vector<wire::Packet> packets;
  leaves_.fetch_missing(*leaf, tail.from, now, false, packets);
  counters_.fetches += packets.size();
  send_all(std::move(packets), effects);
}

void Bucket::on_packet(const wire::Have& have, Now now, const store::Reader& reader) {
  if (const auto entity = entities_.find(have.reflector, reader))
    roots_.on_have(*entity, have.reflector, have, now, reader);
}

void Bucket::on_packet(const wire::Fetch& fetch, const store::Reader& reader, Effects& effects) {
  const auto entity = entities_.find(fetch.reflector, reader);
  if (!entity || fetch.first > fetch.last) return;
  effects.held.push_back(Depart{roots_.on_fetch(*entity, fetch.reflector, fetch, reader)});
}

void Bucket::on_packet(const wire::Fetched& fetched, Now now, const store::Reader& reader, Effects& effects) {
  leaf::Leaf* const leaf = leaves_.find(fetched.reflector, reader);
  if (!leaf || !leaf->welcomed || leaf->generation != fetched.generation) return;
  ++counters_.fetched;
  leaf->known = std::max(leaf->known, fetched.newest);
  const StreamNo before = leaf->applied;
  if (fetched.gone_below > leaf->applied.next()) {
    std::vector<wire::Packet> packets;
    const bool asks = leaves_.audit(*leaf, fetched.gone_below, reader, packets);
    send_all(std::move(packets), effects);
    if (asks) return;  // the fetch stays open, and is repeated until the answers have come
    leaves_.skip_to(*leaf, fetched.gone_below, effects.writes);
  }
  const bool there = apply_to(*leaf, now, reader, effects, [&](leaf::Applying& applying) {
    // A message may be parked here whose retraction was fetched: a step does not see the delivery that it would erase.
    for (const auto& item : fetched.items)
      if (item.kind == wire::StreamItem::Kind::retraction) applying.doomed.insert(item.ref.id);
    for (const auto& item : fetched.items)
      if (item.no == leaf->applied.next() && !applying.ended) leaves_.on_item(*leaf, item, applying);
    leaves_.drain_parked(*leaf, applying);
  });
  if (!there) return;

  const bool waited = leaf->wanted && lazy_.lazy(leaf->no);
  freshened(*leaf, fetched, reader, effects);
  const bool open = leaf->fetch_again != Instant::never();
  // What brings nothing new (a repeat) is not the answer that the open fetch waits for: to ask again
  // for each such one would keep several windows on their way.
  if (open && leaf->applied == before && leaf->applied < leaf->known) return;
  if (open && leaf->wanted && fetched.round < leaf->fetch_round) return;
  // Who has just looked whether there is something owes no answer.
  if (waited && !leaf->wanted && leaf->applied >= leaf->known) leaves_.fetch_done(*leaf);
  else go_on(*leaf, fetched.from, now, effects);
  fetch_awaited(now, reader, effects);
}

// A fetch is answered: the next one, or the root hears that nothing is missing.
void Bucket::go_on(leaf::Leaf& leaf, BucketId root, Now now, Effects& effects) {
  std::vector<wire::Packet> packets;
  leaves_.fetch_done(leaf);
  if (leaf.applied >= leaf.known && !leaf.wanted) packets.push_back(wire::Have{id_, root, leaf.reflector, leaf.applied});
  else leaves_.fetch_missing(leaf, root, now, false, packets);
  send_all(std::move(packets), effects);
}

// Dead is what was retracted. Where messages fall out of `sent`, only what is remembered as retracted counts.
void Bucket::on_packet(const wire::Check& check, const store::Reader& reader, Effects& effects) {
  wire::Checked checked{id_, check.from, check.reflector, check.generation, check.until, {}, {}};
  for (const MessageId id : check.ids) {
    const bool dead = dead_.has(id, reader) || (!lists_.bounded(ListKind::sent) && !own_message(id, reader));
    (dead ? checked.dead : checked.live).push_back(id);
  }
  effects.held.push_back(Depart{std::move(checked)});
}

void Bucket::on_packet(const wire::Checked& checked, Now now, const store::Reader& reader, Effects& effects) {
  leaf::Leaf* const leaf = leaves_.find(checked.reflector, reader);
  if (!leaf || leaf->generation != checked.generation || !leaf->audit || leaf->audit->until != checked.until) return;
  auto& asked = leaf->audit->asked;
  std::vector<leaf::Retracted> dead;
  for (const MessageId id : checked.live)
    if (id.bucket() == checked.from) asked.erase(id);
  for (const MessageId id : checked.dead) {
    const auto at = asked.find(id);
    if (at == asked.end() || id.bucket() != checked.from) continue;
    const auto row = reader.delivery(id_, at->second);
    dead.push_back({id, row && row->leaf == leaf->no && !row->dead ? row->no : StreamNo(), 0});
    asked.erase(at);
  }
  counters_.checked_dead += dead.size();
  retracted(*leaf, dead, reader, effects);
  if (!asked.empty()) return;
  std::vector<wire::Packet> packets;
  const bool asks = leaves_.audit(*leaf, leaf->audit->until, reader, packets);
  send_all(std::move(packets), effects);
  if (asks) return;
  // A home that somebody tails was dropped: it is opened before anything arrives. The fetch, repeated, goes on from here.
  if (!due_opens_.empty()) return;
  leaves_.skip_to(*leaf, leaf->audit->until, effects.writes);
  if (!apply_to(*leaf, now, reader, effects, [&](leaf::Applying& applying) { leaves_.drain_parked(*leaf, applying); })) return;
  go_on(*leaf, map_->bucket_of(leaf->reflector), now, effects);
}

// ---- Streams

void Bucket::on(const StreamIn& in, Now now, const store::Reader& reader, Effects& effects) {
  leaf::Leaf* const leaf = leaves_.find(in.reflector, reader);
  if (!leaf) return;  // a leaf without followers acknowledges and drops
  leaf::Taken taken = leaf::Taken::refused;
  const bool there = apply_to(*leaf, now, reader, effects, [&](leaf::Applying& applying) { taken = leaves_.on_item(*leaf, in.item, applying); });
  // What is parked is not durable: the root is told that it still owes it, and its tail makes sure.
  effects.taken = taken == leaf::Taken::applied || taken == leaf::Taken::repeat;
  counters_.repeats += taken == leaf::Taken::repeat;
  counters_.parks += taken == leaf::Taken::parked;
  counters_.refused += taken == leaf::Taken::refused;
  if (there && (taken == leaf::Taken::parked || taken == leaf::Taken::refused)) {
    std::vector<wire::Packet> packets;
    leaves_.fetch_missing(*leaf, in.root, now, false, packets);
    counters_.fetches += packets.size();
    send_all(std::move(packets), effects);
  }
}

void Bucket::on(const Pushed& pushed, Now now, const store::Reader& reader) {
  if (const auto entity = entities_.find(pushed.reflector, reader))
    roots_.on_pushed(*entity, pushed.reflector, pushed.no, pushed.not_taken, now, reader);
}

// Lets `work` apply items to a leaf, and carries out what follows from them. Returns whether the leaf is still there.
bool Bucket::apply_to(leaf::Leaf& leaf, Now now, const store::Reader& reader, Effects& effects,
                      const std::function<void(leaf::Applying&)>& work) {
  const std::function<Position()> take = [this] { return take_position(); };
  const std::function<bool(MessageId)> dead = [&](MessageId id) {
    const bool known = dead_.has(id, reader);
    counters_.dropped_dead += known;
    return known;
  };
  leaf::Applying applying{take, dead, reader, effects.writes, {}, {}, {}, false};
  work(applying);
  delivered(leaf, applying.deliveries, reader, effects);
  forwarded(leaf, applying.deliveries, reader, effects);
  retracted(leaf, applying.retractions, reader, effects);
  if (applying.ended) leaf_ended(leaf, now, effects);
  return !applying.ended;
}

// What others forward goes on into their streams.
void Bucket::forwarded(const leaf::Leaf& leaf, const std::vector<leaf::Delivery>& deliveries, const store::Reader& reader,
                       Effects& effects) {
  for (const leaf::ForwardEdge& forward : leaf.forwards) {
    if (forward.off || ending(forward.to)) continue;
    const std::string name = deliveries.empty() ? "" : entities_.name_of(forward.to, reader);
    for (const leaf::Delivery& delivery : deliveries) {
      if (!delivery.shared || delivery.position <= forward.since) continue;
      if (delivery.hops >= map_->settings.max_hops && !planted("forward without hop or repeat check")) {
        ++counters_.hops_ended;
        continue;
      }
      ++counters_.forwarded;
      into_stream(forward.to, name, delivery.ref, delivery.message, static_cast<uint8_t>(delivery.hops + 1), reader, effects);
    }
  }
}

// ---- Time

void Bucket::on(const NodeUp& up, Now now) {
  const auto there = [&](BucketId b) { return map_->owner(b) == up.node; };
  channels_.on_node_up(there, now);
  roots_.on_node_up(up.node, now);
  std::erase_if(silent_, [&](const auto& e) { return there(e.first); });
}

Instant Bucket::next_deadline() const {
  if (due_at_once()) return Instant();
  Instant next = std::min({channels_.next_deadline(), roots_.next_deadline(), leaves_.next_fetch(), work_at_, sweep_at_, marks_at_, fetch_at_, modes_at_});
  if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
  if (!beats_.empty()) next = std::min(next, beats_.begin()->first);
  if (!parked_until_.empty()) next = std::min(next, parked_until_.begin()->first);
  return next;
}

void Bucket::on(const Tick&, Now now, const store::Reader& reader, Effects& effects) {
  if (marks_at_ <= now.instant) {
    for (const auto& letter : std::exchange(due_marks_, {})) channels_.advance(letter, effects.writes);
    marks_at_ = Instant::never();
  }
  if (due_opens_.empty() && (working_ || !ready_.empty())) return work_ready(now, reader, effects);
  for (const EntityNo entity : std::exchange(due_opens_, {})) {
    if (!tailed_home(entity)) continue;
    home(entity, now, reader);
    if (!lazy_.empty()) rouse(entity, now, reader, effects);
  }
  if (modes_at_ <= now.instant) walk_modes(now, reader, effects);
  for (const uint64_t ask : std::exchange(due_reads_, {})) {
    const auto it = asks_.find(ask);
    if (it == asks_.end()) continue;
    auto& pages = std::get<wire::ReadResult>(it->second.reply).pages;
    std::vector<std::string> incomplete = std::move(std::get<wire::TimelinePage>(pages[0]).incomplete);
    pages[0] = page(it->second.read, it->second.read.entities[0], limits::reply_bytes_max, now, reader);
    std::get<wire::TimelinePage>(pages[0]).incomplete = std::move(incomplete);
    if (!std::get<wire::TimelinePage>(pages[0]).entries.empty()) close_ask(ask, effects);
  }
  while (!deadlines_.empty() && deadlines_.begin()->first <= now.instant) close_ask(deadlines_.begin()->second, effects);
  while (!parked_until_.empty() && parked_until_.begin()->first <= now.instant) run_out_of_time(parked_until_.begin()->second, now);
  if (fetch_at_ <= now.instant) fetch_at_ = Instant::never();
  if (!to_fetch_.empty()) fetch_awaited(now, reader, effects);

  std::vector<wire::Packet> packets;
  channels_.on_time(now, reader, packets);
  roots_.on_time(now, packets, effects.writes);
  leaves_.repeat_fetches(now, [this](std::string_view name) { return map_->bucket_of(name); }, packets);
  send_all(std::move(packets), effects);
  beats(now, reader, effects);
  if (work_at_ <= now.instant) {
    const size_t before = effects.writes.size();
    work(now, reader, effects);
    const bool waits = effects.writes.size() == before && !trim_.active();  // a deletion, for other buckets
    work_at_ = work_left() ? now.instant + (waits ? others_wait : erase_wait) : Instant::never();
  }
  if (sweep_at_ <= now.instant) {
    timelines_.drop_unused(now, [this](EntityNo entity) { return tailed_home(entity); });
    leaves_.settle(timelines_.all_brought_up());
    sweep_at_ = now.instant + Duration{options_.active_window.us / 4};
  }
}

// One slice of what is done bit by bit: deletions, lists that have more than they should, deliveries of leaves
// that are gone, and the walk that brings the deliveries below the horizon. In turns, so that none waits for
// another that has no end; the first that finds something to do ends the slice: a step does not read its own writes.
void Bucket::work(Now now, const store::Reader& reader, Effects& effects) {
  const size_t before = effects.writes.size();
  for (int i = 0; i < 4 && effects.writes.size() == before; ++i) {
    switch (work_turn_++ % 4) {
      case 0:
        if (!endings_.empty()) delete_some(now, reader, effects);
        break;
      case 1:
        for (size_t lists = 0; lists < lists_per_slice && lists_.trim_due() && effects.writes.size() == before; ++lists)
          counters_.trimmed += lists_.trim(erase_slice, now, reader, effects.writes);
        break;
      case 2:
        if (retired_leaves_) {
          size_t erased = 0;
          retired_leaves_ = leaf::erase_retired(id_, reader, erase_slice, effects.writes, erased);
          record_.deliveries -= std::min<uint64_t>(record_.deliveries, erased);
        }
        break;
      case 3:
        if (trim_.active()) trim_deliveries(reader, effects);
        break;
    }
  }
}

// A slice of the walk over the rows below the horizon.
void Bucket::trim_deliveries(const store::Reader& reader, Effects& effects) {
  timelines_.drop_with_entries_below(record_.horizon);
  for (const auto& [entity, name] : home_tails_) due_opens_.push_back(entity);
  const auto slice = trim_.slice(id_, erase_slice, reader, effects.writes);
  record_.deliveries -= std::min<uint64_t>(record_.deliveries, slice.gone);
  counters_.rows_trimmed += slice.gone;
  // Timelines that show it there we do not look for.
  if (slice.elsewhere) timelines_.drop_all();
}

void Bucket::check(const store::Reader& reader) const {
  channels_.check();
  roots_.check();
  leaves_.check();
  timelines_.check(leaves_.deferred(), reader);
  ASSERT(position_ >= reader.position(id_));
  ASSERT(asks_.size() >= deadlines_.size());
  for (const auto& [leaf, waiting] : waiting_follows_) ASSERT(!waiting.empty());
  if (due_opens_.empty())  // a live feed tells what comes as it comes
    for (const auto& [entity, name] : home_tails_) ASSERT(timelines_.lacks_nothing(entity, leaves_.deferred()));
  check_lazy();
}

void Bucket::Counters::add(const Counters& o) {
  publishes += o.publishes, follows += o.follows, unfollows += o.unfollows, reads += o.reads;
  deliveries += o.deliveries, repeats += o.repeats, parks += o.parks, refused += o.refused;
  fetches += o.fetches, fetched += o.fetched, tails += o.tails, letters += o.letters;
  letter_repeats += o.letter_repeats, letter_gaps += o.letter_gaps;
  clones += o.clones, clone_repeats += o.clone_repeats, clones_passed_on += o.clones_passed_on;
  replies_to_nothing += o.replies_to_nothing, dropped_dead += o.dropped_dead, dropped_ending += o.dropped_ending;
  retractions += o.retractions, retracted += o.retracted, forwarded += o.forwarded, stream_repeats += o.stream_repeats;
  hops_ended += o.hops_ended, other_ways += o.other_ways, backfilled += o.backfilled;
  backfill_repeats += o.backfill_repeats, backfills_cut += o.backfills_cut, redirects += o.redirects, moved += o.moved;
  deleted += o.deleted, trimmed += o.trimmed, checked_dead += o.checked_dead;
  deliveries_plain += o.deliveries_plain, timeline_writes += o.timeline_writes;
  rows_deferred += o.rows_deferred, merges += o.merges, rows_merged += o.rows_merged;
  merge_repeats += o.merge_repeats, merges_given_up += o.merges_given_up, mode_switches += o.mode_switches;
  retraction_looks += o.retraction_looks, retraction_lines += o.retraction_lines;
  rows_trimmed += o.rows_trimmed, rows_joined += o.rows_joined;
  waited += o.waited, waited_in_vain += o.waited_in_vain, fetches_waited_for += o.fetches_waited_for;
  to_lazy += o.to_lazy, to_pushed += o.to_pushed;
}

}  // namespace canopy::bucket
