// What clients asked and what they were told: the part of the truth that the checker is sure of.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/retention.h"
#include "base/time.h"
#include "base/types.h"
#include "wire/request.h"

namespace canopy::sim {

using Entity = uint32_t;                   // index of a name
constexpr size_t nothing = SIZE_MAX;

// An entity as a message names it: perhaps by an alias.
struct Named {
  Entity entity = 0;
  std::string name;
};

enum class Ended : uint8_t { done, untouched, unknown };
enum class Sure : uint8_t { no, maybe, yes };

// A message that somebody wanted to publish, perhaps several times under one key.
struct Publish {
  size_t number = 0;                       // its place in publishes()
  Entity author = 0;
  std::string body, key;                   // every body is another one
  std::vector<Named> mentions, topics, to; // each name once
  size_t parent = nothing;                 // the publish that it replies to
  Instant first_sent;
  Instant acked_at = Instant::never();     // never: nobody was told that it is there
  MessageId id;
  bool unknown = false;                    // an attempt ended without saying what happened
  uint32_t open = 0;                       // attempts on their way
  uint32_t first_round = 0, last_round = 0;  // of the first and the last attempt
  // Its retraction
  Instant retract_sent = Instant::never(), retracted_at = Instant::never();  // first asked for; told
  bool retract_unknown = false;
  uint32_t retracts_open = 0, retracted_round = 0;
  bool acked() const { return acked_at != Instant::never(); }
  bool impossible() const { return !acked() && !unknown && open == 0; }
  bool names(wire::Timeline list, Entity entity) const;  // mentions or topic
  bool direct_to(Entity entity) const;
};

// Does `follower` follow `author`? Also: does one entity's stream go on into another's?
struct Pair {
  enum class State : uint8_t { no, yes, maybe };
  State state = State::no;
  bool busy = false;                       // a request about it is on its way
  Instant changed_at;                      // when `state` became what it is, for the one who asked
  Instant active_at = Instant::never();    // when the follower was told `active`; kept until he asks to unfollow
  uint32_t since_round = 0;                // in which the present follow was first asked for
  // When the present follow was asked for, if nobody in the follower's bucket followed the author then:
  // the leaf is a new one and begins behind all that was acknowledged before. Else zero.
  Instant fresh_since;
  // A request of unknown outcome may still happen until then: nothing contrary is asked before.
  Instant late_follow_until, late_unfollow_until;
  // The most that was asked for with the present follow, and when; sure: the request that began it was answered.
  uint32_t backfill = 0;
  Instant backfill_asked;
  bool backfill_sure = false;
  bool ending = false;                     // one of both was deleted in this round
  uint32_t first_round = 0, last_round = 0;  // of a forward: it may have been on from … to
};

// A DELETE that was answered, or may have happened.
struct Deletion {
  Instant sent, ended = Instant::never();    // ended: never while it may still begin
  Instant settled = Instant::never();        // the drain after it: nothing of it is on its way any more
  bool done = false;
  uint32_t round = 0;
};

// A name that is, or is to be, an alias.
struct AliasName {
  std::string name;
  Entity entity = 0;                       // whose it is, when granted
  bool granted = false;
  std::vector<Entity> wanted;              // who asked for it
  bool wanted_by(Entity e) const { return std::find(wanted.begin(), wanted.end(), e) != wanted.end(); }
};

// What bounds a list, as far as it is known.
struct Kept {
  Retention least;                         // the tightest bounds that it ever may have had
  Retention now;                           // REQUIRES for reading it: sure
  bool sure = true;
  uint32_t doubt_round = 0;                // of the last request of unknown outcome: it may still come
};

struct Marker {
  Position position;
  bool sure = false;
  uint32_t doubt_round = 0;
};

class Model {
 public:
  Model(uint32_t people, uint32_t topics, uint32_t aliases, uint32_t bucket_count);

  uint32_t people() const { return people_; }   // entities that do things; behind them stand the topics
  uint32_t entities() const { return static_cast<uint32_t>(names_.size()); }
  const std::string& name(Entity e) const { return names_[e]; }
  Entity entity(std::string_view name) const;   // a Violation for a name that nobody uses
  BucketId bucket(Entity e) const { return buckets_[e]; }

  size_t new_publish(Entity author, bool with_key);
  Publish& dress(size_t publish) { return publishes_[publish]; }  // REQUIRES: not begun
  void begin_publish(size_t publish, Instant now);
  void end_publish(size_t publish, Ended ended, MessageId id, Instant now);
  const Publish& publish(size_t i) const { return publishes_[i]; }
  const std::deque<Publish>& publishes() const { return publishes_; }
  const Publish& by_body(std::string_view body) const;
  std::string describe(const Publish& p) const;
  bool id_sure(const Publish& p) const { return p.acked() && !(p.unknown && deleted(p) != Sure::no); }

  Pair& pair(Entity follower, Entity author) { return pairs_[{follower, author}]; }
  const Pair& pair(Entity follower, Entity author) const;
  const std::map<std::pair<Entity, Entity>, Pair>& pairs() const { return pairs_; }
  bool may_follow(const Pair& pair, Instant now) const { return !pair.busy && pair.late_unfollow_until < now; }
  bool may_unfollow(const Pair& pair, Instant now) const { return !pair.busy && pair.late_follow_until < now; }
  void begin_follow(Entity follower, Entity author, Instant now, uint32_t backfill = 0, bool by_alias = false);
  void end_follow(Entity follower, Entity author, Ended ended, bool active, Instant sent, Instant now);
  void begin_unfollow(Entity follower, Entity author);
  // `removed`: what the answer said, with Ended::done.
  void end_unfollow(Entity follower, Entity author, Ended ended, const bool* removed, Instant sent, Instant now);
  // When an entry of the home of `entity` may last have got another position, or come in at an old one.
  Instant moved_at(Entity entity) const;

  // ---- the graph: model_graph.cc
  void begin_retract(size_t publish, Instant now);
  void end_retract(size_t publish, Ended ended, bool not_found, Instant sent, Instant now);
  // Is it taken back, by RETRACT or with its author? As far as the answers tell.
  Sure gone(const Publish& p) const;
  bool may_be_gone(MessageId id) const;
  Instant gone_at(const Publish& p) const;               // told; never: not for sure
  bool gone_long(const Publish& p) const;                // for sure, and everything has drained since
  Sure deleted(const Publish& p) const;                  // with its author
  // Is what names `entity` still in its lists, for all that its deletions tell?
  Sure listed(const Publish& p, Entity entity) const;

  void begin_delete(Entity entity, Instant now);
  void end_delete(Entity entity, Ended ended, Instant sent, Instant now);
  bool may_delete(Entity entity) const;
  const std::vector<Deletion>& deletions(Entity entity) const;

  Pair& forward(Entity from, Entity to) { return forwards_[{from, to}]; }
  const std::map<std::pair<Entity, Entity>, Pair>& forwards() const { return forwards_; }
  void begin_forward(Entity from, Entity to, bool off, bool by_alias);
  void end_forward(Entity from, Entity to, bool off, Ended ended, bool active, Instant sent, Instant now);
  bool ever_forwarded(Entity from) const;

  const std::vector<AliasName>& aliases() const { return aliases_; }
  void begin_alias(size_t alias, Entity entity) { aliases_[alias].wanted.push_back(entity); }
  void end_alias(size_t alias, Entity entity, Ended ended, bool refused);

  void retention(wire::Timeline list, const Retention& retention) { retentions_[list] = retention; }
  Kept kept(Entity entity, wire::Timeline list) const;
  void begin_retain(const wire::Retain& request, Entity entity);
  void end_retain(const wire::Retain& request, Entity entity, Ended ended, Retention told);

  using MarkerKey = std::tuple<Entity, wire::Timeline, std::string>;
  const std::map<MarkerKey, Marker>& markers() const { return markers_; }
  void begin_mark(const MarkerKey& key) { markers_[key].sure = false, marks_open_[key].begin(); }
  void end_mark(const MarkerKey& key, Ended ended, Position position);

  // Nothing is on its way any more; whoever follows is active.
  void drained(Instant now);
  uint32_t round() const { return round_; }

 private:
  bool followed_from_bucket(Entity follower, Entity author, Instant now) const;
  bool doubtful_follower(Entity follower, Instant from, Instant to) const;  // a deletion of it overlaps
  bool doubtful_author(Entity author, Instant from, Instant to) const;      // the same, or is still on its way
  void delete_pairs(std::map<std::pair<Entity, Entity>, Pair>& pairs, Entity entity, Ended ended, bool second_ends_at_once, Instant now);

  const uint32_t people_;
  std::vector<std::string> names_;
  std::vector<BucketId> buckets_;               // of each entity
  std::unordered_map<std::string, Entity> numbers_;
  std::deque<Publish> publishes_;              // stay where they are
  std::unordered_map<std::string, size_t> by_body_;
  std::map<std::pair<Entity, Entity>, Pair> pairs_, forwards_;
  std::map<Entity, Instant> moved_;
  std::map<Entity, std::vector<Deletion>> deletions_;
  std::vector<AliasName> aliases_;
  std::map<wire::Timeline, Retention> retentions_;
  std::map<std::pair<Entity, wire::Timeline>, Kept> kept_;
  // Requests for one thing that are open. Of those that were at the same time nobody knows which came last.
  struct Open {
    uint32_t count = 0;
    bool together = false;
    void begin() { together = ++count > 1 || together; }
    bool end_alone() {
      const bool alone = !together;
      if (--count == 0) together = false;
      return alone;
    }
  };
  std::map<std::pair<Entity, wire::Timeline>, Open> retains_open_;
  std::map<MarkerKey, Marker> markers_;
  std::map<MarkerKey, Open> marks_open_;
  uint32_t round_ = 1;
};

}  // namespace canopy::sim
