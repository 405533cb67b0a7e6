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
        checker_(checker), random_(seed) {}

  void first_follows();
  void start();   // operations come until stop()
  void stop() { running_ = false; }
  void unfollow_all();

  Machine& any_machine();
  void read(Entity entity);

 private:
  void next();
  void operation();
  void publish(Entity author, bool with_key);
  void try_publish(size_t publish, int tries_left);
  void publish_batch();
  void follow(Entity follower, Entity author, std::function<void(bool active)> then = nullptr, bool wait = true);
  void follow_batch();
  void unfollow(Entity follower, Entity author, std::function<void()> then = nullptr);
  void unfollow_batch(const std::vector<std::pair<Entity, Entity>>& pairs);
  void follow_again();
  void get();
  void names();
  void tree();
  Entity any_entity() { return static_cast<Entity>(random_.below(model_.entities())); }
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
};

}  // namespace canopy::sim
