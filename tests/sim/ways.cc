#include "sim/ways.h"

#include <algorithm>
#include <optional>

namespace canopy::sim {

bool Ways::may_pass(const Pair& forward, const Publish& p) const {
  return forward.first_round > 0 && forward.first_round <= p.last_round && forward.last_round >= p.first_round;
}

std::set<Entity> Ways::may_enter(const Publish& p) const {
  std::set<Entity> in{p.author};
  for (const Named& topic : p.topics) in.insert(topic.entity);
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [way, forward] : model_.forwards())
      if (in.contains(way.first) && may_pass(forward, p)) grown |= in.insert(way.second).second;
  }
  return in;
}

std::set<Entity> Ways::must_enter(const Publish& p) const {
  std::set<Entity> in{p.author};
  for (const Named& topic : p.topics)
    if (model_.listed(p, topic.entity) == Sure::yes) in.insert(topic.entity);
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [way, forward] : model_.forwards()) {
      if (!in.contains(way.first) || in.contains(way.second)) continue;
      if (forward.state != Pair::State::yes || forward.busy || p.first_sent <= forward.active_at) continue;
      // It may have come to `from` by the longest way first, and then has no hop left.
      if (longest_way(p, way.first) < scenario_.settings.max_hops) grown |= in.insert(way.second).second;
    }
  }
  return in;
}

uint32_t Ways::longest_way(const Publish& p, Entity to) const {
  std::set<Entity> passed;
  uint32_t longest = to == p.author ? 0 : longest_way(p.author, to, p, passed);
  if (to == p.author) return longest;
  for (const Named& topic : p.topics)
    if (topic.entity != to) longest = std::max(longest, longest_way(topic.entity, to, p, passed));
  return longest;
}

// Of those without a loop; 0 for none.
uint32_t Ways::longest_way(Entity at, Entity to, const Publish& p, std::set<Entity>& passed) const {
  uint32_t longest = 0;
  passed.insert(at);
  for (const auto& [way, forward] : model_.forwards()) {
    if (way.first != at || passed.contains(way.second) || !may_pass(forward, p)) continue;
    const uint32_t rest = way.second == to ? 1 : longest_way(way.second, to, p, passed);
    if (rest > 0) longest = std::max(longest, way.second == to ? 1 : rest + 1);
  }
  passed.erase(at);
  return longest;
}

std::string Ways::follow_forbids(const Pair& pair, const Publish& p, bool own, Instant sent) const {
  if (pair.busy || pair.changed_at >= sent || pair.state == Pair::State::maybe) return "";
  if (pair.state == Pair::State::no) return "nobody gets what he does not follow";
  if (pair.backfill > 0) return "";
  // Before a follow its leaf fetches what was published so far, unless it cannot: then that comes later.
  if (scenario_.lazy() && !scenario_.calm()) return own && p.acked_at < pair.fresh_since ? "a new leaf begins behind what was published before" : "";
  if (p.last_round < pair.since_round) return "a follow shows no message from long before it";
  // By a topic or a forward it may come later than its author was answered.
  if (own && p.acked_at < pair.fresh_since) return "a new leaf begins behind what was published before";
  return "";
}

std::string Ways::home_forbids(Entity follower, const Publish& p, Instant sent) const {
  std::string rule = follow_forbids(model_.pair(follower, p.author), p, true, sent);
  if (rule.empty() || p.direct_to(follower)) return "";
  for (const Entity stream : may_enter(p))
    if (stream != p.author && follow_forbids(model_.pair(follower, stream), p, false, sent).empty()) return "";
  return rule;
}

bool Ways::several(Entity follower, const Publish& p) const {
  return !p.topics.empty() || p.direct_to(follower) || model_.ever_forwarded(p.author) ||
         model_.pair(follower, p.author).backfill > 0;
}

bool Ways::through_deleted(const Publish& p) const {
  const auto streams = may_enter(p);
  return std::any_of(streams.begin(), streams.end(), [&](Entity stream) {
    return stream != p.author && !model_.deletions(stream).empty() && model_.ever_forwarded(stream);
  });
}

bool Ways::maybe_backfilled(Entity follower, const Publish& p) const {
  const auto streams = may_enter(p);
  return std::any_of(streams.begin(), streams.end(), [&](Entity stream) {
    const Pair& pair = model_.pair(follower, stream);
    return pair.backfill > 0 && p.first_sent < pair.active_at;
  });
}

bool Ways::must_have(Entity follower, const Publish& p, const std::set<Entity>& streams, std::vector<Entity>& ways) const {
  ways.clear();
  for (const Entity stream : streams) {
    const Pair& pair = model_.pair(follower, stream);
    if (pair.state == Pair::State::yes && !pair.busy && p.first_sent > pair.active_at) ways.push_back(stream);
  }
  return !ways.empty() || (p.direct_to(follower) && model_.listed(p, follower) == Sure::yes);
}

}  // namespace canopy::sim
