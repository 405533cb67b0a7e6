#include "daemon/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/limits.h"
#include "node/identity.h"

namespace canopy::daemon {
namespace {

tl::unexpected<Error> refused(const std::string& path, const std::string& why) {
  return failure(Code::unavailable, "node.data_dir = \"" + path + "\": " + why);
}

tl::unexpected<Error> refused(const std::string& path, const char* what, int error) {
  return refused(path, std::string(what) + ": " + std::strerror(error));
}

std::string holder(int lock) {
  char text[32] = "";
  const ssize_t n = pread(lock, text, sizeof text - 1, 0);
  std::string pid(text, n > 0 ? static_cast<size_t>(n) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "" : " (process " + pid + ")";
}

// Makes the directories above as the umask wants them, the last one for its owner alone.
int make_directory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return error.value();
  return mkdir(path.c_str(), 0700) == 0 || errno == EEXIST ? 0 : errno;
}

}  // namespace

Result<std::unique_ptr<DataDir>> DataDir::open(const std::string& given) {
  std::string path = given;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (const int error = make_directory(path)) return refused(path, "cannot be made", error);
  struct stat st{};
  if (stat(path.c_str(), &st) != 0) return refused(path, "cannot be read", errno);
  if (!S_ISDIR(st.st_mode)) return refused(path, "is not a directory");
  const int lock = ::open((path + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return refused(path, "its lock cannot be opened", errno);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const std::string who = holder(lock);
    close(lock);
    if (error == EWOULDBLOCK) return refused(path, "in use by another canopyd" + who + "; want a directory of its own for each node");
    return refused(path, "cannot be locked", error);
  }
  const std::string pid = std::to_string(getpid()) + '\n';
  if (ftruncate(lock, 0) != 0 || pwrite(lock, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    const int error = errno;
    close(lock);
    return refused(path, "cannot be written", error);
  }
  return std::unique_ptr<DataDir>(new DataDir(path, lock));
}

DataDir::~DataDir() { close(lock_); }

Result<uint32_t> shard_count(const store::Backend& control, uint32_t wanted) {
  auto identity = node::read_identity(control);
  if (!identity) return tl::unexpected<Error>(std::move(identity.error()));
  if (*identity) {
    const uint32_t stored = (*identity)->shards;
    if (wanted == 0 || wanted == stored) return stored;
    return failure(Code::bad_request, "store.shards = " + std::to_string(wanted) + ": node.data_dir was made with " +
                                          std::to_string(stored) + "; want 0 or " + std::to_string(stored));
  }
  if (wanted != 0) return wanted;
  return std::clamp<uint32_t>(std::thread::hardware_concurrency(), 1, limits::shards_max);
}

}  // namespace canopy::daemon
