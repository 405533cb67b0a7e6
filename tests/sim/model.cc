#include "sim/model.h"

#include <algorithm>

#include "base/assert.h"
#include "base/hash.h"
#include "sim/trace.h"

namespace canopy::sim {
namespace {
// After the deadline of a request nothing of it is carried out, but clocks count from arrival.
constexpr Duration late_max = Duration::of_s(20);
}  // namespace

bool Publish::names(wire::Timeline list, Entity entity) const {
  const std::vector<Named>& all = list == wire::Timeline::mentions ? mentions : topics;
  return std::any_of(all.begin(), all.end(), [&](const Named& n) { return n.entity == entity; });
}

bool Publish::direct_to(Entity entity) const {
  return std::any_of(to.begin(), to.end(), [&](const Named& n) { return n.entity == entity; });
}

Model::Model(uint32_t people, uint32_t topics, uint32_t aliases, uint32_t bucket_count) : people_(people) {
  for (uint32_t i = 0; i < people + topics; ++i) {
    names_.push_back((i >= people ? "#t" : i % 7 == 3 ? "#e" : "e") + std::to_string(i));
    numbers_[names_.back()] = i;
    buckets_.push_back(bucket_of(names_.back(), bucket_count));
  }
  for (uint32_t i = 0; i < aliases; ++i) aliases_.push_back({(i % 3 == 2 ? "#a" : "a") + std::to_string(i), 0, false, {}});
}

Entity Model::entity(std::string_view name) const {
  const auto at = numbers_.find(std::string(name));
  if (at == numbers_.end()) throw Violation("only what was asked for happens", "a name nobody uses: " + std::string(name));
  return at->second;
}

size_t Model::new_publish(Entity author, bool with_key) {
  const size_t number = publishes_.size();
  Publish p;
  p.number = number;
  p.author = author;
  p.body = "m" + std::to_string(number) + " of " + names_[author] + std::string(number % 50, '.');
  if (with_key) p.key = "k" + std::to_string(number);
  by_body_[p.body] = number;
  publishes_.push_back(std::move(p));
  return number;
}

void Model::begin_publish(size_t publish, Instant now) {
  Publish& p = publishes_[publish];
  if (p.last_round == 0) p.first_sent = now, p.first_round = round_;
  p.last_round = round_;
  ++p.open;
}

void Model::end_publish(size_t publish, Ended ended, MessageId id, Instant now) {
  Publish& p = publishes_[publish];
  ASSERT(p.open > 0);
  --p.open;
  if (ended == Ended::unknown) p.unknown = true;
  if (ended != Ended::done) return;
  if (id_sure(p) && p.id != id)
    throw Violation("the same key gives the same id", p.body + " got " + std::to_string(p.id.packed()) + " and " + std::to_string(id.packed()));
  p.id = id;
  p.acked_at = std::min(p.acked_at, now);
}

const Publish& Model::by_body(std::string_view body) const {
  const auto at = by_body_.find(std::string(body));
  if (at == by_body_.end()) throw Violation("only what was published is read", "body \"" + std::string(body) + "\"");
  return publishes_[at->second];
}

std::string Model::describe(const Publish& p) const {
  const auto seconds = [](Instant at) { return at == Instant::never() ? "never" : std::to_string(static_cast<double>(at.us) / 1e6); };
  std::string text = "m" + std::to_string(p.number) + " of " + names_[p.author] + " (id " + std::to_string(p.id.packed()) + ", sent " +
                     seconds(p.first_sent) + ", acknowledged " + seconds(p.acked_at);
  const auto all = [&](const char* what, const std::vector<Named>& names) {
    for (const Named& n : names) text += std::string(", ") + what + " " + n.name;
  };
  all("mentions", p.mentions), all("topic", p.topics), all("to", p.to);
  if (p.parent != nothing) text += ", replies to m" + std::to_string(p.parent);
  if (p.retract_sent != Instant::never()) text += ", retracted " + seconds(p.retract_sent) + " " + seconds(p.retracted_at);
  if (p.unknown) text += ", of unknown outcome";
  return text + ")";
}

const Pair& Model::pair(Entity follower, Entity author) const {
  static const Pair none;
  const auto at = pairs_.find({follower, author});
  return at == pairs_.end() ? none : at->second;
}

void Model::begin_follow(Entity follower, Entity author, Instant now, uint32_t backfill, bool by_alias) {
  Pair& p = pair(follower, author);
  ASSERT(!p.busy);
  if (p.state == Pair::State::no) {
    p.since_round = round_;
    p.fresh_since = followed_from_bucket(follower, author, now) ? Instant() : now;
    p.backfill = backfill;
    p.backfill_asked = now;
    p.backfill_sure = backfill > 0;
  } else {
    p.backfill_sure &= p.state == Pair::State::yes;
    p.backfill = std::max(p.backfill, backfill);
  }
  // Under the alias' name the follow cannot be ended by the first one until it was led there.
  if (by_alias) p.late_follow_until = Instant::never();
  if (backfill > 0 || by_alias) moved_[follower] = Instant::never();
  p.busy = true;
}

// Returns whether somebody in the follower's bucket follows the author, or may do so soon.
bool Model::followed_from_bucket(Entity follower, Entity author, Instant now) const {
  for (Entity other = 0; other < entities(); ++other) {
    if (buckets_[other] != buckets_[follower]) continue;
    const Pair& p = pair(other, author);
    if (p.state != Pair::State::no || p.busy || p.late_follow_until > now) return true;
  }
  for (const auto& [way, p] : forwards_)  // a leaf like any other
    if (way.first == author && buckets_[way.second] == buckets_[follower] && p.first_round > 0) return true;
  return false;
}

void Model::end_follow(Entity follower, Entity author, Ended ended, bool active, Instant sent, Instant now) {
  Pair& p = pair(follower, author);
  p.busy = false;
  if (ended == Ended::untouched) return;
  if (ended == Ended::done && (doubtful_follower(follower, sent, now) || doubtful_author(author, sent, now))) {
    p.active_at = Instant::never();
    p.backfill_sure = p.ending = false;
    if (p.state != Pair::State::maybe) p.state = Pair::State::maybe, p.changed_at = now;
    return;
  }
  if (ended == Ended::unknown) {
    p.late_follow_until = std::max(p.late_follow_until, sent + late_max);
    p.backfill_sure = p.ending = false;
    if (p.state == Pair::State::no) p.state = Pair::State::maybe, p.changed_at = now;
    return;
  }
  if (p.state != Pair::State::yes) p.state = Pair::State::yes, p.changed_at = now;
  if (active) p.active_at = std::min(p.active_at, now);
}

void Model::begin_unfollow(Entity follower, Entity author) {
  Pair& p = pair(follower, author);
  ASSERT(!p.busy);
  p.busy = true;
}

void Model::end_unfollow(Entity follower, Entity author, Ended ended, const bool* removed, Instant sent, Instant now) {
  Pair& p = pair(follower, author);
  p.busy = false;
  if (ended == Ended::untouched) return;
  moved_[follower] = std::max(moved_[follower], now);
  p.active_at = Instant::never();
  if (ended == Ended::unknown) {
    moved_[follower] = Instant::never();
    p.late_unfollow_until = sent + late_max;
    if (p.state == Pair::State::yes) p.state = Pair::State::maybe, p.changed_at = now;
    return;
  }
  const bool doubt = doubtful_follower(follower, sent, now) || doubtful_author(author, sent, now);
  if (removed && !doubt && p.state != Pair::State::maybe && *removed != (p.state == Pair::State::yes))
    throw Violation("UNFOLLOW says whether there was something to remove", names_[follower] + " of " + names_[author]);
  p.state = Pair::State::no;
  p.changed_at = now;
}

Instant Model::moved_at(Entity entity) const {
  for (auto it = pairs_.lower_bound({entity, 0}); it != pairs_.end() && it->first.first == entity; ++it)
    if (it->second.busy) return Instant::never();
  const auto at = moved_.find(entity);
  return at == moved_.end() ? Instant() : at->second;
}

void Model::drained(Instant now) {
  for (auto* pairs : {&pairs_, &forwards_})
    for (auto& [who, p] : *pairs) {
      p.late_follow_until = p.late_unfollow_until = {};
      if (p.ending && p.state == Pair::State::maybe) p.state = Pair::State::no, p.changed_at = now;
      p.ending = false;
      if (p.state == Pair::State::yes) p.active_at = std::min(p.active_at, now);
      if (p.state != Pair::State::no) p.last_round = round_ + 1;
    }
  for (auto& [entity, deletions] : deletions_)
    for (Deletion& d : deletions) {
      d.ended = std::min(d.ended, now);
      d.settled = std::min(d.settled, now);
    }
  for (auto& [entity, at] : moved_) at = std::min(at, now);
  for (const Publish& p : publishes_) ASSERT(p.open == 0 && p.retracts_open == 0);
  ++round_;
}

}  // namespace canopy::sim
