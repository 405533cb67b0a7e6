#include "store/lmdb_backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <lmdb.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/planted.h"

namespace canopy::store {
namespace {

namespace fs = std::filesystem;

constexpr unsigned env_flags = MDB_NOTLS | MDB_NORDAHEAD;
constexpr mode_t file_mode = 0640;
constexpr const char* space_names[] = {"journal", "tables"};
constexpr uint64_t commits_between_counts = 64;
// A disk that runs full in the middle of a write gives LMDB a short write, which it reports as EIO:
// not to be told from a broken disk. So a commit is refused while there is still room for it. A page
// is written for each row in the worst case, which is why it is a multiple and not the bytes alone.
constexpr uint64_t disk_reserve_bytes = 4u << 20;
constexpr uint64_t disk_reserve_factor = 4;

MDB_val val(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
std::string_view view(const MDB_val& v) { return {static_cast<const char*>(v.mv_data), v.mv_size}; }

// Full is busy: the transaction is lost, the store is sound. Everything else ends the process.
auto write_failure(int rc, std::string_view doing) {
  const bool full = rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == ENOSPC || rc == EDQUOT;
  return failure(full ? Code::busy : Code::internal, fmt::format("store: {}: {}", doing, mdb_strerror(rc)));
}

auto open_failure(const std::string& path, std::string_view doing, int rc) {
  return failure(Code::unavailable, fmt::format("store: {}: {}: {}", path, doing, mdb_strerror(rc)));
}

// A read cannot be answered with an error: nobody could go on without the row.
void read_check(int rc) {
  if (rc != 0 && rc != MDB_NOTFOUND) assert_failed(mdb_strerror(rc), __FILE__, __LINE__);
}

// Returns 0 or errno.
int sync_path(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int rc = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return rc;
}

// Opens the two databases. Returns 0 or LMDB's error.
int open_databases(MDB_env* env, unsigned flags, unsigned (&dbis)[2]) {
  MDB_txn* txn = nullptr;
  int rc = mdb_txn_begin(env, nullptr, 0, &txn);
  if (rc != 0) return rc;
  for (unsigned i = 0; i < 2 && rc == 0; ++i) rc = mdb_dbi_open(txn, space_names[i], flags, &dbis[i]);
  if (rc == 0) return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return rc;
}

int open_env(const std::string& path, uint64_t map_size, Sync sync, MDB_env*& env) {
  int rc = mdb_env_create(&env);
  if (rc != 0) return rc;
  rc = mdb_env_set_maxdbs(env, 2);
  if (rc == 0) rc = mdb_env_set_mapsize(env, map_size);
  const bool no_sync = sync == Sync::on_demand || planted("commit without sync");
  const unsigned flags = env_flags | (no_sync ? MDB_NOSYNC : 0u);
  if (rc == 0) rc = mdb_env_open(env, path.c_str(), flags, file_mode);
  if (rc == 0) return 0;
  mdb_env_close(env);
  env = nullptr;
  return rc;
}

}  // namespace

// The open write transaction, else the read transaction, renewed for the outermost read.
class LmdbBackend::Reading {
 public:
  explicit Reading(const LmdbBackend& backend) : backend_(backend), txn_(backend.write_) {
    if (txn_) return;
    txn_ = backend_.read_;
    if (backend_.readers_++ == 0) read_check(mdb_txn_renew(txn_));
    nested_ = true;
  }
  ~Reading() {
    if (nested_ && --backend_.readers_ == 0) mdb_txn_reset(txn_);
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  MDB_txn* txn() const { return txn_; }

 private:
  const LmdbBackend& backend_;
  MDB_txn* txn_;
  bool nested_ = false;
};

// ── opening ──

Result<std::unique_ptr<LmdbBackend>> LmdbBackend::open(LmdbOptions options) {
  while (options.path.size() > 1 && options.path.back() == '/') options.path.pop_back();
  std::unique_ptr<LmdbBackend> backend(new LmdbBackend(std::move(options)));
  TRY(backend->lock());
  std::error_code ignored;
  if (!fs::exists(fs::path(backend->options_.path) / "data.mdb", ignored)) TRY(backend->create());
  TRY(backend->start());
  return backend;
}

LmdbBackend::~LmdbBackend() {
  abort();
  if (read_) mdb_txn_abort(read_);
  if (env_) mdb_env_close(env_);
  if (lock_fd_ >= 0) ::close(lock_fd_);  // lets the lock go
}

// LMDB lets a second process in, and closing either then drops the locks of both. The lock file
// stands beside the directory, so that it can be held while the directory is made.
Result<void> LmdbBackend::lock() {
  const std::string file = options_.path + ".lock";
  std::error_code ignored;  // opening the lock file says what is wrong
  fs::create_directories(fs::path(file).parent_path(), ignored);
  lock_fd_ = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, file_mode);
  if (lock_fd_ < 0) return open_failure(file, "cannot be opened", errno);
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) return {};
  if (errno == EWOULDBLOCK)
    return failure(Code::unavailable, fmt::format("store: {} is in use by another process", options_.path));
  return open_failure(file, "cannot be locked", errno);
}

// In a temporary directory, renamed when it is durable: a crash before the first commit would leave
// a file that opens as invalid for ever, and LMDB never syncs directories.
Result<void> LmdbBackend::create() const {
  const fs::path path = options_.path;
  const std::string fresh = options_.path + ".new";
  std::error_code error;
  fs::remove_all(fresh, error);
  if (!error) fs::create_directories(fresh, error);
  if (error) return open_failure(fresh, "cannot be created", error.value());
  MDB_env* env = nullptr;
  int rc = open_env(fresh, options_.map_size, Sync::every_commit, env);
  if (rc != 0) return open_failure(fresh, "cannot be created", rc);
  unsigned dbis[2];
  rc = open_databases(env, MDB_CREATE, dbis);
  mdb_env_close(env);
  if (rc == 0) rc = sync_path(fresh + "/data.mdb");
  if (rc == 0) rc = sync_path(fresh);
  if (rc != 0) return open_failure(fresh, "cannot be written", rc);
  fs::rename(fresh, path, error);
  if (error) return open_failure(options_.path, "holds something that is no store, or cannot be renamed", error.value());
  rc = sync_path(path.has_parent_path() ? path.parent_path() : fs::path("."));
  if (rc != 0) return open_failure(options_.path, "its directory cannot be synced", rc);
  return {};
}

Result<void> LmdbBackend::start() {
  int rc = open_env(options_.path, options_.map_size, options_.sync, env_);
  if (rc != 0) return open_failure(options_.path, "cannot be opened", rc);
  int dead = 0;
  mdb_reader_check(env_, &dead);
  rc = open_databases(env_, 0, dbis_);
  if (rc == MDB_NOTFOUND)
    return failure(Code::unavailable, fmt::format("store: {} is an LMDB environment but no store", options_.path));
  if (rc == 0) rc = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &read_);
  if (rc != 0) return open_failure(options_.path, "cannot be opened", rc);
  mdb_txn_reset(read_);
  return {};
}

// ── reads ──

std::optional<std::string> LmdbBackend::get(Space space, std::string_view key) const {
  const Reading reading(*this);
  MDB_val k = val(key), v;
  const int rc = mdb_get(reading.txn(), dbi(space), &k, &v);
  read_check(rc);
  return rc == 0 ? std::optional<std::string>(view(v)) : std::nullopt;
}

void LmdbBackend::scan(Space space, std::string_view from, std::string_view to, const Visit& visit) const {
  const Reading reading(*this);
  MDB_cursor* cursor = nullptr;
  read_check(mdb_cursor_open(reading.txn(), dbi(space), &cursor));
  MDB_val k = val(from), v;
  int rc = mdb_cursor_get(cursor, &k, &v, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
  while (rc == 0 && view(k) < to && visit(view(k), view(v))) rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
  mdb_cursor_close(cursor);
  read_check(rc);
}

void LmdbBackend::scan_back(Space space, std::string_view from, std::string_view to, const Visit& visit) const {
  if (to.empty()) return;
  const Reading reading(*this);
  MDB_cursor* cursor = nullptr;
  read_check(mdb_cursor_open(reading.txn(), dbi(space), &cursor));
  MDB_val k = val(to), v;
  int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
  rc = mdb_cursor_get(cursor, &k, &v, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
  while (rc == 0 && view(k) >= from && visit(view(k), view(v))) rc = mdb_cursor_get(cursor, &k, &v, MDB_PREV);
  mdb_cursor_close(cursor);
  read_check(rc);
}

// ── writes ──

Result<void> LmdbBackend::begin() {
  ASSERT(!write_ && readers_ == 0);
  txn_bytes_ = 0;
  if (const int rc = mdb_txn_begin(env_, nullptr, 0, &write_); rc != 0) {
    write_ = nullptr;
    return write_failure(rc, "begin");
  }
  return {};
}

Result<void> LmdbBackend::put(Space space, std::string_view key, std::string_view value) {
  ASSERT(write_);
  txn_bytes_ += key.size() + value.size();
  MDB_val k = val(key), v = val(value);
  // The journal only grows at its end: appending fills pages instead of splitting them in halves.
  int rc = mdb_put(write_, dbi(space), &k, &v, space == Space::journal ? MDB_APPEND : 0);
  if (rc == MDB_KEYEXIST) rc = mdb_put(write_, dbi(space), &k, &v, 0);
  if (rc != 0) return write_failure(rc, "put");
  return {};
}

Result<void> LmdbBackend::erase(Space space, std::string_view key) {
  ASSERT(write_);
  MDB_val k = val(key);
  const int rc = mdb_del(write_, dbi(space), &k, nullptr);
  if (rc != 0 && rc != MDB_NOTFOUND) return write_failure(rc, "erase");
  return {};
}

Result<void> LmdbBackend::commit() {
  ASSERT(write_ && readers_ == 0);
  if (disk_bytes_free() < disk_reserve_bytes + disk_reserve_factor * txn_bytes_) {
    abort();
    return failure(Code::busy, fmt::format("store: the disk of {} is full", options_.path));
  }
  const int rc = mdb_txn_commit(write_);
  write_ = nullptr;  // freed, however it ended
  ++commits_;
  if (rc != 0) return write_failure(rc, "commit");
  return {};
}

// Forced, it is one fdatasync() of the file, without any of the environment's locks.
Result<void> LmdbBackend::sync() const {
  if (const int rc = mdb_env_sync(env_, 1); rc != 0) return open_failure(options_.path, "cannot be synced", rc);
  return {};
}

void LmdbBackend::abort() {
  if (write_) mdb_txn_abort(write_);
  write_ = nullptr;
}

// ── space ──

uint64_t LmdbBackend::disk_bytes_free() const {
  struct statvfs disk {};
  // A disk that cannot be asked is not called full: the commit will tell.
  if (::statvfs(options_.path.c_str(), &disk) != 0) return options_.map_size;
  return uint64_t{disk.f_bavail} * disk.f_frsize;
}

uint64_t LmdbBackend::file_bytes() const {
  MDB_envinfo info;
  MDB_stat stat;
  mdb_env_info(env_, &info);
  mdb_env_stat(env_, &stat);
  return (uint64_t{info.me_last_pgno} + 1) * stat.ms_psize;
}

uint64_t LmdbBackend::reusable_bytes() const {
  if (write_ || (reusable_at_ != UINT64_MAX && commits_ - reusable_at_ < commits_between_counts)) return reusable_;
  constexpr MDB_dbi free_list = 0;  // a list of page numbers under each transaction's number, its length first
  const Reading reading(*this);
  MDB_stat stat;
  mdb_env_stat(env_, &stat);
  MDB_cursor* cursor = nullptr;
  read_check(mdb_cursor_open(reading.txn(), free_list, &cursor));
  uint64_t pages = 0;
  MDB_val k, v;
  while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
    size_t length = 0;
    std::memcpy(&length, v.mv_data, sizeof length);
    pages += length;
  }
  mdb_cursor_close(cursor);
  reusable_ = pages * stat.ms_psize;
  reusable_at_ = commits_;
  return reusable_;
}

uint64_t LmdbBackend::bytes_free() const {
  const uint64_t file = file_bytes();
  const uint64_t map = options_.map_size - std::min(options_.map_size, file);
  return std::min(map, disk_bytes_free()) + reusable_bytes();
}

uint64_t LmdbBackend::bytes_total() const { return std::min(options_.map_size, file_bytes() + disk_bytes_free()); }

}  // namespace canopy::store
