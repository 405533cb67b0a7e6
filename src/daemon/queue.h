// The hand-over between the I/O thread and a shard's thread: one queue each way, and a bell for the one
// who sleeps.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/time.h"

namespace canopy::daemon {

// Wakes one sleeper; any number of threads may ring. Costs a system call only when it sleeps.
//
// The sleeper: doze(), look once more whether there is work, wait on fd(), awake().
// The others: leave the work where the sleeper looks, then ring().
// Both doze() and ring() exchange the same atomic, so one comes first: either the ringer sees a
// sleeper, or the sleeper's second look sees the work.
class Bell {
 public:
  Bell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { ASSERT(fd_ >= 0); }
  ~Bell() { close(fd_); }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  int fd() const { return fd_; }
  void doze() { dozing_.exchange(true, std::memory_order_acq_rel); }
  // REQUIRES: doze() before.
  void awake() {
    if (dozing_.exchange(false, std::memory_order_acq_rel)) return;  // nobody has rung: there is nothing to read
    uint64_t rings = 0;
    [[maybe_unused]] const auto got = read(fd_, &rings, sizeof rings);
  }
  void ring() {
    if (!dozing_.exchange(false, std::memory_order_acq_rel)) return;
    const uint64_t once = 1;
    const auto put = write(fd_, &once, sizeof once);
    ASSERT(put == sizeof once);
  }
  // Waits for a ring, at most `timeout`. For a sleeper with nothing else to wait for.
  void wait(Duration timeout) const {
    pollfd item{fd_, POLLIN, 0};
    const int64_t us = std::clamp<int64_t>(timeout.us, 0, 3'600'000'000);
    const timespec time{us / 1'000'000, us % 1'000'000 * 1000};
    ppoll(&item, 1, &time, nullptr);
  }

 private:
  const int fd_;
  std::atomic<bool> dozing_{false};
};

// Runs of items from one thread to another, in order. A lock, but held only to hand over a whole run, so
// its price is one per run and not per item. (readerwriterqueue was tried: its fences are invisible to
// GCC's thread sanitizer, which then reports each item.)
//
// It has no bound of its own: what the node's core admits is bounded (requests in flight, credit of the
// links), and no more than that can be on its way.
template <class T>
class Queue {
 public:
  // Leaves `run` empty, with room for as many again: growing would move each item several times.
  void put(std::vector<T>& run) {
    if (run.empty()) return;
    std::vector<T> next;
    next.reserve(run.size());
    const std::lock_guard lock(mutex_);
    runs_.push_back(std::move(run));
    run.swap(next);
  }
  // Appends nothing but whole runs. Returns false when there is none. REQUIRES: `runs` is empty.
  bool take(std::vector<std::vector<T>>& runs) {
    ASSERT(runs.empty());
    const std::lock_guard lock(mutex_);
    runs_.swap(runs);
    return !runs.empty();
  }
  bool empty() const {
    const std::lock_guard lock(mutex_);
    return runs_.empty();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::vector<T>> runs_;  // guarded by mutex_; none is empty
};

}  // namespace canopy::daemon
