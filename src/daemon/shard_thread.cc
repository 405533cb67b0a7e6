#include "daemon/shard_thread.h"

#include <pthread.h>
#include <unistd.h>

#include <exception>
#include <memory>
#include <vector>

#include "daemon/clock.h"
#include "daemon/interval_sync.h"
#include "daemon/log.h"
#include "daemon/unsynced.h"
#include "shard/shard.h"
#include "store/lmdb_backend.h"
#include "store/store.h"

namespace canopy::daemon {
namespace {

constexpr Duration sleep_max = Duration::of_s(3600);

// What the machine did cannot be made good here: a restart reads what is durable.
[[noreturn]] void end_process(uint32_t shard, const std::string& why) {
  log::err("shard={} the process ends: {}", shard, why);
  _exit(1);
}

}  // namespace

ShardThread::ShardThread(ShardThreadOptions options, Bell& io)
    : options_(std::move(options)), io_(io), thread_([this] { run(); }) {}

ShardThread::~ShardThread() { stop(); }

Result<void> ShardThread::opened() { return opened_.get_future().get(); }

void ShardThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  bell_.ring();
  thread_.join();
}

void ShardThread::run() {
  const std::string name = "shard-" + std::to_string(options_.number);
  pthread_setname_np(pthread_self(), name.c_str());
  try {
    const auto sync = options_.durability == Durability::commit ? store::Sync::every_commit : store::Sync::on_demand;
    auto backend = store::LmdbBackend::open({options_.path, options_.map_size, sync});
    if (!backend) return opened_.set_value(tl::unexpected<Error>(std::move(backend.error())));
    work(**backend);
  } catch (const std::exception& error) {
    end_process(options_.number, error.what());
  }
}

void ShardThread::work(store::LmdbBackend& backend) {
  if (options_.sync_at_start) sync(backend);
  auto store = store::Store::open(backend, {});
  if (!store) return opened_.set_value(tl::unexpected<Error>(std::move(store.error())));
  shard::ShardOptions options;
  options.name = "shard-" + std::to_string(options_.number);
  options.home_bytes_max = options_.home_bytes_max;
  options.active_window = options_.active_window;
  options.modes = options_.modes;
  shard::Shard shard(**store, options);
  opened_.set_value({});
  if (options_.durability == Durability::interval) {
    const IntervalSync beside(backend, options_.sync_interval, [this](const std::string& why) { sync_failed(why); });
    loop(shard);
  } else {
    loop(shard);
  }
  if (options_.durability != Durability::commit) sync(backend);
}

void ShardThread::sync(const store::LmdbBackend& backend) const {
  if (const auto done = backend.sync(); !done) sync_failed(done.error().message);
}

// The kernel may have dropped what it could not write, and would call the next sync a success.
void ShardThread::sync_failed(const std::string& why) const {
  distrust(options_.data_dir);
  end_process(options_.number, why);
}

void ShardThread::loop(shard::Shard& shard) {
  std::vector<shard::Out> outs;
  std::vector<std::vector<shard::In>> runs;
  while (true) {
    const bool stopping = stopping_.load(std::memory_order_acquire);
    busy_since_us_.store(instant_now().us, std::memory_order_relaxed);
    in_.take(runs);
    for (auto& run : runs)
      for (shard::In& in : run) shard.push(std::move(in));  // the cycle is bounded, not the inbox
    runs.clear();
    const Now at = now();
    if (shard.queued() > 0 || at.instant >= shard.next_deadline()) {
      if (auto done = shard.cycle(at, outs); !done) end_process(options_.number, done.error().message);
      const bool something = !outs.empty();
      out_.put(outs);
      if (something) io_.ring();
    }
    if (shard.queued() > 0) continue;
    // stopping_ was read before the queue: nothing is put after it is set, so the queue is empty for good.
    if (stopping) return;
    bell_.doze();
    if (in_.empty() && !stopping_.load(std::memory_order_acquire)) {
      busy_since_us_.store(Instant::never().us, std::memory_order_relaxed);
      bell_.wait(time_left(instant_now(), shard.next_deadline(), sleep_max));
    }
    bell_.awake();
  }
}

}  // namespace canopy::daemon
