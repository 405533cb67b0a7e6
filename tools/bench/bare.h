// The ceilings that the same machine has in the same run: ZeroMQ with nothing behind it, one LMDB commit, appending in RAM.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench.h"
#include "driver.h"

struct MDB_env;

namespace canopy::bench {

// A ROUTER in a thread of its own that answers every request with OK and the same bytes.
class BareRouter {
 public:
  explicit BareRouter(size_t reply_bytes);
  ~BareRouter();
  const std::string& endpoint() const { return endpoint_; }

 private:
  void serve();
  const std::string reply_;
  const std::string endpoint_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// The same request, again and again, for some seconds.
class SameRequest final : public Source {
 public:
  SameRequest(Frames request, double seconds);
  Next next(Frames& frames) override;
  std::optional<std::chrono::milliseconds> on_reply(Frames&, bool, std::string_view) override { return std::nullopt; }

 private:
  const Frames request_;
  const Clock::time_point until_;
};

// Requests and replies a second of a bare DEALER and ROUTER with these sizes.
double bare_rate(const Frames& request, size_t reply_bytes, size_t in_flight, double seconds);

// An LMDB environment of its own, with fsync, beside the fabric's data.
class CommitProbe {
 public:
  explicit CommitProbe(const std::string& parent_directory);
  ~CommitProbe();
  CommitProbe(const CommitProbe&) = delete;
  CommitProbe& operator=(const CommitProbe&) = delete;
  // Puts `count` values of `bytes` at ascending keys and commits; returns the milliseconds.
  double commit_ms(size_t count = 1, size_t bytes = 200);

 private:
  std::string directory_;
  MDB_env* env_ = nullptr;
  unsigned table_ = 0;
  uint64_t key_ = 0;
};

// Appends 4-byte entries to 64-byte lines, in the order of the numbers given; returns entries a second.
double append_rate(uint32_t lines, const std::vector<uint32_t>& order, double seconds);

}  // namespace canopy::bench
