// A simulated machine: one node process (core and shards, as threads that pass messages) and its
// disks, which outlive it. It can end at any point: with inputs queued, between two shards' commits,
// between a commit and what was to leave after it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/random.h"
#include "node/core.h"
#include "shard/shard.h"
#include "sim/scenario.h"
#include "sim/schedule.h"
#include "sim/trace.h"
#include "store/mem_backend.h"
#include "store/store.h"

namespace canopy::sim {

class Machine {
 public:
  // Where the process's packets go.
  struct World {
    std::function<void(size_t from, const std::string& endpoint, std::string bytes)> link;
    std::function<void(size_t machine, uint64_t operation, const wire::ReplyFrames& reply)> answer;
    std::function<void(size_t machine, const wire::FeedFrames& frames)> feed;
    std::function<void(size_t machine)> ended;
  };
  struct Counters {
    uint64_t starts = 0, crashes = 0, crashes_between_commit_and_send = 0, crashes_between_shards = 0;
    uint64_t commits_failed = 0, batches_aborted = 0, cycles = 0, checkpoints = 0, outs_lost = 0;
    bucket::Bucket::Counters buckets;
    uint64_t forwards = 0, forwards_repeated = 0, frames_timed_out = 0, sessions_ended = 0, late_answers = 0;
    uint64_t relayed = 0, feed_frames = 0, letters_cut = 0;
  };

  Machine(size_t index, const Scenario& scenario, Schedule& schedule, Trace& trace, World world, uint64_t seed);

  // ---- the process
  bool up() const { return node_ != nullptr; }
  bool ready() const { return up() && node_->ready(); }
  void start();                       // REQUIRES: !up()
  void crash(const char* why);        // no effect when it is down

  // ---- packets for it; lost when it is down
  void on_link(const std::string& bytes);
  void on_client(uint64_t operation, wire::RequestFrames frames);
  void on_feed_subscription(std::string topic, bool on);

  // ---- faults
  void crash_after_next_commit() { crash_after_commit_ = true; }
  void fail_next_commit(uint32_t shard, bool durable) { side(shard).disk.fail_commits(1, Code::internal, durable); }
  void refuse_commits(uint32_t shard, int count) { side(shard).disk.fail_commits(count, Code::busy); }
  void fill_disk(uint32_t shard, uint64_t bytes_left);
  void heal_disk(uint32_t shard);
  void heal_disks();
  void turn(shard::Turn turn);        // if the bucket is here
  void stall(Duration for_so_long) { stalled_until_ = schedule_.now() + for_so_long; }

  // ---- what a checker may look at
  size_t index() const { return index_; }
  const bucket::Bucket* find(BucketId bucket) const;   // null: not here, or down
  const store::Store* store_of(BucketId bucket) const;
  const store::Store& store(uint32_t shard) const { return *side(shard).store; }
  // Returns what is still owed or waited for, "" for nothing.
  std::string not_drained() const;
  Counters counters() const;           // of all its processes

 private:
  struct Side {                        // a shard's thread and disk
    store::MemBackend disk;
    std::unique_ptr<store::Store> store;
    std::unique_ptr<shard::Shard> shard;
    std::deque<shard::In> inbox;
    Instant turn_at = Instant::never();
    bool syncing = false;              // a commit is on its way to the disk; its outs wait
    size_t outs_waiting = 0;
    uint64_t aborted = 0;              // as last reported by this process
  };
  struct FromClient {
    uint64_t operation;
    wire::RequestFrames frames;
  };
  struct Subscription {
    std::string topic;
    bool on;
  };
  struct FromShard {
    uint32_t shard;
    shard::Out out;
  };
  using Input = std::variant<std::string, FromClient, Subscription, FromShard>;

  Side& side(uint32_t shard) { return *sides_[shard]; }
  const Side& side(uint32_t shard) const { return *sides_[shard]; }
  Now local() const;
  Instant global(Instant instant) const { return instant == Instant::never() ? instant : Instant{instant.us - offset_us_}; }
  void input(Input in);
  void wake_core(Instant at);
  void wake_shard(uint32_t shard, Instant at);
  void core_turn();
  void shard_turn(uint32_t shard);
  void release(uint32_t shard, std::vector<shard::Out> outs);
  void take(Input& in);
  void carry_out();
  void look_at(const shard::Out& out, Side& side);
  void count_process();

  const size_t index_;
  const Scenario& scenario_;
  Schedule& schedule_;
  Trace& trace_;
  World world_;
  Random random_;
  int64_t offset_us_;                  // of its clock since boot
  int64_t skew_ms_ = 0;                // of its wall clock

  store::MemBackend control_;
  std::vector<std::unique_ptr<Side>> sides_;
  std::unique_ptr<node::Node> node_;
  uint64_t process_ = 0;               // counts starts: what was scheduled for an earlier one is void
  std::deque<Input> inputs_;
  node::Output out_;
  Instant core_at_ = Instant::never();
  Instant stalled_until_;
  bool crash_after_commit_ = false;
  Counters counters_;
};

}  // namespace canopy::sim
