// The seam between the store's logic and a transactional, ordered key-value engine. Two name
// spaces, as two LMDB databases in one environment. One thread. MemBackend and LmdbBackend keep it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace canopy::store {

enum class Space : uint8_t { journal = 0, tables = 1 };

class Backend {
 public:
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  virtual ~Backend() = default;

  // Reads see the open transaction's writes, else the last commit.
  virtual std::optional<std::string> get(Space space, std::string_view key) const = 0;
  virtual void scan(Space space, std::string_view from, std::string_view to, const Visit& visit) const = 0;
  virtual void scan_back(Space space, std::string_view from, std::string_view to, const Visit& visit) const = 0;

  // One write transaction at a time: begin, put/erase, then commit or abort.
  virtual Result<void> begin() = 0;
  virtual Result<void> put(Space space, std::string_view key, std::string_view value) = 0;  // busy: full
  virtual Result<void> erase(Space space, std::string_view key) = 0;  // an absent key is no error
  // Durable when it returns OK (as durable as the backend was opened for). An error of code busy (disk or map full) left the last commit as it
  // was, and the next transaction may work; after any other error the process must end.
  virtual Result<void> commit() = 0;
  virtual void abort() = 0;

  virtual uint64_t bytes_free() const = 0;   // of map and disk, whichever is less
  virtual uint64_t bytes_total() const = 0;
};

}  // namespace canopy::store
