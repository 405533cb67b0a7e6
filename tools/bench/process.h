// A process that the measurement starts, and what the kernel counts of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace canopy::bench {

// What a process has used since its start; those of several are added.
struct Usage {
  double cpu_s = 0;            // user and system, from /proc/PID/stat: in steps of 10 ms
  // Passed to write calls: wchar of /proc/PID/io. Of a node that is the store (LMDB syncs what it wrote) and the log;
  // sockets are not in it.
  uint64_t bytes_written = 0;
  // Pages of the kernel's cache that became dirty: write_bytes. With large folios (Linux 6) a page counts as all that
  // share its folio, though only the page goes to the disk.
  uint64_t bytes_dirtied = 0;
  uint64_t anonymous_bytes = 0;  // resident memory that is no file's: RssAnon
  uint64_t rss_bytes = 0;      // with what is mapped of files: LMDB's pages, which the kernel may drop
  uint64_t rss_peak_bytes = 0;
  Usage& operator+=(const Usage& other);
};
Usage usage_of(pid_t pid);
Usage own_usage();  // of this process

// Ends with its owner: by SIGTERM in the destructor, by the kernel when this process dies.
class Process {
 public:
  // Output goes to `log_file`. Throws Stop when it cannot be started.
  Process(const std::vector<std::string>& command, const std::string& log_file);
  Process(Process&& other) noexcept : pid_(other.pid_) { other.pid_ = -1; }
  Process& operator=(Process&&) = delete;
  ~Process() { stop(); }

  pid_t pid() const { return pid_; }
  bool ended();  // by itself
  // SIGTERM, and SIGKILL when it is still there after `patience`. Returns its exit status; -1: it was killed.
  int stop(std::chrono::seconds patience = std::chrono::seconds(60));

 private:
  pid_t pid_ = -1;
};

}  // namespace canopy::bench
