// Who waits for an answer and who listens to a timeline.
#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "bucket/bucket.h"

namespace canopy::bucket {
namespace {
constexpr Duration beat_interval = Duration::of_s(2);
}  // namespace

Bucket::OpenAsk& Bucket::open_ask(uint64_t ask, wire::Reply empty, size_t parts) {
  OpenAsk open;
  open.reply = std::move(empty);
  open.left = parts;
  const auto [it, fresh] = asks_.emplace(ask, std::move(open));
  ASSERT(fresh);
  return it->second;
}

void Bucket::part_done(uint64_t ask, Effects& effects) {
  OpenAsk& open = asks_.at(ask);
  ASSERT(open.left > 0);
  if (--open.left == 0) close_ask(ask, effects);
}

// Those before it that ran out of time are forgotten.
void Bucket::wait(std::vector<uint64_t>& waiting, uint64_t ask) {
  std::erase_if(waiting, [this](uint64_t before) { return !asks_.contains(before); });
  waiting.push_back(ask);
}

void Bucket::set_deadline(uint64_t ask, Instant deadline) {
  OpenAsk& open = asks_.at(ask);
  if (open.deadline != Instant::never()) deadlines_.erase({open.deadline, ask});
  open.deadline = deadline;
  if (deadline != Instant::never()) deadlines_.emplace(deadline, ask);
}

// Answers with what was gathered: parts without a result keep what open_ask put there.
void Bucket::close_ask(uint64_t ask, Effects& effects) {
  const auto it = asks_.find(ask);
  ASSERT(it != asks_.end());
  effects.held.push_back(Answer{ask, std::move(it->second.reply)});
  forget_ask(ask);
}

void Bucket::forget_ask(uint64_t ask) {
  unpark(ask);
  const auto it = asks_.find(ask);
  if (it == asks_.end()) return;
  set_deadline(ask, Instant::never());
  if (!it->second.read.entities.empty()) {
    const TailKey key{it->second.read.timeline, it->second.read.entities[0]};
    const auto tailed = tails_.find(key);
    ASSERT(tailed != tails_.end());
    tailed->second.asks.erase(ask);
    untail_if_unused(key);
  }
  // Parts that have a result wait nowhere; the walk is only for those that ran out of time.
  if (it->second.left > 0 && std::holds_alternative<wire::FollowResult>(it->second.reply)) {
    for (auto w = waiting_follows_.begin(); w != waiting_follows_.end();) {
      std::erase_if(w->second, [&](const auto& e) { return e.first == ask; });
      w = w->second.empty() ? waiting_follows_.erase(w) : std::next(w);
    }
  }
  asks_.erase(it);
}

void Bucket::on(const Forget& forget) { forget_ask(forget.ask); }

void Bucket::on(const Audience& audience, Now now, const store::Reader& reader) {
  const TailKey key{audience.timeline, audience.entity};
  if (audience.present) {
    Tailed& tailed = tails_[key];
    if (tailed.feed) return;
    tailed.feed = true;
    tailed.beat_at = now.instant;  // the first beat at once: the subscriber learns where it stands
    beats_.emplace(tailed.beat_at, key);
    tail(audience.timeline, audience.entity, reader);
  } else if (const auto it = tails_.find(key); it != tails_.end() && it->second.feed) {
    it->second.feed = false;
    beats_.erase({it->second.beat_at, key});
    untail_if_unused(key);
  }
}

// A home that somebody tails is materialised as soon as its entity exists.
void Bucket::tail(wire::Timeline timeline, const std::string& entity, const store::Reader& reader) {
  if (timeline != wire::Timeline::home) return;
  if (const auto no = entities_.find(entity, reader)) entity_created(*no, entity);
}

void Bucket::entity_created(EntityNo entity, const std::string& name) {
  if (tails_.empty() || home_tails_.contains(entity) || !tails_.contains({wire::Timeline::home, name})) return;
  home_tails_.emplace(entity, name);
  due_opens_.push_back(entity);
}

void Bucket::untail_if_unused(const TailKey& key) {
  const auto it = tails_.find(key);
  if (it->second.feed || !it->second.asks.empty()) return;
  tails_.erase(it);
  if (key.first != wire::Timeline::home) return;
  untailed_ |= std::erase_if(home_tails_, [&](const auto& e) { return e.second == key.second; }) > 0 &&
               options_.modes.forced == leaf::Mode::lazy;
}

// A timeline has a new entry: live feeds get it now, long polls are answered by the next Tick, which
// sees this step's writes.
void Bucket::notify(const TailKey& key, const wire::Entry& entry, Position prev, Effects& effects) {
  if (tails_.empty()) return;
  const auto it = tails_.find(key);
  if (it == tails_.end()) return;
  if (it->second.feed) effects.held.push_back(Feed{key.first, key.second, entry, prev});
  wake(key);
}

void Bucket::notify_retracted(const TailKey& key, MessageId id, Effects& effects) {
  if (tails_.empty()) return;
  const auto it = tails_.find(key);
  if (it != tails_.end() && it->second.feed) effects.held.push_back(Feed{key.first, key.second, {}, {}, id});
}

void Bucket::wake(const TailKey& key) {
  const auto it = tails_.find(key);
  if (it != tails_.end()) due_reads_.insert(due_reads_.end(), it->second.asks.begin(), it->second.asks.end());
}

void Bucket::beats(Now now, const store::Reader& reader, Effects& effects) {
  while (!beats_.empty() && beats_.begin()->first <= now.instant) {
    const TailKey key = beats_.begin()->second;
    beats_.erase(beats_.begin());
    Tailed& tailed = tails_.at(key);
    tailed.beat_at = now.instant + beat_interval;
    beats_.emplace(tailed.beat_at, key);
    Position newest;
    if (const auto no = entities_.find(key.second, reader)) {
      if (key.first != wire::Timeline::home) {
        newest = lists_.newest(list_kind(key.first), *no, reader);
      } else {
        newest = home(*no, now, reader).newest();
      }
    }
    effects.held.push_back(Feed{key.first, key.second, {newest, nullptr}, newest});
  }
}

}  // namespace canopy::bucket
