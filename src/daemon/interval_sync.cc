#include "daemon/interval_sync.h"

#include <pthread.h>

#include <chrono>
#include <utility>

namespace canopy::daemon {

IntervalSync::IntervalSync(const store::LmdbBackend& backend, Duration interval, Failed failed)
    : backend_(backend), interval_(interval), failed_(std::move(failed)), thread_([this] { run(); }) {}

IntervalSync::~IntervalSync() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void IntervalSync::run() {
  pthread_setname_np(pthread_self(), "sync");
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, std::chrono::microseconds(interval_.us), [this] { return end_; })) {
    lock.unlock();
    if (const auto done = backend_.sync(); !done) failed_(done.error().message);
    lock.lock();
  }
}

}  // namespace canopy::daemon
