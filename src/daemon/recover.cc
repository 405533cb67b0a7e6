#include "daemon/recover.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <sstream>
#include <utility>

#include "node/identity.h"
#include "store/lmdb_backend.h"

namespace canopy::daemon {
namespace {

// Too small for none: LMDB takes at least what the file uses.
constexpr uint64_t map_size = uint64_t{16} << 30;

Result<std::unique_ptr<store::LmdbBackend>> open_existing(const std::string& path) {
  if (std::error_code ignored; !std::filesystem::exists(std::filesystem::path(path) / "data.mdb", ignored))
    return failure(Code::unavailable, path + ": there is no store");
  return store::LmdbBackend::open({path, map_size});
}

store::VerifyReport verify_at(const std::string& path) {
  store::VerifyReport report;
  try {
    auto backend = open_existing(path);
    if (backend) return store::verify(**backend);
    report.damage = backend.error().message;
  } catch (const std::exception& error) {
    report.damage = error.what();
  }
  return report;
}

// The report through a pipe: two numbers, the text.
void send_report(int pipe, const store::VerifyReport& report) {
  const std::string text = std::to_string(report.rows) + ' ' + std::to_string(report.replayed) + ' ' + report.damage;
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t n = ::write(pipe, text.data() + sent, text.size() - sent);
    if (n < 0) _exit(1);
    sent += static_cast<size_t>(n);
  }
}

std::string read_all(int pipe) {
  std::string text;
  char bytes[4096];
  for (ssize_t n; (n = ::read(pipe, bytes, sizeof bytes)) != 0;) {
    if (n > 0) text.append(bytes, static_cast<size_t>(n));
    if (n < 0 && errno != EINTR) break;
  }
  return text;
}

store::VerifyReport unfinished(const std::string& why) { return {0, 0, why}; }

store::VerifyReport take_report(const std::string& text, int status) {
  if (WIFSIGNALED(status)) return unfinished("reading it ended with \"" + std::string(strsignal(WTERMSIG(status))) + '"');
  store::VerifyReport report;
  std::istringstream in(text);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !(in >> report.rows >> report.replayed))
    return unfinished("reading it did not come to an end");
  in.get();
  std::getline(in, report.damage, '\0');
  return report;
}

}  // namespace

Result<std::unique_ptr<Recovery>> Recovery::open(const std::string& data_dir) {
  if (std::error_code ignored; !std::filesystem::exists(data_dir + "/control/data.mdb", ignored))
    return failure(Code::unavailable, data_dir + ": not the directory of a node (node.data_dir): there is no control/data.mdb");
  auto dir = DataDir::open(data_dir);
  if (!dir) return tl::unexpected<Error>(std::move(dir.error()));
  auto control = open_existing((*dir)->control());
  if (!control) return tl::unexpected<Error>(std::move(control.error()));
  const auto shards = shard_count(**control, 0);
  if (!shards) return tl::unexpected<Error>(shards.error());
  auto mark = read_unsynced((*dir)->path());
  if (!mark) return tl::unexpected<Error>(std::move(mark.error()));
  return std::unique_ptr<Recovery>(new Recovery(std::move(*dir), *shards, std::move(*mark)));
}

StoreFinding Recovery::check(uint32_t shard) const {
  StoreFinding found{"shard-" + std::to_string(shard), {}};
  int ends[2];
  if (::pipe(ends) != 0) return {found.name, unfinished(std::string("no pipe: ") + std::strerror(errno))};
  const pid_t child = ::fork();
  if (child < 0) return {found.name, unfinished(std::string("no process: ") + std::strerror(errno))};
  if (child == 0) {
    ::close(ends[0]);
    send_report(ends[1], verify_at(dir_->shard(shard)));
    _exit(0);
  }
  ::close(ends[1]);
  const std::string text = read_all(ends[0]);
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  found.report = take_report(text, status);
  return found;
}

Result<void> Recovery::accept() const {
  for (uint32_t shard = 0; shard < shards_; ++shard) {
    auto backend = open_existing(dir_->shard(shard));
    if (!backend) return tl::unexpected<Error>(std::move(backend.error()));
    TRY((*backend)->sync());
  }
  return remove_unsynced(dir_->path());
}

}  // namespace canopy::daemon
