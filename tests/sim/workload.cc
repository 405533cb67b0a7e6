#include "sim/workload.h"

#include <algorithm>
#include <memory>

namespace canopy::sim {

Machine& Workload::any_machine() {
  for (int tries = 0; tries < 4; ++tries) {
    Machine& machine = *machines_[random_.below(machines_.size())];
    if (machine.ready()) return machine;
  }
  return *machines_[random_.below(machines_.size())];
}

// The first entities are celebrities: much of what is published is theirs.
Entity Workload::any_author() {
  return scenario_.celebrities > 0 && random_.chance(40) ? static_cast<Entity>(random_.below(scenario_.celebrities)) : any_entity();
}

// Returns a pair in that state where one is soon found, else any.
std::pair<Entity, Entity> Workload::any_pair(Pair::State wanted) {
  std::pair<Entity, Entity> pair;
  for (int tries = 0; tries < 30; ++tries) {
    pair = {any_entity(), any_author()};
    if (std::as_const(model_).pair(pair.first, pair.second).state == wanted) break;
  }
  return pair;
}

void Workload::first_follows() {
  for (Entity follower = 0; follower < model_.entities(); ++follower) {
    for (Entity author = 0; author < scenario_.celebrities; ++author)
      if (random_.chance(80)) follow(follower, author);
    for (uint32_t i = 0; i < scenario_.follows_each; ++i) follow(follower, any_entity());
  }
}

void Workload::start() {
  running_ = true;
  next();
  next_graph();
  next_overlap();
}

void Workload::next() {
  if (!running_) return;
  const uint64_t mean = 1'000'000 / scenario_.operations_per_second;
  schedule_.after(Duration{static_cast<int64_t>(random_.below(2 * mean))}, [this] {
    if (running_) operation();
    next();
  });
}

void Workload::operation() {
  const uint64_t what = random_.below(100);
  if (what < 35) publish(any_author(), random_.chance(50));
  else if (what < 40) publish_batch();
  else if (what < 50) { const auto [f, a] = any_pair(Pair::State::no); follow(f, a); }
  else if (what < 58) { const auto [f, a] = any_pair(Pair::State::yes); unfollow(f, a); }
  else if (what < 66) follow_again();
  else if (what < 69) follow_batch();
  else if (what < 71) {
    std::vector<std::pair<Entity, Entity>> pairs;
    for (uint64_t i = 0; i < 2 + random_.below(5); ++i) pairs.push_back(any_pair(Pair::State::yes));
    unfollow_batch(pairs);
  }
  else if (what < 92) read(any_entity());
  else if (what < 95) get();
  else if (what < 98) names();
  else tree();
}

// ---- PUBLISH

void Workload::publish(Entity author, bool with_key) {
  const size_t publish = model_.new_publish(author, with_key);
  dress(publish);
  try_publish(publish, with_key ? 4 : 1);
}

void Workload::try_publish(size_t publish, int tries_left, std::function<void()> then) {
  wire::Publish request;
  request.messages.push_back(message_of(publish));
  model_.begin_publish(publish, schedule_.now());
  clients_.note("publish", publish, model_.publish(publish).author);
  clients_.ask(any_machine(), std::move(request), [this, publish, tries_left, then](const Outcome& outcome) {
    MessageId id;
    if (const auto* result = std::get_if<wire::PublishResult>(&outcome.reply)) id = std::get<wire::Published>(result->results.at(0)).id;
    clients_.note("publish ended", publish, id.packed(), static_cast<uint64_t>(outcome.ended));
    model_.end_publish(publish, outcome.ended, id, schedule_.now());
    if (outcome.ended == Ended::done) recent_.push_back(publish);
    if (outcome.ended == Ended::done && then && running_) then();
    // A key may be repeated whatever happened, also when it is known.
    const bool again = outcome.ended == Ended::done ? random_.chance(10) : true;
    if (tries_left <= 1 || !again || !running_) return;
    const Duration pause{static_cast<int64_t>(random_.below(500'000))};
    schedule_.after(pause, [this, publish, tries_left] {
      // With its author a key may be gone, and the repeat would be another message.
      if (running_ && model_.deleted(model_.publish(publish)) == Sure::no) try_publish(publish, tries_left - 1);
    });
  });
}

void Workload::publish_batch() {
  wire::Publish request;
  request.batch = true;
  std::vector<size_t> publishes;
  const Entity one = any_author();
  for (uint64_t i = 0; i < 2 + random_.below(8); ++i) {
    publishes.push_back(model_.new_publish(random_.chance(60) ? one : any_author(), random_.chance(30)));
    dress(publishes.back());
    request.messages.push_back(message_of(publishes.back()));
    model_.begin_publish(publishes.back(), schedule_.now());
    clients_.note("publish of a batch", publishes.back(), model_.publish(publishes.back()).author);
  }
  clients_.ask(any_machine(), std::move(request), [this, publishes](const Outcome& outcome) {
    const auto* result = std::get_if<wire::PublishResult>(&outcome.reply);
    for (size_t i = 0; i < publishes.size(); ++i) {
      Ended ended = outcome.ended;
      MessageId id;
      if (result) {
        const auto& one_result = result->results.at(i);
        if (const auto* error = std::get_if<Error>(&one_result)) ended = ended_of(*error);
        else id = std::get<wire::Published>(one_result).id;
      }
      clients_.note("publish of a batch ended", publishes[i], id.packed(), static_cast<uint64_t>(ended));
      model_.end_publish(publishes[i], ended, id, schedule_.now());
      if (ended == Ended::done) recent_.push_back(publishes[i]);
    }
  });
}

// ---- FOLLOW, UNFOLLOW

void Workload::follow(Entity follower, Entity author, std::function<void(bool active)> then, bool wait,
                      uint32_t backfill) {
  if (!model_.may_follow(model_.pair(follower, author), schedule_.now())) return;
  wire::Follow request;
  request.pairs.push_back({name_of(follower), name_of(author)});
  request.backfill = backfill;
  request.wait_ms = !wait || random_.chance(20) ? 0 : static_cast<uint32_t>(random_.below(3'000));
  const bool by_alias = request.pairs[0].author != model_.name(author);
  model_.begin_follow(follower, author, schedule_.now(), backfill, by_alias);
  clients_.note("follow", follower, author, backfill);
  clients_.ask(any_machine(), std::move(request), [this, follower, author, then, sent = schedule_.now()](const Outcome& outcome) {
    const auto* result = std::get_if<wire::FollowResult>(&outcome.reply);
    const bool active = result && std::get<wire::FollowState>(result->states.at(0)) == wire::FollowState::active;
    clients_.note(active ? "follow ended active" : "follow ended", follower, author, static_cast<uint64_t>(outcome.ended));
    model_.end_follow(follower, author, outcome.ended, active, sent, schedule_.now());
    if (then && running_) then(active);
  });
}

void Workload::follow_batch() {
  wire::Follow request;
  request.batch = true;
  request.wait_ms = static_cast<uint32_t>(random_.below(2'000));
  std::vector<std::pair<Entity, Entity>> pairs;
  for (uint64_t i = 0; i < 2 + random_.below(8); ++i) {
    const auto pair = any_pair(Pair::State::no);
    if (!model_.may_follow(model_.pair(pair.first, pair.second), schedule_.now())) continue;
    model_.begin_follow(pair.first, pair.second, schedule_.now());
    clients_.note("follow of a batch", pair.first, pair.second);
    pairs.push_back(pair);
    request.pairs.push_back({model_.name(pair.first), model_.name(pair.second)});
  }
  if (pairs.empty()) return;
  clients_.ask(any_machine(), std::move(request), [this, pairs, sent = schedule_.now()](const Outcome& outcome) {
    const auto* result = std::get_if<wire::FollowResult>(&outcome.reply);
    // The answer only counts the active and the pending: who is which is known when all are the same.
    const auto active = [](const auto& s) { return std::holds_alternative<Error>(s) || std::get<wire::FollowState>(s) == wire::FollowState::active; };
    const bool all_active = result && std::all_of(result->states.begin(), result->states.end(), active);
    for (size_t i = 0; i < pairs.size(); ++i) {
      Ended ended = outcome.ended;
      // In the answer a failed pair has only a code, so what became of it is not known.
      if (result && std::holds_alternative<Error>(result->states.at(i))) ended = Ended::unknown;
      clients_.note("follow of a batch ended", pairs[i].first, pairs[i].second, static_cast<uint64_t>(ended));
      model_.end_follow(pairs[i].first, pairs[i].second, ended, all_active, sent, schedule_.now());
    }
  });
}

void Workload::unfollow(Entity follower, Entity author, std::function<void()> then) {
  if (!model_.may_unfollow(model_.pair(follower, author), schedule_.now())) return;
  wire::Unfollow request;
  request.pairs.push_back({name_of(follower), model_.name(author)});
  model_.begin_unfollow(follower, author);
  clients_.note("unfollow", follower, author);
  clients_.ask(any_machine(), std::move(request), [this, follower, author, then, sent = schedule_.now()](const Outcome& outcome) {
    bool removed = false;
    if (const auto* result = std::get_if<wire::UnfollowResult>(&outcome.reply)) removed = std::get<bool>(result->removed.at(0));
    clients_.note("unfollow ended", follower, author, static_cast<uint64_t>(outcome.ended));
    model_.end_unfollow(follower, author, outcome.ended, &removed, sent, schedule_.now());
    if (then && outcome.ended == Ended::done && running_) then();
  });
}

void Workload::unfollow_batch(const std::vector<std::pair<Entity, Entity>>& wanted) {
  wire::Unfollow request;
  request.batch = true;
  std::vector<std::pair<Entity, Entity>> pairs;
  for (const auto& pair : wanted) {
    if (!model_.may_unfollow(model_.pair(pair.first, pair.second), schedule_.now())) continue;
    model_.begin_unfollow(pair.first, pair.second);
    clients_.note("unfollow of a batch", pair.first, pair.second);
    pairs.push_back(pair);
    request.pairs.push_back({model_.name(pair.first), model_.name(pair.second)});
  }
  if (pairs.empty()) return;
  clients_.ask(any_machine(), std::move(request), [this, pairs, sent = schedule_.now()](const Outcome& outcome) {
    const auto* result = std::get_if<wire::UnfollowResult>(&outcome.reply);
    for (size_t i = 0; i < pairs.size(); ++i) {
      Ended ended = outcome.ended;
      // The answer counts the removed and names the failed; those that were not there are in neither.
      if (result && i < result->removed.size() && std::holds_alternative<Error>(result->removed[i])) ended = Ended::unknown;
      clients_.note("unfollow of a batch ended", pairs[i].first, pairs[i].second, static_cast<uint64_t>(ended));
      model_.end_unfollow(pairs[i].first, pairs[i].second, ended, nullptr, sent, schedule_.now());
    }
  });
}

// Leaves and comes back at once, again and again, while the author publishes: letters of several joins
// are on their way together.
void Workload::follow_again() {
  const auto [follower, author] = any_pair(Pair::State::yes);
  const auto come_back = [this, f = follower, a = author] {
    unfollow(f, a, [this, f, a] {
      publish(a, false);
      schedule_.after(Duration{static_cast<int64_t>(random_.below(20'000))}, [this, f, a] {
        if (running_) follow(f, a, [this, a](bool active) { if (active) publish(a, false); });
      });
    });
  };
  if (random_.chance(30)) return come_back();
  unfollow(follower, author, [this, come_back, f = follower, a = author] {
    follow(f, a, [come_back](bool) { come_back(); }, false);
  });
}

void Workload::unfollow_all() {
  for (const auto& [who, pair] : model_.pairs())
    if (pair.state != Pair::State::no) unfollow(who.first, who.second);
}

// ---- reading

void Workload::read(Entity entity, wire::Timeline timeline, Random& random) {
  wire::Read request;
  request.timeline = timeline;
  const uint64_t kind = random.below(4);
  std::vector<Entity> entities{entity};
  if (kind == 0) {
    request.batch = true;
    for (uint64_t i = 0; i < random.below(6); ++i) entities.push_back(static_cast<Entity>(random.below(model_.people())));
  }
  for (const Entity e : entities) request.entities.push_back(name_of(e));
  request.limit = random.chance(50) ? 1'000 : 1 + static_cast<uint32_t>(random.below(20));
  const Position somewhere(1, random.below(500));
  if (kind == 1) request.before = somewhere;
  if (kind == 2) request.after = somewhere;
  if (kind == 2 && random.chance(50)) request.wait_ms = static_cast<uint32_t>(random.below(2'000));
  if (scenario_.exact_reads) request.wait_ms = 0;
  const wire::Read copy = request;
  clients_.ask(any_machine(), std::move(request), [this, entities, copy, sent = schedule_.now()](const Outcome& outcome) {
    const auto* result = std::get_if<wire::ReadResult>(&outcome.reply);
    if (!result) return;
    for (size_t i = 0; i < entities.size(); ++i) {
      const auto* page = std::get_if<wire::TimelinePage>(&result->pages.at(i));
      if (!page) continue;
      const auto seen = checker_.check_page(copy.timeline, entities[i], *page, copy.after.has_value(), sent);
      for (const Seen& s : seen)
        if ((copy.before && s.position >= *copy.before) || (copy.after && s.position <= *copy.after))
          throw Violation("a page keeps to its cursor", model_.name(entities[i]));
      if (copy.timeline == wire::Timeline::sent && !copy.before && !copy.after)
        checker_.check_newest_sent(entities[i], seen, copy.limit, sent);
      if (copy.timeline == wire::Timeline::home && !copy.before && !copy.after) checker_.check_exact(entities[i], seen, *page, sent);
    }
  });
}

void Workload::get() {
  if (model_.publishes().empty()) return;
  const size_t number = random_.below(model_.publishes().size());
  if (!model_.publish(number).acked()) return;
  clients_.ask(any_machine(), wire::Get{model_.publish(number).id}, [this, number, sent = schedule_.now()](const Outcome& outcome) {
    if (const auto* got = std::get_if<wire::GetResult>(&outcome.reply)) checker_.check_got(model_.publish(number), &got->entry, sent);
    else if (const auto* error = std::get_if<Error>(&outcome.reply); error && error->code == Code::not_found)
      checker_.check_got(model_.publish(number), nullptr, sent);
  });
}

void Workload::names() {
  wire::Request request;
  if (random_.chance(50)) request = wire::Followers{model_.name(any_author()), 1 + static_cast<uint32_t>(random_.below(60)), 0};
  else request = wire::Following{model_.name(any_entity()), 1 + static_cast<uint32_t>(random_.below(60)), 0};
  clients_.ask(any_machine(), std::move(request), [](const Outcome&) {});
}

void Workload::tree() {
  clients_.ask(any_machine(), wire::Tree{model_.name(any_author()), 0, 0, true}, [](const Outcome&) {});
}

}  // namespace canopy::sim
