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

Model::Model(uint32_t entities, uint32_t bucket_count) {
  for (uint32_t i = 0; i < entities; ++i) {
    names_.push_back((i % 7 == 3 ? "#e" : "e") + std::to_string(i));
    numbers_[names_.back()] = i;
    buckets_.push_back(bucket_of(names_.back(), bucket_count));
  }
}

Entity Model::entity(std::string_view name) const {
  const auto at = numbers_.find(std::string(name));
  if (at == numbers_.end()) throw Violation("only what was asked for happens", "a name nobody uses: " + std::string(name));
  return at->second;
}

size_t Model::new_publish(Entity author, bool with_key) {
  const size_t number = publishes_.size();
  Publish p;
  p.author = author;
  p.body = "m" + std::to_string(number) + " of " + names_[author] + std::string(number % 50, '.');
  if (with_key) p.key = "k" + std::to_string(number);
  by_body_[p.body] = number;
  publishes_.push_back(std::move(p));
  return number;
}

void Model::begin_publish(size_t publish, Instant now) {
  Publish& p = publishes_[publish];
  if (p.last_round == 0) p.first_sent = now;
  p.last_round = round_;
  ++p.open;
}

void Model::end_publish(size_t publish, Ended ended, MessageId id, Instant now) {
  Publish& p = publishes_[publish];
  ASSERT(p.open > 0);
  --p.open;
  if (ended == Ended::unknown) p.unknown = true;
  if (ended != Ended::done) return;
  if (p.acked() && p.id != id)
    throw Violation("the same key gives the same id", p.body + " got " + std::to_string(p.id.packed()) + " and " + std::to_string(id.packed()));
  p.id = id;
  p.acked_at = std::min(p.acked_at, now);
}

const Publish& Model::by_body(std::string_view body) const {
  const auto at = by_body_.find(std::string(body));
  if (at == by_body_.end()) throw Violation("only what was published is read", "body \"" + std::string(body) + "\"");
  return publishes_[at->second];
}

const Pair& Model::pair(Entity follower, Entity author) const {
  static const Pair none;
  const auto at = pairs_.find({follower, author});
  return at == pairs_.end() ? none : at->second;
}

void Model::begin_follow(Entity follower, Entity author, Instant now) {
  Pair& p = pair(follower, author);
  ASSERT(!p.busy);
  if (p.state == Pair::State::no) {
    p.since_round = round_;
    p.fresh_since = followed_from_bucket(follower, author, now) ? Instant() : now;
  }
  p.busy = true;
}

// Returns whether somebody in the follower's bucket follows the author, or may do so soon.
bool Model::followed_from_bucket(Entity follower, Entity author, Instant now) const {
  for (Entity other = 0; other < entities(); ++other) {
    if (buckets_[other] != buckets_[follower]) continue;
    const Pair& p = pair(other, author);
    if (p.state != Pair::State::no || p.busy || p.late_follow_until > now) return true;
  }
  return false;
}

void Model::end_follow(Entity follower, Entity author, Ended ended, bool active, Instant sent, Instant now) {
  Pair& p = pair(follower, author);
  p.busy = false;
  if (ended == Ended::untouched) return;
  if (ended == Ended::unknown) {
    p.late_follow_until = sent + late_max;
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
  p.active_at = Instant::never();
  if (ended == Ended::unknown) {
    p.late_unfollow_until = sent + late_max;
    if (p.state == Pair::State::yes) p.state = Pair::State::maybe, p.changed_at = now;
    return;
  }
  if (removed && p.state != Pair::State::maybe && *removed != (p.state == Pair::State::yes))
    throw Violation("UNFOLLOW says whether there was something to remove", names_[follower] + " of " + names_[author]);
  p.state = Pair::State::no;
  p.changed_at = now;
}

void Model::drained(Instant now) {
  ++round_;
  for (auto& [who, p] : pairs_) {
    p.late_follow_until = p.late_unfollow_until = {};
    if (p.state == Pair::State::yes) p.active_at = std::min(p.active_at, now);
  }
  for (const Publish& p : publishes_) ASSERT(p.open == 0);
}

}  // namespace canopy::sim
