#include "sim/sim.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/assert.h"
#include "base/hash.h"
#include "sim/audit.h"

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
      model_(scenario.entities, scenario.settings.bucket_count), checker_(scenario_, model_), clients_(schedule_, trace_, random_.next()),
      workload_(scenario_, schedule_, machines_, clients_, model_, checker_, random_.next()),
      tails_(scenario_, schedule_, workload_, clients_, model_, checker_, random_.next()),
      feeds_(scenario_, schedule_, trace_, model_, random_.next()) {
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
  if (!scenario_.unfollow_all) return;
  workload_.unfollow_all();
  drain("after all unfollowed");
  schedule_.run_until(schedule_.now() + Duration::of_s(2));  // deliveries of leaves that are gone are erased in slices
  judge();
  judge_stores(true);
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
  if (model_.round() == 1) workload_.first_follows();
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

// ---- asking in calm weather

wire::Reply Simulation::ask(const wire::Request& request) {
  for (int tries = 0; tries < 5; ++tries) {
    std::optional<Outcome> outcome;
    clients_.ask(any(), request, [&](const Outcome& o) { outcome = o; });
    while (!outcome) ASSERT(schedule_.step());
    if (outcome->ended == Ended::done) return outcome->reply;
    if (const auto& error = std::get<Error>(outcome->reply); error.code == Code::not_found) return error;
    schedule_.run_until(schedule_.now() + Duration::of_ms(500));
  }
  throw Violation("a healed fabric answers", std::string(wire::verb_of(request)));
}

std::vector<Seen> Simulation::read_all(wire::Timeline timeline, Entity entity, bool& truncated) {
  std::vector<Seen> all;
  wire::Read request;
  request.entities.push_back(model_.name(entity));
  request.timeline = timeline;
  while (true) {
    request.limit = random_.chance(50) ? 1'000 : 1 + static_cast<uint32_t>(random_.below(20));
    const Instant sent = schedule_.now();
    const wire::Reply reply = ask(request);
    const auto& page = std::get<wire::TimelinePage>(std::get<wire::ReadResult>(reply).pages.at(0));
    const auto seen = checker_.check_page(timeline, entity, page, false, sent);
    all.insert(all.end(), seen.begin(), seen.end());
    truncated = page.truncated;
    if (!page.next) return all;
    request.before = *page.next;
  }
}

std::vector<std::string> Simulation::names_all(Entity entity, bool followers, uint64_t& count) {
  std::vector<std::string> names;
  uint64_t after = 0;
  while (true) {
    const uint32_t limit = 1 + static_cast<uint32_t>(random_.below(40));
    const wire::Reply reply = followers ? ask(wire::Followers{model_.name(entity), limit, after})
                                        : ask(wire::Following{model_.name(entity), limit, after});
    const auto& page = std::get<wire::NamesResult>(reply);
    names.insert(names.end(), page.names.begin(), page.names.end());
    count = page.count;
    if (!page.next) return names;
    after = *page.next;
  }
}

// ---- the judgement

void Simulation::judge() {
  for (Entity entity = 0; entity < model_.entities(); ++entity) judge_entity(entity);
  judge_stores(false);
}

void Simulation::judge_entity(Entity entity) {
  bool truncated = false;
  checker_.check_sent(entity, read_all(wire::Timeline::sent, entity, truncated));
  const auto home = read_all(wire::Timeline::home, entity, truncated);
  checker_.check_home(entity, home, truncated);
  ++homes_checked_;
  entries_checked_ += home.size();
  if (tails_.has(entity)) {
    while (true) {
      wire::Read request;
      request.entities.push_back(model_.name(entity));
      request.after = tails_.cursor(entity);
      const Instant sent = schedule_.now();
      const wire::Reply reply = ask(request);
      const auto& page = std::get<wire::TimelinePage>(std::get<wire::ReadResult>(reply).pages.at(0));
      tails_.take(entity, page, sent);
      if (page.entries.empty()) break;
    }
    tails_.check(entity, home);
  }
  uint64_t count = 0;
  const auto following = names_all(entity, false, count);
  checker_.check_names("FOLLOWING equals what was acknowledged", following, count, entity, false);
  judge_tree(entity);
}

void Simulation::judge_tree(Entity author) {
  uint64_t count = 0;
  const auto followers = names_all(author, true, count);
  checker_.check_names("FOLLOWERS equals what was acknowledged", followers, count, author, true);
  std::vector<BucketId> buckets;
  for (const std::string& name : followers) buckets.push_back(bucket_of(name, scenario_.settings.bucket_count));
  std::sort(buckets.begin(), buckets.end());
  buckets.erase(std::unique(buckets.begin(), buckets.end()), buckets.end());
  const wire::Reply reply = ask(wire::Tree{model_.name(author), 0, 0});
  const auto& tree = std::get<wire::TreeResult>(reply);
  checker_.check_tree(author, tree, count, buckets);
  trees_deep_ += tree.levels >= 3;
}

void Simulation::judge_stores(bool nobody_follows) const {
  for (const auto& machine : machines_)
    for (uint32_t shard = 0; shard < scenario_.shards; ++shard) {
      audit_bodies(machine->store(shard), scenario_.settings.bucket_count);
      if (nobody_follows) audit_nobody_follows(machine->store(shard), scenario_.settings.bucket_count);
    }
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
  return t;
}

}  // namespace canopy::sim
