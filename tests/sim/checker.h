// Judges what clients read against what they were told. A broken rule is a Violation.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "sim/model.h"
#include "sim/scenario.h"
#include "sim/ways.h"
#include "wire/message.h"
#include "wire/reply.h"

namespace canopy::sim {

// An entry as a client sees it.
struct Seen {
  Position position;
  MessageId id;
  const Publish* publish = nullptr;
};

class Checker {
 public:
  Checker(const Scenario& scenario, const Model& model) : scenario_(scenario), model_(model), ways_(scenario, model) {}

  // One page of an answer, under faults or not. `sent`: when the READ was. Returns its entries in
  // the order of the page.
  std::vector<Seen> check_page(wire::Timeline timeline, Entity entity, const wire::TimelinePage& page, bool ascending,
                               Instant sent) const;
  // Also that a page with the newest of a `sent` list has what was acknowledged before.
  void check_newest_sent(Entity author, const std::vector<Seen>& newest_first, size_t limit, Instant sent) const;
  // Also that the newest page of a home whose leaves are all lazy has what was acknowledged before.
  void check_exact(Entity follower, const std::vector<Seen>& newest_first, const wire::TimelinePage& page, Instant sent) const;
  // `entry`: null when GET said NOT_FOUND.
  void check_got(const Publish& asked, const wire::Entry* entry, Instant sent) const;
  // `home`: of an entry there, which a retraction may not reach through a stream that was deleted. `incomplete`: nor
  // from an author that cannot be reached just now.
  Seen check_entry(const wire::Entry& entry, const std::string& where, bool home = false, bool incomplete = false) const;
  // Can the same message come to an entity's home again, because a way that brought it was lost?
  bool several_ways(Entity follower, const Publish& p) const { return ways_.several(follower, p); }
  bool maybe_backfilled(Entity follower, const Publish& p) const { return ways_.maybe_backfilled(follower, p); }
  std::string home_forbids(Entity follower, const Publish& p, Instant sent) const { return ways_.home_forbids(follower, p, sent); }

  bool belongs(wire::Timeline timeline, Entity entity, const Publish& p) const;  // not for home

  // Whole lists, newest first, after everything has drained. First all of `sent`: they tell what there
  // is, whatever its publish or its retraction was answered.
  void begin_judgement();
  void check_sent(Entity author, const std::vector<Seen>& list, Instant now);
  void found_all_sent();
  bool in_sent(const Publish& p) const { return in_sent_[p.number]; }
  void check_home(Entity follower, const std::vector<Seen>& list, bool truncated) const;
  // mentions, replies, topic
  void check_list(wire::Timeline timeline, Entity entity, const std::vector<Seen>& list, Instant now) const;
  // `replies`: all of the author's, newest first. thread: null when it was not found.
  void check_thread(const Publish& asked, const wire::ThreadResult* thread, const std::vector<Seen>& replies) const;
  // `list`: what stands above the marker.
  void check_unread(wire::Timeline timeline, Entity entity, const std::vector<Seen>& above, uint64_t unread) const;
  void check_names(const char* rule, const std::vector<std::string>& names, uint64_t count, Entity entity, bool followers) const;
  // `buckets`: of the followers, ascending.
  void check_tree(Entity author, const wire::TreeResult& tree, uint64_t followers, const std::vector<BucketId>& buckets) const;

 private:
  void check_fields(const Publish& publish, const wire::MessageView& message, const std::string& where) const;
  void check_order(const std::vector<Seen>& list, bool ascending, wire::Timeline timeline, Entity entity, const std::string& where) const;
  void check_once(const std::vector<Seen>& list, const std::string& where) const;
  Sure must_stand(wire::Timeline timeline, Entity entity, const Publish& p) const;
  void check_kept(wire::Timeline timeline, Entity entity, const std::vector<Seen>& list, Instant now) const;
  bool home_excuses(Entity follower, const Publish& p, const std::vector<Entity>& ways, const std::vector<Seen>& list, bool truncated) const;
  bool forgotten(const Publish& p, Entity stream) const;
  bool must_backfill(Entity follower, const Publish& p) const;

  const Scenario& scenario_;
  const Model& model_;
  Ways ways_;
  // Of the judgement: by the number of the publish.
  std::vector<Sure> there_;
  std::vector<bool> in_sent_;
  std::vector<std::set<Entity>> enters_;       // streams: those it must be in
  std::vector<std::set<Entity>> may_enter_;
};

}  // namespace canopy::sim
