// A shard: a thread's buckets and their store. Pure but for the store behind it; the daemon gives it
// a thread, the simulator calls it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "bucket/bucket.h"
#include "shard/seam.h"
#include "store/store.h"

namespace canopy::shard {

struct ShardOptions {
  std::string name;                      // for reports: "shard-0"
  size_t cycle_events_max = 10'000;      // of one cycle
  size_t cycle_bytes_max = 8u << 20;     // of writes and answers, about
  // The quantum of a cycle, in timelines that deliveries write to: some milliseconds. What goes behind (large letters,
  // retractions) has one each, of the same size, smaller beside ordinary work. A leaf is not cut in two.
  uint64_t cycle_timelines_max = 250'000;
  size_t home_bytes_max = size_t{2} << 30;  // of materialised timelines, shared evenly by the buckets
  Duration active_window = Duration::of_s(24 * 3600);
  leaf::ModeOptions modes;                // of all leaves
};

class Shard {
 public:
  // REQUIRES: `store` outlives the shard and is used by it alone.
  Shard(store::Store& store, ShardOptions options);
  ~Shard();

  void push(In in);               // queues; takes effect in the next cycle
  size_t queued() const;
  uint64_t letters_cut() const;   // stream letters that went on in a later cycle

  // One pass: steps everything queued (within the bounds), commits, and appends to `out` what may
  // leave now. Returns an error only when the process must end (commit failed for good).
  Result<void> cycle(Now now, std::vector<Out>& out);

  // When cycle() wants to be called again though nothing arrives; never() when not.
  Instant next_deadline() const;

  // Invariants of the buckets that the last cycle stepped (the others are as they were), or of all. For the simulator.
  void check(bool all = false) const;
  const bucket::Bucket* find(BucketId bucket) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace canopy::shard
