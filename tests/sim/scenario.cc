#include "sim/scenario.h"

#include <algorithm>

namespace canopy::sim {
namespace {

uint32_t between(Random& random, uint32_t least, uint32_t most) {
  return least + static_cast<uint32_t>(random.below(most - least + 1));
}

Duration ms_between(Random& random, uint32_t least, uint32_t most) { return Duration::of_ms(between(random, least, most)); }

void choose_fabric(Random& random, Scenario& s) {
  s.nodes = random.chance(12) ? 1 : between(random, 2, 4);
  s.shards = between(random, 1, 2);
  s.settings.name = "sim";
  s.settings.bucket_count = 8u << random.below(3);
  s.settings.fanout = between(random, 2, 4);
  s.settings.capacity = random.chance(40) ? between(random, 5, 20) : 800;
  s.settings.stream_retention = random.chance(20) ? between(random, 3, 12) : 10'000;
  if (random.chance(15)) s.settings.deliveries_max = between(random, 30, 120) * 64;
  if (random.chance(20)) s.home_bytes_max = s.settings.bucket_count * between(random, 200, 3'000);
  if (random.chance(20)) s.active_window = ms_between(random, 300, 3'000);
}

void choose_faults(Random& random, Scenario& s) {
  if (random.chance(6)) return;  // nothing ever fails
  if (random.chance(70)) {
    s.links.drop_percent = between(random, 0, 15);
    s.links.repeat_percent = between(random, 0, 15);
    s.links.late_percent = between(random, 0, 20);
    s.links.delay_max = ms_between(random, 1, 60);
    s.links.late_max = ms_between(random, 20, 1'500);
  }
  if (random.chance(65)) s.crash_every = ms_between(random, 400, 4'000);
  if (random.chance(60)) s.cut_every = ms_between(random, 400, 4'000);
  if (random.chance(40)) s.stall_every = ms_between(random, 300, 3'000);
  if (random.chance(45)) s.disk_every = ms_between(random, 200, 2'500);
  if (random.chance(40)) s.late_answers_percent = between(random, 1, 8);
  s.faults_at_birth = random.chance(25);
}

void choose_graph(Random& random, Scenario& s) {
  const auto draw = [&](bool can, uint64_t percent) { const bool wanted = random.chance(percent); return can && wanted; };
  const bool plain = random.chance(15);
  Features& f = s.features;
  f.lists = draw(supported.lists, 85);
  f.retract = draw(supported.retract, 65);
  f.thread = draw(supported.thread, 50) && f.lists;
  f.mark = draw(supported.mark, 40);
  f.backfill = draw(supported.backfill, 45);
  f.retention = draw(supported.retention, 35);
  f.forward = draw(supported.forward, 45);
  f.alias = draw(supported.alias, 40);
  f.erase = draw(supported.erase, 35);
  s.topics = between(random, 2, 4);
  s.teams = between(random, 3, 5);
  s.graph_operations_per_second = between(random, 5, 30);
  const uint32_t max_hops = random.chance(35) ? between(random, 1, 4) : 16;
  const bool erase_all = random.chance(50);
  if (plain) f = {};
  s.erase_all = f.erase && erase_all;
  if (f.forward) s.settings.max_hops = max_hops;
  if (!short_streams && (f.retract || f.erase || f.forward)) s.settings.stream_retention = 10'000;
  if (!f.retention) return;
  const auto bound = [&](Retention& retention) {
    if (random.chance(50)) retention.count = between(random, 3, 25);
    if (random.chance(20)) retention.age_s = between(random, 2, 25);
  };
  bound(s.settings.mentions), bound(s.settings.replies), bound(s.settings.topic);
  if (random.chance(40)) bound(s.settings.sent);
}

}  // namespace

// Leaves choose their modes by what they see; often, and so that they choose differently.
void choose_costs(Random& random, leaf::ModeOptions& modes) {
  modes.look_every = 1 << (9 + random.below(4));
  modes.costs.append = static_cast<uint32_t>(between(random, 1, 400));
  modes.costs.look = modes.costs.merge = static_cast<uint32_t>(between(random, 1, 200));
  modes.costs.fetch = static_cast<uint32_t>(between(random, 1, 2'000));
}

// A fetch is on its way long enough for a publish and another READ to come meanwhile.
void choose_overlaps(Random& random, Scenario& s) {
  s.overlap_every = ms_between(random, 40, 120);
  s.links.delay_max = std::max(s.links.delay_max, ms_between(random, 5, 60));
}

Scenario scenario_of(uint64_t seed) {
  Random random(Random(seed).next());  // else neighbours would draw the same numbers, one place later
  Scenario s;
  s.seed = seed;
  choose_fabric(random, s);
  s.entities = between(random, 20, 60);
  s.follows_each = between(random, 1, 6);
  s.celebrities = between(random, 0, 3);
  s.rounds = between(random, 1, 3);
  s.faults = ms_between(random, 2'000, 5'000);
  s.operations_per_second = between(random, 15, 70);
  s.tails = between(random, 0, 5);
  s.feeds = between(random, 0, 6);
  if (random.chance(3)) {  // a few are long
    s.rounds = between(random, 3, 5);
    s.faults = ms_between(random, 8'000, 20'000);
  }
  choose_faults(random, s);
  s.overlay_bytes_max = between(random, 1, 64) << 10;
  s.journal_bytes_max = between(random, 16, 256) << 10;
  s.slice_bytes = between(random, 1, 16) << 10;
  s.checkpoint_percent = random.chance(50) ? between(random, 1, 20) : 0;
  s.unfollow_all = random.chance(25);
  Random graph(Random(seed ^ 0x6a4f'0000'0000'0000).next());
  choose_graph(graph, s);
  Random deliveries(Random(seed ^ 0xde11'0000'0000'0000).next());
  if (deliveries.chance(30)) s.cycle_timelines_max = between(deliveries, 1, 6);
  Random modes(Random(seed ^ 0x30de'0000'0000'0000).next());
  if (modes.chance(20)) s.modes.forced = leaf::Mode::merge;
  else if (modes.chance(45)) s.modes.shuffle = modes.next() | 1;
  else choose_costs(modes, s.modes);
  Random lazy(Random(seed ^ 0x1a2e'0000'0000'0000).next());
  if (lazy.chance(18)) {
    s.modes.forced = leaf::Mode::lazy;
    s.modes.shuffle = 0;
    s.exact_reads = lazy.chance(40);
  } else if (lazy.chance(25)) {
    s.turn_every = ms_between(lazy, 3, 60);
  }
  if (s.exact_reads) s.tails = s.feeds = 0;  // who tails a home has letters sent to its leaves
  Random overlaps(Random(seed ^ 0x04e1'0000'0000'0000).next());
  if (s.judges_reads() && overlaps.chance(60)) choose_overlaps(overlaps, s);
  return s;
}

std::string describe(const Scenario& s) {
  const auto number = [](const char* name, uint64_t v) { return std::string(" ") + name + "=" + std::to_string(v); };
  const auto ms = [&](const char* name, Duration d) { return number(name, static_cast<uint64_t>(d.ms())); };
  const auto kept = [&](const char* name, const Retention& r) {
    return r.count + r.age_s == 0 ? "" : number(name, r.count) + "/" + std::to_string(r.age_s) + "s";
  };
  std::string graph;
  const auto feature = [&](bool on, const char* name) { if (on) graph += (graph.empty() ? " graph=" : ",") + std::string(name); };
  const Features& f = s.features;
  feature(f.lists, "lists"), feature(f.retract, "retract"), feature(f.thread, "thread"), feature(f.mark, "mark");
  feature(f.backfill, "backfill"), feature(f.retention, "retention"), feature(f.forward, "forward");
  feature(f.alias, "alias"), feature(f.erase, "delete");
  if (f.forward) graph += number("max_hops", s.settings.max_hops);
  if (f.retention)
    graph += kept("mentions", s.settings.mentions) + kept("replies", s.settings.replies) + kept("topic", s.settings.topic) +
             kept("sent", s.settings.sent);
  return "nodes=" + std::to_string(s.nodes) + number("shards", s.shards) + number("buckets", s.settings.bucket_count) +
         number("fanout", s.settings.fanout) + number("capacity", s.settings.capacity) +
         number("retention", s.settings.stream_retention) + number("deliveries_max", s.settings.deliveries_max) +
         number("home_bytes_max", s.home_bytes_max) + number("cycle_timelines_max", s.cycle_timelines_max) + number("entities", s.entities) + number("rounds", s.rounds) +
         ms("faults_ms", s.faults) + number("operations_s", s.operations_per_second) + number("tails", s.tails) +
         number("feeds", s.feeds) + number("drop", s.links.drop_percent) + number("repeat", s.links.repeat_percent) +
         number("late", s.links.late_percent) + ms("crash_ms", s.crash_every) + ms("cut_ms", s.cut_every) +
         ms("stall_ms", s.stall_every) + ms("disk_ms", s.disk_every) + number("birth_faults", s.faults_at_birth) +
         " mode=" + (s.modes.shuffle != 0 ? "shuffled" : std::string(s.modes.forced ? leaf::mode_name(*s.modes.forced) : "auto")) + (s.exact_reads ? " exact_reads" : "") +
         ms("overlap_ms", s.overlap_every) + ms("turn_ms", s.turn_every) + graph;
}

}  // namespace canopy::sim
