// The stores of a node that was not stopped in good order, looked at before they are trusted again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/data_dir.h"
#include "daemon/unsynced.h"
#include "store/verify.h"

namespace canopy::daemon {

struct StoreFinding {
  std::string name;  // "control", "shard-0" …
  store::VerifyReport report;
};

// Holds the directory while it lives: no daemon can start on it.
class Recovery {
 public:
  // An error says why this is not the directory of a node, or who has it.
  [[nodiscard]] static Result<std::unique_ptr<Recovery>> open(const std::string& data_dir);

  const std::optional<Unsynced>& mark() const { return mark_; }
  bool trusted_anyway() const { return !mark_ || can_be_trusted(*mark_, boot_id()); }
  uint32_t shards() const { return shards_; }

  // Reads a shard's store, in a process of its own: what is damaged may end it, which is a finding, too.
  // REQUIRES: no other thread in this process.
  StoreFinding check(uint32_t shard) const;

  // Syncs the stores and takes the mark away: the next start is as after a stop in good order.
  [[nodiscard]] Result<void> accept() const;

 private:
  Recovery(std::unique_ptr<DataDir> dir, uint32_t shards, std::optional<Unsynced> mark)
      : dir_(std::move(dir)), shards_(shards), mark_(std::move(mark)) {}
  std::unique_ptr<DataDir> dir_;
  uint32_t shards_;
  std::optional<Unsynced> mark_;
};

}  // namespace canopy::daemon
