#include "sim/sim.h"

#include <algorithm>

#include "base/assert.h"

namespace canopy::sim {
namespace {

constexpr Duration birth_max = Duration::of_s(60);
constexpr Duration drain_max = Duration::of_s(90);
// What is late on the network, at most, and what a stopped process needs to come back.
constexpr Duration settle_time = Duration::of_s(4);

}  // namespace

Simulation::Simulation(const Scenario& scenario, std::FILE* live_trace)
    : scenario_(scenario), random_(scenario.seed ^ 0x5eed),
      network_(schedule_, trace_, random_.next(), [this](size_t to, const std::string& bytes) { machines_[to]->on_link(bytes); }),
      model_(scenario.entities, scenario.features.any() ? scenario.topics : 0, scenario.features.alias ? 8 : 0,
             scenario.settings.bucket_count),
      checker_(scenario_, model_), clients_(schedule_, trace_, random_.next()),
      workload_(scenario_, schedule_, machines_, clients_, model_, checker_, random_.next()),
      tails_(scenario_, schedule_, workload_, clients_, model_, checker_, random_.next()),
      feeds_(scenario_, schedule_, trace_, model_, checker_, random_.next()) {
  model_.retention(wire::Timeline::sent, scenario_.settings.sent);
  model_.retention(wire::Timeline::mentions, scenario_.settings.mentions);
  model_.retention(wire::Timeline::replies, scenario_.settings.replies);
  model_.retention(wire::Timeline::topic, scenario_.settings.topic);
  if (live_trace) trace_.print_all_to(live_trace);
  Machine::World world;
  world.link = [this](size_t from, const std::string& endpoint, std::string bytes) { network_.send(from, endpoint, std::move(bytes)); };
  world.answer = [this](size_t machine, uint64_t operation, const wire::ReplyFrames& reply) { clients_.on_answer(machine, operation, reply); };
  world.feed = [this](size_t, const wire::FeedFrames& frames) { feeds_.on_feed(frames); };
  world.ended = [this](size_t machine) { on_ended(machine); };
  for (size_t i = 0; i < scenario_.nodes; ++i)
    machines_.push_back(std::make_unique<Machine>(i, scenario_, schedule_, trace_, world, random_.next()));
}

void Simulation::run() {
  birth();
  for (uint32_t i = 0; i < scenario_.rounds; ++i) round();
  judge();
  if (scenario_.unfollow_all) {
    workload_.unfollow_all();
    drain("after all unfollowed");
    schedule_.run_until(schedule_.now() + Duration::of_s(2));  // deliveries of leaves that are gone are erased in slices
    judge();
    judge_stores(true);
  }
  if (!scenario_.erase_all) return;
  for (Entity entity = 0; entity < model_.entities(); ++entity) {
    const Instant sent = schedule_.now();
    model_.begin_delete(entity, sent);
    ask(wire::Delete{model_.name(entity)});
    model_.end_delete(entity, Ended::done, sent, schedule_.now());
  }
  drain("after all were deleted");
  judge_nothing_left();
}

void Simulation::wait_until(const char* rule, Duration at_most, const std::function<std::string()>& why_not) {
  const Instant end = schedule_.now() + at_most;
  std::string why = why_not();
  for (; !why.empty() && schedule_.now() < end; why = why_not()) schedule_.run_until(schedule_.now() + Duration::of_ms(100));
  if (!why.empty()) throw Violation(rule, why);
}

void Simulation::birth() {
  for (auto& machine : machines_)
    schedule_.after(between_ms(0, 300), [m = machine.get()] { m->start(); });
  schedule_.run_until(Instant{301'000});
  if (scenario_.faults_at_birth) {
    start_faults();
    schedule_.run_until(schedule_.now() + Duration::of_s(2));
    stop_faults();
  }
  wait_until("a fabric forms", birth_max, [&]() -> std::string {
    for (const auto& machine : machines_)
      if (!machine->ready()) return "node " + std::to_string(machine->index()) + " is not ready";
    return "";
  });
  schedule_.run_until(schedule_.now() + Duration::of_ms(50));
  for (auto& machine : machines_) feeds_.subscribe(*machine);
}

void Simulation::round() {
  trace_.add(schedule_.now(), "faults begin", model_.round());
  start_faults();
  if (model_.round() == 1) workload_.first_follows(), workload_.first_graph();
  workload_.start();
  tails_.start();
  schedule_.run_until(schedule_.now() + scenario_.faults);
  workload_.stop();
  tails_.stop();
  stop_faults();
  trace_.add(schedule_.now(), "faults end", model_.round());
  drain("after the faults");
}

void Simulation::drain(const char* when) {
  const Instant settled = schedule_.now() + settle_time;
  wait_until("after the heal everything drains", drain_max, [&]() -> std::string {
    if (schedule_.now() < settled) return "too early";
    if (clients_.open() > 0) return std::string(when) + ": requests without an answer";
    for (const auto& machine : machines_)
      if (std::string why = machine->not_drained(); !why.empty()) return std::string(when) + ": " + why;
    return "";
  });
  trace_.add(schedule_.now(), "drained", model_.round());
  model_.drained(schedule_.now());
}

Totals Simulation::totals() const {
  Totals t;
  t.runs = 1;
  t.events = trace_.lines();
  for (const auto& machine : machines_) {
    Totals one;
    one.machines = machine->counters();
    t.add(one);
  }
  t.network = network_.counters();
  t.clients = clients_.counters();
  t.publishes = model_.publishes().size();
  t.homes_checked = homes_checked_;
  t.entries_checked = entries_checked_;
  t.feed_entries = feeds_.entries();
  t.feed_beats = feeds_.beats();
  t.trees_deep = trees_deep_;
  t.lists_checked = lists_checked_;
  t.threads_checked = threads_checked_;
  t.markers_checked = markers_checked_;
  t.feed_retractions = feeds_.retractions();
  t.graph = workload_.graph_counters();
  return t;
}

}  // namespace canopy::sim
