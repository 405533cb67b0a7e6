// What clients asked and what they were told: the part of the truth that the checker is sure of.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace canopy::sim {

using Entity = uint32_t;                   // index of a name

// A message that somebody wanted to publish, perhaps several times under one key.
struct Publish {
  Entity author = 0;
  std::string body, key;                   // every body is another one
  Instant first_sent;
  Instant acked_at = Instant::never();     // never: nobody was told that it is there
  MessageId id;
  bool unknown = false;                    // an attempt ended without saying what happened
  uint32_t open = 0;                       // attempts on their way
  uint32_t last_round = 0;                 // of the last attempt
  bool acked() const { return acked_at != Instant::never(); }
  bool impossible() const { return !acked() && !unknown && open == 0; }
};

// Does `follower` follow `author`?
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
};

enum class Ended : uint8_t { done, untouched, unknown };

class Model {
 public:
  Model(uint32_t entities, uint32_t bucket_count);

  uint32_t entities() const { return static_cast<uint32_t>(names_.size()); }
  const std::string& name(Entity e) const { return names_[e]; }
  Entity entity(std::string_view name) const;   // a Violation for a name that nobody uses

  size_t new_publish(Entity author, bool with_key);
  void begin_publish(size_t publish, Instant now);
  void end_publish(size_t publish, Ended ended, MessageId id, Instant now);
  const Publish& publish(size_t i) const { return publishes_[i]; }
  const std::deque<Publish>& publishes() const { return publishes_; }
  const Publish& by_body(std::string_view body) const;

  Pair& pair(Entity follower, Entity author) { return pairs_[{follower, author}]; }
  const Pair& pair(Entity follower, Entity author) const;
  const std::map<std::pair<Entity, Entity>, Pair>& pairs() const { return pairs_; }
  bool may_follow(const Pair& pair, Instant now) const { return !pair.busy && pair.late_unfollow_until < now; }
  bool may_unfollow(const Pair& pair, Instant now) const { return !pair.busy && pair.late_follow_until < now; }
  void begin_follow(Entity follower, Entity author, Instant now);
  void end_follow(Entity follower, Entity author, Ended ended, bool active, Instant sent, Instant now);
  void begin_unfollow(Entity follower, Entity author);
  // `removed`: what the answer said, with Ended::done.
  void end_unfollow(Entity follower, Entity author, Ended ended, const bool* removed, Instant sent, Instant now);

  // Nothing is on its way any more; whoever follows is active.
  void drained(Instant now);
  uint32_t round() const { return round_; }

 private:
  bool followed_from_bucket(Entity follower, Entity author, Instant now) const;

  std::vector<std::string> names_;
  std::vector<BucketId> buckets_;               // of each entity
  std::unordered_map<std::string, Entity> numbers_;
  std::deque<Publish> publishes_;              // stay where they are
  std::unordered_map<std::string, size_t> by_body_;
  std::map<std::pair<Entity, Entity>, Pair> pairs_;
  uint32_t round_ = 1;
};

}  // namespace canopy::sim
