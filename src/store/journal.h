// The journal's records: one batch of several buckets' writes as a run of bytes (README.md has the
// grammar), cut into values of one fixed size. Pure; the store puts and gets the values.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "store/writes.h"

namespace canopy::store {

constexpr uint8_t journal_version = 1;
// checksum 8, version 1, length of the records 4, sequence of the first value 8
constexpr size_t run_head_bytes = 8 + 1 + 4 + 8;

std::string journal_key(uint64_t sequence);

// Collects one batch. The steps' writes are encoded as they are applied, so nothing else holds them.
class RunWriter {
 public:
  RunWriter() { clear(); }
  void begin_record(BucketId bucket, Position upto, size_t writes);
  // A ref takes its body's bytes along only where they are not in the shard yet.
  void add(const Write& write, bool with_body);
  bool empty() const { return run_.size() == run_head_bytes; }
  size_t bytes() const { return run_.size(); }
  void clear() { run_.assign(run_head_bytes, '\0'); }
  // Returns the whole run, which stands from `sequence` on. Valid until the next change.
  std::string_view finish(uint64_t sequence);

 private:
  std::string run_;
};

// Collects one run from its values and checks it.
class RunReader {
 public:
  using Record = std::function<Result<void>(BucketId bucket, Position upto, const Writes& writes)>;

  // Takes the value under `sequence`; calls `record` for each record when the run is complete.
  // Returns unavailable, naming the sequence, for what is damaged, out of order or newer.
  Result<void> take(uint64_t sequence, std::string_view value, const Record& record);
  bool between_runs() const { return run_.empty(); }
  uint64_t first() const { return first_; }  // of the run that was taken last

 private:
  Result<void> finish(const Record& record);
  uint64_t first_ = 0;
  size_t wanted_ = 0;
  std::string run_;
};

}  // namespace canopy::store
