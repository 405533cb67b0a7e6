// Syncs a store that is written without syncs, at intervals, beside the thread that writes it.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/time.h"
#include "store/lmdb_backend.h"

namespace canopy::daemon {

// A thread of its own, because an fsync takes as long as the disk has work, and commits go on meanwhile.
class IntervalSync {
 public:
  using Failed = std::function<void(const std::string& why)>;
  // `failed` is called on the thread and ends the process. `backend` outlives this.
  IntervalSync(const store::LmdbBackend& backend, Duration interval, Failed failed);
  ~IntervalSync();  // without a last sync
  IntervalSync(const IntervalSync&) = delete;
  IntervalSync& operator=(const IntervalSync&) = delete;

 private:
  void run();

  const store::LmdbBackend& backend_;
  const Duration interval_;
  const Failed failed_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;  // guarded by mutex_
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace canopy::daemon
