// A shard with a thread and a store of its own. Everything of the shard, its store's opening too, is
// done by that thread; the others see two queues.
#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "daemon/queue.h"
#include "daemon/settings.h"
#include "shard/seam.h"

namespace canopy::shard {
class Shard;
}
namespace canopy::store {
class LmdbBackend;
}

namespace canopy::daemon {

struct ShardThreadOptions {
  uint32_t number = 0;
  std::string data_dir;    // of the node
  std::string path;        // of its store
  uint64_t map_size = 0;
  uint64_t home_bytes_max = 0;   // of materialised timelines
  Duration active_window;
  leaf::ModeOptions modes;       // of leaves
  Durability durability = Durability::commit;
  Duration sync_interval;        // for Durability::interval
  bool sync_at_start = false;    // what the process before left may not be on the disk
};

// put, take and empty belong to the I/O thread. A commit or a sync that fails for good ends the process. When
// stop() returns, all that was committed is on the disk, in every mode.
class ShardThread {
 public:
  // Starts the thread, which opens the store. `io` is rung when there is something to take; outlives this.
  ShardThread(ShardThreadOptions options, Bell& io);
  ~ShardThread();  // stop()
  ShardThread(const ShardThread&) = delete;
  ShardThread& operator=(const ShardThread&) = delete;

  Result<void> opened();   // waits until the store is open; call once

  void put(std::vector<shard::In>& run) {  // leaves it empty
    in_.put(run);
    bell_.ring();
  }
  bool take(std::vector<std::vector<shard::Out>>& runs) { return out_.take(runs); }
  bool empty() const { return out_.empty(); }

  // Lets the thread do and commit what was put, then ends it. What it gave can still be taken.
  void stop();

  // Since when it has been at one pass; never() when it sleeps. For the watchdog.
  Instant busy_since() const { return {busy_since_us_.load(std::memory_order_relaxed)}; }

 private:
  void run();
  void work(store::LmdbBackend& backend);
  void loop(shard::Shard& shard);
  void sync(const store::LmdbBackend& backend) const;
  [[noreturn]] void sync_failed(const std::string& why) const;

  const ShardThreadOptions options_;
  Bell& io_;
  Bell bell_;
  Queue<shard::In> in_;
  Queue<shard::Out> out_;
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> busy_since_us_{Instant::never().us};
  std::promise<Result<void>> opened_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace canopy::daemon
