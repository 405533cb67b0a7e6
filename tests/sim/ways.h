// By which ways a message gets into streams and homes: what must have come, and what may have.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/model.h"
#include "sim/scenario.h"

namespace canopy::sim {

class Ways {
 public:
  Ways(const Scenario& scenario, const Model& model) : scenario_(scenario), model_(model) {}

  // The streams that it may be in: its author's, its topics', and where these go on to.
  std::set<Entity> may_enter(const Publish& p) const;
  // Those that it is in for sure, when it is there at all.
  std::set<Entity> must_enter(const Publish& p) const;

  // "" when the entity may have it in home, for what is known of a READ that was sent then; else the
  // rule that this breaks.
  std::string home_forbids(Entity follower, const Publish& p, Instant sent) const;
  // Can it come into this home by more than one way, or at a position of the past?
  bool several(Entity follower, const Publish& p) const;
  // May it have passed through another's stream that was deleted since? Then its retraction does not follow it there.
  bool through_deleted(const Publish& p) const;
  // May a backfill have brought it, to a position of the past?
  bool maybe_backfilled(Entity follower, const Publish& p) const;
  // Must a follow, or `to`, have brought it? `streams`: of must_enter(); `ways`: those that did.
  bool must_have(Entity follower, const Publish& p, const std::set<Entity>& streams, std::vector<Entity>& ways) const;

 private:
  std::string follow_forbids(const Pair& pair, const Publish& p, bool own, Instant sent) const;
  uint32_t longest_way(const Publish& p, Entity to) const;
  uint32_t longest_way(Entity at, Entity to, const Publish& p, std::set<Entity>& passed) const;
  bool may_pass(const Pair& forward, const Publish& p) const;

  const Scenario& scenario_;
  const Model& model_;
};

}  // namespace canopy::sim
