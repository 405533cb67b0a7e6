#include "daemon/unsynced.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>

namespace canopy::daemon {
namespace {

constexpr std::string_view durability_key = "durability = ", boot_key = "boot = ";

std::string mark_file(const std::string& directory) { return directory + "/unsynced"; }

tl::unexpected<Error> failed(const std::string& file, const char* doing) {
  return failure(Code::unavailable, file + ": " + doing + ": " + std::strerror(errno));
}

// Returns nothing, and errno is set, when it cannot be read. Of a longer file the beginning.
std::optional<std::string> read_small(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  char bytes[256];
  const ssize_t n = ::read(fd, bytes, sizeof bytes);
  const int error = errno;
  ::close(fd);
  errno = error;
  if (n < 0) return std::nullopt;
  return std::string(bytes, static_cast<size_t>(n));
}

bool write_synced(const std::string& file, std::string_view text, int flags) {
  const int fd = ::open(file.c_str(), flags | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool done = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  errno = error;
  return done;
}

bool sync_directory(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  errno = error;
  return done;
}

// What stands behind the key on a line that ends; "" when there is none.
std::string value_of(std::string_view text, std::string_view key) {
  for (size_t begin = 0, end = text.find('\n'); end != std::string_view::npos; begin = end + 1, end = text.find('\n', begin)) {
    const std::string_view line = text.substr(begin, end - begin);
    if (line.starts_with(key)) return std::string(line.substr(key.size()));
  }
  return "";
}

}  // namespace

std::string boot_id() {
  const char* passed_on = std::getenv("CANOPY_BOOT_ID");
  const std::string text = read_small("/proc/sys/kernel/random/boot_id").value_or(passed_on ? passed_on : "");
  std::string id;
  std::copy_if(text.begin(), text.end(), std::back_inserter(id), [](unsigned char c) { return std::isxdigit(c); });
  return id.size() == 32 ? id : "";
}

Result<std::optional<Unsynced>> read_unsynced(const std::string& directory) {
  const auto text = read_small(mark_file(directory));
  if (text) return Unsynced{value_of(*text, durability_key), value_of(*text, boot_key)};
  if (errno == ENOENT) return std::optional<Unsynced>();
  return failed(mark_file(directory), "cannot be read");
}

Result<void> write_unsynced(const std::string& directory, const Unsynced& mark) {
  const std::string file = mark_file(directory), fresh = file + ".new";
  const std::string text = std::string(durability_key) + mark.durability + '\n' + std::string(boot_key) + mark.boot + '\n';
  if (!write_synced(fresh, text, O_CREAT)) return failed(fresh, "cannot be written");
  if (::rename(fresh.c_str(), file.c_str()) != 0) return failed(file, "cannot be written");
  if (!sync_directory(directory)) return failed(directory, "cannot be synced");
  return {};
}

Result<void> remove_unsynced(const std::string& directory) {
  const std::string file = mark_file(directory);
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) return failed(file, "cannot be removed");
  if (!sync_directory(directory)) return failed(directory, "cannot be synced");
  return {};
}

void distrust(const std::string& directory) { write_synced(mark_file(directory), "a sync failed\n", 0); }

}  // namespace canopy::daemon
