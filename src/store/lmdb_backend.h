// The backend of the daemon: one LMDB environment in a directory of its own. lmdb_backend.cc is the
// only file that includes lmdb.h. One process (own lock file), one thread.
//
// Read transactions are renewed for each read and never held across a commit, because an old reader stops
// LMDB from reusing pages.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store/backend.h"

struct MDB_env;
struct MDB_txn;

namespace canopy::store {

// When a commit is on the disk. Without a sync of each the file is whole as long as the machine runs,
// whatever becomes of the process; after a power cut it may be a mixture that opens all the same
// (measured: src/store/README.md, "Durability"). Whoever asks for it keeps a mark (daemon/unsynced.h).
enum class Sync : uint8_t { every_commit, on_demand };

struct LmdbOptions {
  std::string path;                          // the directory; created when absent
  uint64_t map_size = uint64_t{16} << 30;    // fixed while open; address space, not disk (the file is sparse)
  Sync sync = Sync::every_commit;
};

class LmdbBackend final : public Backend {
 public:
  // Returns unavailable when another process has the directory, or when it is no store.
  static Result<std::unique_ptr<LmdbBackend>> open(LmdbOptions options);
  ~LmdbBackend() override;
  LmdbBackend(const LmdbBackend&) = delete;
  LmdbBackend& operator=(const LmdbBackend&) = delete;

  std::optional<std::string> get(Space space, std::string_view key) const override;
  void scan(Space space, std::string_view from, std::string_view to, const Visit& visit) const override;
  void scan_back(Space space, std::string_view from, std::string_view to, const Visit& visit) const override;
  Result<void> begin() override;
  Result<void> put(Space space, std::string_view key, std::string_view value) override;
  Result<void> erase(Space space, std::string_view key) override;
  Result<void> commit() override;
  void abort() override;
  uint64_t bytes_free() const override;
  uint64_t bytes_total() const override;

  // Everything committed so far is on the disk when it returns OK. The only call that another thread may
  // make, also during a commit. After an error nothing that was not synced before can be trusted: the
  // kernel may have dropped it, and would not say so again.
  Result<void> sync() const;

 private:
  class Reading;
  explicit LmdbBackend(LmdbOptions options) : options_(std::move(options)) {}
  Result<void> lock();
  Result<void> create() const;
  Result<void> start();
  uint64_t disk_bytes_free() const;
  uint64_t file_bytes() const;             // as far as pages were ever used
  uint64_t reusable_bytes() const;         // of them, on LMDB's free list; counted now and then
  unsigned dbi(Space space) const { return dbis_[static_cast<unsigned>(space)]; }

  LmdbOptions options_;
  int lock_fd_ = -1;
  MDB_env* env_ = nullptr;
  MDB_txn* write_ = nullptr;
  MDB_txn* read_ = nullptr;                // reset between reads
  mutable int readers_ = 0;                // reads that nest
  unsigned dbis_[2] = {0, 0};
  uint64_t txn_bytes_ = 0;                 // put into the open transaction
  uint64_t commits_ = 0;
  mutable uint64_t reusable_ = 0;
  mutable uint64_t reusable_at_ = UINT64_MAX;  // commits_ when it was counted
};

}  // namespace canopy::store
