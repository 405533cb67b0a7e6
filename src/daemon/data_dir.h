// A node's directory: made when it is missing, held by one process, the number of shards it was made with.
//
//   lock         held with flock() while a daemon runs; the number of its process for a reader
//   control/     who the node is, and the map (node/identity.h)
//   shard-0/ …   a store for each shard
//   unsynced     there may be commits in them that are not on the disk (unsynced.h)
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "store/backend.h"

namespace canopy::daemon {

class DataDir {
 public:
  // Makes the directory (0700) when it is missing and takes its lock. An error names it and says why.
  [[nodiscard]] static Result<std::unique_ptr<DataDir>> open(const std::string& path);
  ~DataDir();
  DataDir(const DataDir&) = delete;
  DataDir& operator=(const DataDir&) = delete;

  const std::string& path() const { return path_; }
  std::string control() const { return path_ + "/control"; }
  std::string shard(uint32_t number) const { return path_ + "/shard-" + std::to_string(number); }

 private:
  DataDir(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_;
};

// Returns how many shards the node has: what its directory was made with; for a new one `wanted`, or
// one per core when that is 0. Another number wanted than the directory has is an error.
[[nodiscard]] Result<uint32_t> shard_count(const store::Backend& control, uint32_t wanted);

}  // namespace canopy::daemon
