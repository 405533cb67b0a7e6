// What clients do at random: publish, follow, unfollow, read, at any node, and what they are told
// goes into the model and past the checker.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/random.h"
#include "sim/checker.h"
#include "sim/clients.h"

namespace canopy::sim {

class Workload {
 public:
  using Machines = std::vector<std::unique_ptr<Machine>>;
  Workload(const Scenario& scenario, Schedule& schedule, Machines& machines, Clients& clients, Model& model,
           Checker& checker, uint64_t seed)
      : scenario_(scenario), schedule_(schedule), machines_(machines), clients_(clients), model_(model),
        checker_(checker), random_(seed), graph_random_(Random(seed ^ 0x6a4f).next()),
        overlap_random_(Random(seed ^ 0x04e1).next()) {}

  void first_follows();
  void start();   // operations come until stop()
  void stop() { running_ = false; }
  void unfollow_all();

  Machine& any_machine();
  void read(Entity entity) { read(entity, random_.chance(70) ? wire::Timeline::home : wire::Timeline::sent, random_); }

  // ---- the message graph: graph.cc
  void first_graph();             // follows of topics, the teams' forwards
  struct GraphCounters {
    uint64_t retracted = 0, refused_to_others = 0, marked = 0, threads = 0, retained = 0, forwards = 0, aliases = 0,
             aliases_refused = 0, deleted = 0, backfilled = 0, by_alias = 0;
  };
  const GraphCounters& graph_counters() const { return graph_counters_; }

 private:
  void next();
  void operation();
  void publish(Entity author, bool with_key);
  void try_publish(size_t publish, int tries_left, std::function<void()> then = nullptr);
  void publish_batch();
  void follow(Entity follower, Entity author, std::function<void(bool active)> then = nullptr, bool wait = true,
              uint32_t backfill = 0);
  void follow_batch();
  void unfollow(Entity follower, Entity author, std::function<void()> then = nullptr);
  void unfollow_batch(const std::vector<std::pair<Entity, Entity>>& pairs);
  void follow_again();
  void read(Entity entity, wire::Timeline timeline, Random& random);
  void get();
  void names();
  void tree();
  Entity any_entity() { return static_cast<Entity>(random_.below(model_.people())); }
  Entity any_author();
  std::pair<Entity, Entity> any_pair(Pair::State wanted);

  const Scenario& scenario_;
  Schedule& schedule_;
  Machines& machines_;
  Clients& clients_;
  Model& model_;
  Checker& checker_;
  Random random_;
  bool running_ = false;

  // graph.cc
  void next_graph();
  void graph_operation();
  void dress(size_t publish);     // gives it mentions, topics, …
  std::vector<Named> some_names(uint64_t most, bool topics);
  wire::Message message_of(size_t publish);
  std::string name_of(Entity entity);   // perhaps an alias
  Entity any_topic();
  Entity any_team() { return static_cast<Entity>(graph_random_.below(scenario_.teams)); }
  Entity any_listed();
  void publish_and_retract();
  void retract(size_t publish, int tries_left);
  void retract_anothers();
  void read_list();
  void mark();
  void thread();
  void follow_topic();
  void follow_with_backfill();
  void retain();
  void forward(Entity from, Entity to, bool off);
  void claim_alias();
  void try_alias(size_t alias, Entity entity, int tries_left);
  void claim_used_name();
  void erase(Entity entity, int tries_left);

  // overlap.cc
  void next_overlap();
  void overlap();
  void read_home(Entity entity, Machine& machine);

  Random graph_random_, overlap_random_;
  std::vector<size_t> recent_;    // publishes that were acknowledged
  GraphCounters graph_counters_;
};

}  // namespace canopy::sim
