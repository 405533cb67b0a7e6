// Of the model: retractions, deletions, forwards, aliases, retention, markers.
#include <algorithm>

#include "base/assert.h"
#include "sim/model.h"
#include "sim/trace.h"

namespace canopy::sim {

// ---- RETRACT

void Model::begin_retract(size_t publish, Instant now) {
  Publish& p = publishes_[publish];
  p.retract_sent = std::min(p.retract_sent, now);
  ++p.retracts_open;
}

void Model::end_retract(size_t publish, Ended ended, bool not_found, Instant sent, Instant now) {
  Publish& p = publishes_[publish];
  ASSERT(p.retracts_open > 0);
  --p.retracts_open;
  if (ended == Ended::unknown) p.retract_unknown = true;
  if (ended == Ended::done) {
    if (gone_at(p) < sent) throw Violation("what is retracted is not found", p.body + " was retracted twice");
    if (p.retracted_at == Instant::never()) p.retracted_at = now, p.retracted_round = round_;
  }
  // Nobody else asked for it: then it was there.
  const bool first = sent == p.retract_sent && p.retracted_at == Instant::never();
  const Retention kept_sent = kept(p.author, wire::Timeline::sent).least;
  if (not_found && first && p.retracts_open == 0 && !p.retract_unknown && p.acked_at < sent && deleted(p) == Sure::no &&
      kept_sent == Retention())
    throw Violation("nothing acknowledged is lost", "RETRACT of " + p.body + " says that it is not there");
}

Sure Model::gone(const Publish& p) const {
  if (p.retracted_at != Instant::never()) return Sure::yes;
  const Sure with_author = deleted(p);
  return with_author == Sure::no && (p.retract_unknown || p.retracts_open > 0) ? Sure::maybe : with_author;
}

bool Model::may_be_gone(MessageId id) const {
  for (const Publish& p : publishes_)
    if (p.id == id) return gone(p) != Sure::no;
  return true;  // nobody was told of it: it went with its author
}

Sure Model::deleted(const Publish& p) const {
  Sure sure = Sure::no;
  const bool in_sent = kept(p.author, wire::Timeline::sent).least == Retention();
  for (const Deletion& d : deletions(p.author)) {
    if (d.done && p.acked_at < d.sent && !p.unknown && in_sent) return Sure::yes;
    if (p.first_sent < d.ended) sure = Sure::maybe;
  }
  return sure;
}

Instant Model::gone_at(const Publish& p) const {
  Instant at = p.retracted_at;
  if (deleted(p) != Sure::yes) return at;
  for (const Deletion& d : deletions(p.author))
    if (d.done && p.acked_at < d.sent) at = std::min(at, d.ended);
  return at;
}

bool Model::gone_long(const Publish& p) const {
  if (p.retracted_at != Instant::never() && p.retracted_round < round_) return true;
  if (deleted(p) != Sure::yes) return false;
  const auto& all = deletions(p.author);
  return std::any_of(all.begin(), all.end(), [&](const Deletion& d) { return d.done && p.acked_at < d.sent && d.round < round_; });
}

// ---- DELETE

const std::vector<Deletion>& Model::deletions(Entity entity) const {
  static const std::vector<Deletion> none;
  const auto at = deletions_.find(entity);
  return at == deletions_.end() ? none : at->second;
}

// Who has an alias stays: what is on its way by it would be the alias' own after the end.
bool Model::may_delete(Entity entity) const {
  for (const AliasName& alias : aliases_)
    if (alias.wanted_by(entity)) return false;
  const auto& all = deletions(entity);
  return all.size() < 3 && (all.empty() || all.back().round < round_);
}

void Model::begin_delete(Entity entity, Instant now) {
  Deletion d;
  d.sent = now;
  d.round = round_;
  deletions_[entity].push_back(d);
}

void Model::end_delete(Entity entity, Ended ended, Instant sent, Instant now) {
  auto& all = deletions_[entity];
  const auto at = std::find_if(all.begin(), all.end(), [&](const Deletion& d) { return d.sent == sent; });
  ASSERT(at != all.end());
  if (ended == Ended::untouched) {
    all.erase(at);
    return;
  }
  at->done = ended == Ended::done;
  if (at->done) at->ended = now;
  delete_pairs(pairs_, entity, ended, false, now);
  delete_pairs(forwards_, entity, ended, true, now);
  for (auto& [list, kept] : kept_)
    if (list.first == entity) kept.sure = false;
  for (auto& [key, marker] : markers_)
    if (std::get<0>(key) == entity) marker.sure = false;
}

// What the entity itself holds ends with it; what others hold when they hear of it.
void Model::delete_pairs(std::map<std::pair<Entity, Entity>, Pair>& pairs, Entity entity, Ended ended, bool second_ends_at_once,
                         Instant now) {
  for (auto& [who, p] : pairs) {
    if (who.first != entity && who.second != entity) continue;
    if (&pairs == &pairs_ && who.second == entity) moved_[who.first] = Instant::never();
    if (p.state == Pair::State::no && !p.busy && p.late_follow_until < now) continue;
    const bool at_once = (second_ends_at_once ? who.second : who.first) == entity;
    const bool certain = ended == Ended::done && !p.busy && p.late_follow_until < now;
    // A follow that was still pending may reach the author's bucket meanwhile: then it is for whoever has the name next.
    const bool was_active = p.active_at != Instant::never();
    p.active_at = Instant::never();
    p.backfill_sure = false;
    p.changed_at = now;
    p.state = certain && at_once ? Pair::State::no : Pair::State::maybe;
    p.ending = certain && !at_once && (was_active || &pairs != &pairs_);
  }
}

bool Model::doubtful_follower(Entity follower, Instant from, Instant to) const {
  const auto& all = deletions(follower);
  return std::any_of(all.begin(), all.end(), [&](const Deletion& d) { return d.sent <= to && d.ended >= from; });
}

bool Model::doubtful_author(Entity author, Instant from, Instant to) const {
  const auto& all = deletions(author);
  return std::any_of(all.begin(), all.end(), [&](const Deletion& d) { return d.sent <= to && d.settled >= from; });
}

Sure Model::listed(const Publish& p, Entity entity) const {
  Sure sure = Sure::yes;
  for (const Deletion& d : deletions(entity)) {
    if (d.done && p.last_round < d.round) return Sure::no;
    if (p.first_sent < d.settled) sure = Sure::maybe;
  }
  return sure;
}

// ---- FORWARD

void Model::begin_forward(Entity from, Entity to, bool off, bool by_alias) {
  Pair& p = forward(from, to);
  ASSERT(!p.busy);
  p.busy = true;
  p.last_round = round_;
  if (!off && p.first_round == 0) p.first_round = round_;
  if (!off && by_alias) p.late_follow_until = Instant::never();
}

void Model::end_forward(Entity from, Entity to, bool off, Ended ended, bool active, Instant sent, Instant now) {
  Pair& p = forward(from, to);
  p.busy = false;
  p.last_round = round_;
  if (ended == Ended::untouched) return;
  const bool doubt = ended == Ended::unknown || doubtful_follower(to, sent, now) || doubtful_author(from, sent, now);
  p.changed_at = now;
  if (off || doubt) p.active_at = Instant::never();
  if (doubt) p.ending = false;
  if (ended == Ended::unknown) (off ? p.late_unfollow_until : p.late_follow_until) = Instant::never();
  p.state = doubt ? Pair::State::maybe : off ? Pair::State::no : Pair::State::yes;
  if (p.state == Pair::State::yes && active) p.active_at = std::min(p.active_at, now);
}

bool Model::ever_forwarded(Entity from) const {
  return std::any_of(forwards_.begin(), forwards_.end(), [&](const auto& f) { return f.first.first == from && f.second.first_round > 0; });
}

// ---- ALIAS

void Model::end_alias(size_t alias, Entity entity, Ended ended, bool refused) {
  AliasName& a = aliases_[alias];
  if (ended == Ended::done && a.granted && a.entity != entity)
    throw Violation("an alias has one entity", a.name + " leads to " + name(a.entity) + " and " + name(entity));
  if (refused && a.granted && a.entity == entity)
    throw Violation("an alias stays what it is", a.name + " of " + name(entity) + " was refused");
  if (ended == Ended::done) a.granted = true, a.entity = entity;
}

// ---- RETAIN

Kept Model::kept(Entity entity, wire::Timeline list) const {
  if (const auto own = kept_.find({entity, list}); own != kept_.end()) return own->second;
  const auto all = retentions_.find(list);
  const Retention retention = all == retentions_.end() ? Retention() : all->second;
  return {retention, retention, deletions(entity).empty()};
}

namespace {

uint64_t tighter(uint64_t a, uint64_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

}  // namespace

void Model::begin_retain(const wire::Retain& request, Entity entity) {
  const std::pair<Entity, wire::Timeline> key{entity, request.timeline};
  Kept& k = kept_.emplace(key, kept(entity, request.timeline)).first->second;
  k.sure = false;
  retains_open_[key].begin();
  if (request.count) k.least.count = tighter(k.least.count, *request.count);
  if (request.age_s) k.least.age_s = tighter(k.least.age_s, *request.age_s);
}

void Model::end_retain(const wire::Retain& request, Entity entity, Ended ended, Retention told) {
  const std::pair<Entity, wire::Timeline> key{entity, request.timeline};
  Kept& k = kept_.at(key);
  const bool alone = retains_open_[key].end_alone();
  if (ended == Ended::unknown) k.doubt_round = round_;
  if (ended != Ended::done) return;
  if ((request.count && *request.count != told.count) || (request.age_s && *request.age_s != told.age_s))
    throw Violation("RETAIN says what holds now", name(entity));
  k.now = told;
  k.sure = alone && k.doubt_round < round_ && deletions(entity).empty();
  k.least = {tighter(k.least.count, told.count), tighter(k.least.age_s, told.age_s)};
}

// ---- MARK

void Model::end_mark(const MarkerKey& key, Ended ended, Position position) {
  Marker& m = markers_[key];
  const bool alone = marks_open_[key].end_alone();
  m.position = position;
  if (ended == Ended::unknown) m.doubt_round = round_;
  m.sure = ended == Ended::done && alone && m.doubt_round < round_ && deletions(std::get<0>(key)).empty();
}

}  // namespace canopy::sim
