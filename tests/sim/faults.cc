// What goes wrong in a run, and when.
#include "base/hash.h"
#include "sim/sim.h"

namespace canopy::sim {

void Simulation::start_faults() {
  faults_ = true;
  ++fault_period_;
  network_.set_faults(scenario_.links);
  clients_.give_up_percent(scenario_.late_answers_percent);
  fault_now_and_then(scenario_.crash_every, &Simulation::crash_one);
  fault_now_and_then(scenario_.cut_every, &Simulation::cut_one);
  fault_now_and_then(scenario_.stall_every, &Simulation::stall_one);
  fault_now_and_then(scenario_.disk_every, &Simulation::disk_one);
  fault_now_and_then(scenario_.turn_every, &Simulation::turn_one);
}

void Simulation::stop_faults() {
  faults_ = false;
  network_.heal();
  clients_.give_up_percent(0);
  for (auto& machine : machines_) machine->heal_disks();
}

void Simulation::fault_now_and_then(Duration every, void (Simulation::*fault)()) {
  if (every == Duration{}) return;
  const Duration wait{static_cast<int64_t>(random_.below(static_cast<uint64_t>(2 * every.us)))};
  schedule_.after(wait, [this, every, fault, period = fault_period_] {
    if (!faults_ || period != fault_period_) return;
    (this->*fault)();
    fault_now_and_then(every, fault);
  });
}

void Simulation::crash_one() {
  Machine& machine = any();
  const uint64_t how = random_.below(100);
  if (how < 35) machine.crash("crash");
  else if (how < 75) machine.crash_after_next_commit();
  else machine.fail_next_commit(static_cast<uint32_t>(random_.below(scenario_.shards)), random_.chance(50));
}

void Simulation::on_ended(size_t index) {
  clients_.on_ended(index);
  network_.forget(index);
  feeds_.on_ended(*machines_[index]);
  schedule_.after(between_ms(20, random_.chance(20) ? 4'000 : 800), [this, index] {
    machines_[index]->start();
    feeds_.subscribe(*machines_[index]);
  });
}

// One way, both ways, or a whole node.
void Simulation::cut_one() {
  if (machines_.size() < 2) return;
  const size_t one = random_.below(machines_.size());
  const size_t other = (one + 1 + random_.below(machines_.size() - 1)) % machines_.size();
  const bool hold = random_.chance(50), both = random_.chance(40), alone = random_.chance(30);
  std::vector<std::pair<size_t, size_t>> ways;
  for (size_t to = 0; to < machines_.size(); ++to) {
    if (to == one || (!alone && to != other)) continue;
    ways.emplace_back(one, to);
    if (both) ways.emplace_back(to, one);
  }
  trace_.add(schedule_.now(), "cut", one, alone ? SIZE_MAX : other, both);
  for (const auto& [from, to] : ways) network_.cut(from, to, hold);
  schedule_.after(between_ms(50, random_.chance(30) ? 6'000 : 1'000), [this, ways] {
    for (const auto& [from, to] : ways) network_.open(from, to);
  });
}

void Simulation::stall_one() {
  Machine& machine = any();
  trace_.add(schedule_.now(), "stall", machine.index());
  machine.stall(between_ms(20, random_.chance(10) ? 4'000 : 600));
}

// No fault, but it goes wrong with them.
void Simulation::turn_one() {
  const auto name = [&] { return model_.name(static_cast<Entity>(random_.below(model_.entities()))); };
  const BucketId bucket = bucket_of(name(), scenario_.settings.bucket_count);
  const auto mode = static_cast<leaf::Mode>(random_.chance(60) ? 2 : random_.below(2));
  const std::string reflector = name();
  for (auto& machine : machines_) machine->turn({bucket, reflector, mode});
}

void Simulation::disk_one() {
  Machine& machine = any();
  const auto shard = static_cast<uint32_t>(random_.below(scenario_.shards));
  trace_.add(schedule_.now(), "disk", machine.index(), shard);
  if (random_.chance(60)) machine.refuse_commits(shard, 1 + static_cast<int>(random_.below(4)));
  else machine.fill_disk(shard, random_.below(4'000));
  schedule_.after(between_ms(50, 1'500), [&machine, shard] {
    machine.heal_disk(shard);
  });
}

}  // namespace canopy::sim
