// Who follows timelines as they grow: tails (a long poll after another) and live feeds.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "base/random.h"
#include "sim/workload.h"

namespace canopy::sim {

// Each reads home with `after`, again and again: what it saw must be all there was.
class Tails {
 public:
  Tails(const Scenario& scenario, Schedule& schedule, Workload& workload, Clients& clients, const Model& model,
        const Checker& checker, uint64_t seed);
  void start();
  void stop() { running_ = false; }
  // After a drain: reads on to the end and compares.
  bool has(Entity entity) const { return tails_.contains(entity); }
  Position cursor(Entity entity) const { return tails_.at(entity).cursor; }
  void take(Entity entity, const wire::TimelinePage& page, Instant sent);
  void check(Entity entity, const std::vector<Seen>& home) const;

 private:
  struct Tail {
    Position cursor;
    std::set<MessageId> seen;
    bool truncated = false, asking = false;
  };
  void poll(Entity entity);

  Schedule& schedule_;
  Workload& workload_;
  Clients& clients_;
  const Model& model_;
  const Checker& checker_;
  Random random_;
  bool running_ = false;
  std::map<Entity, Tail> tails_;
};

// Subscriptions at the node that has the entity. Nothing is lost on the way from a node to its
// subscriber here, so `prev` must never show a gap while the node's process lives.
class Feeds {
 public:
  Feeds(const Scenario& scenario, Schedule& schedule, Trace& trace, const Model& model, const Checker& checker,
        uint64_t seed);
  void subscribe(Machine& machine);      // its process has started, or the fabric has formed
  void on_feed(const wire::FeedFrames& frames);
  void on_ended(const Machine& machine);
  uint64_t entries() const { return entries_; }
  uint64_t beats() const { return beats_; }
  uint64_t retractions() const { return retractions_; }

 private:
  struct Feed {
    wire::Timeline timeline = wire::Timeline::home;
    Entity entity = 0;
    size_t machine = SIZE_MAX;           // where it is subscribed
    bool based = false;                  // a frame of this subscription came
    Position last;
    Instant last_at;
    std::map<MessageId, Instant> seen;
    std::set<MessageId> retracted;
  };
  struct Head {
    Position position, prev;
    MessageId id, retracted;
    bool beat = false;
  };
  Head decode(const wire::FeedFrames& frames) const;
  void on_entry(Feed& feed, const Head& head, const std::string& body);
  void on_retraction(Feed& feed, MessageId id);
  bool may_miss(const Feed& feed) const;

  const Scenario& scenario_;
  Schedule& schedule_;
  Trace& trace_;
  const Model& model_;
  const Checker& checker_;
  std::map<std::string, Feed> feeds_;    // by topic
  uint64_t entries_ = 0, beats_ = 0, retractions_ = 0;
};

}  // namespace canopy::sim
