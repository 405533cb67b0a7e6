// What a seed means: the fabric, its limits, the workload and the faults of one run.
#pragma once

#include <cstdint>
#include <string>

#include "base/random.h"
#include "base/time.h"
#include "leaf/modes.h"
#include "map/map.h"

namespace canopy::sim {

struct LinkFaults {
  uint32_t drop_percent = 0, repeat_percent = 0;
  uint32_t late_percent = 0;               // frames that take up to `late_max`
  Duration delay_max = Duration::of_ms(2), late_max = Duration::of_ms(500);
};

// What of the message graph a run uses, beside publishing and following.
struct Features {
  bool lists = false;                      // mentions, topics, reply_to, to
  bool retract = false, thread = false, mark = false, backfill = false, retention = false;
  bool forward = false, alias = false, erase = false;
  bool any() const { return lists || retract || thread || mark || backfill || retention || forward || alias || erase; }
};

// What the program can do so far.
constexpr Features supported{.lists = true, .retract = true, .thread = true, .mark = true, .backfill = true, .retention = true,
                             .forward = true, .alias = true, .erase = true};
// Retractions that fall out of a short stream list are not made up for, and loops of forwards are longer than its memory.
constexpr bool short_streams = true;

struct Scenario {
  uint64_t seed = 0;
  Features features;                       // drawn from a stream of their own: the rest of a seed stays what it was
  uint32_t topics = 0, teams = 0;          // entities that are only topics; those that forward to each other
  uint32_t graph_operations_per_second = 0;
  uint32_t nodes = 3, shards = 1;
  map::FabricSettings settings;
  uint32_t entities = 30, follows_each = 4, celebrities = 2;
  uint32_t rounds = 2;                     // of faults, each with its healing
  Duration faults = Duration::of_s(6);     // how long each
  uint32_t operations_per_second = 40;
  uint32_t tails = 4, feeds = 4;           // long polls that never end; live feeds

  LinkFaults links;
  bool faults_at_birth = false;            // the fabric forms under faults
  // Mean times between faults of one kind; 0: none.
  Duration crash_every, cut_every, stall_every, disk_every;
  uint32_t late_answers_percent = 0;       // a client gives up before the answer

  // Of stores, buckets and shards.
  size_t overlay_bytes_max = 64u << 10, journal_bytes_max = 256u << 10, slice_bytes = 16u << 10;
  uint32_t checkpoint_percent = 5;         // chance of one after a cycle
  size_t cycle_timelines_max = 2'000'000;           // of a shard
  size_t home_bytes_max = size_t{1} << 30;           // of a shard
  Duration active_window = Duration::of_s(3600);
  leaf::ModeOptions modes;
  Duration turn_every;                     // mean time between leaves that become lazy, or are it no longer; 0: none
  bool exact_reads = false;                // every leaf is lazy and stays so: a READ has all that was answered before it
  Duration overlap_every;                  // mean time between READs of one home that overlap with publishes; 0: none
  bool unfollow_all = false;               // at the end everybody unfollows everybody
  bool erase_all = false;                  // at the very end every entity is deleted

  // Leaves may become lazy, and then may not have fetched what was published long ago.
  bool lazy() const { return modes.forced == leaf::Mode::lazy || turn_every.us > 0 || (!modes.forced && modes.shuffle == 0); }
  bool calm() const { return crash_every.us + cut_every.us + stall_every.us + disk_every.us == 0 && links.drop_percent + links.late_percent == 0; }
  // What a home may lack without fault.
  bool trims_deliveries() const { return settings.deliveries_max < 1u << 20; }
  // An exact READ shows all that it must: nothing may have fallen out of it.
  bool judges_reads() const {
    return exact_reads && settings.capacity >= 800 && settings.stream_retention >= 10'000 && !trims_deliveries();
  }
  // No timeline that somebody tails is dropped for want of room: a live feed has no gaps.
  bool keeps_tailed_homes() const { return home_bytes_max >= 1u << 20; }
};

Scenario scenario_of(uint64_t seed);
std::string describe(const Scenario& scenario);

}  // namespace canopy::sim
