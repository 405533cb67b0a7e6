#include "process.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <signal.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "stop.h"

namespace canopy::bench {
namespace {

using namespace std::chrono_literals;

// Returns the number behind "NAME:" in a file of such lines; 0 when it is not there.
uint64_t number_in(const std::string& file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.compare(0, name.size() + 1, name + ":") == 0) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10);
  return 0;
}

double cpu_seconds(const std::string& stat_file) {
  std::ifstream in(stat_file);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const size_t behind_name = text.rfind(')');  // the name may hold anything
  if (behind_name == std::string::npos) return 0;
  std::istringstream rest(text.substr(behind_name + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) rest >> skipped;
  uint64_t user = 0, system = 0;
  rest >> user >> system;
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

Usage usage_in(const std::string& directory) {
  Usage usage;
  usage.cpu_s = cpu_seconds(directory + "/stat");
  usage.bytes_written = number_in(directory + "/io", "wchar");
  usage.bytes_dirtied = number_in(directory + "/io", "write_bytes");
  usage.anonymous_bytes = number_in(directory + "/status", "RssAnon") * 1024;
  usage.rss_bytes = number_in(directory + "/status", "VmRSS") * 1024;
  usage.rss_peak_bytes = number_in(directory + "/status", "VmHWM") * 1024;
  return usage;
}

[[noreturn]] void run_child(const std::vector<std::string>& command, int log, pid_t parent) {
  setpgid(0, 0);  // Ctrl-C is for the measurement; it ends its processes itself
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before that
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

}  // namespace

Usage& Usage::operator+=(const Usage& other) {
  cpu_s += other.cpu_s;
  bytes_written += other.bytes_written;
  bytes_dirtied += other.bytes_dirtied;
  anonymous_bytes += other.anonymous_bytes;
  rss_bytes += other.rss_bytes;
  rss_peak_bytes += other.rss_peak_bytes;
  return *this;
}

Usage usage_of(pid_t pid) { return usage_in("/proc/" + std::to_string(pid)); }
Usage own_usage() { return usage_in("/proc/self"); }

Process::Process(const std::vector<std::string>& command, const std::string& log_file) {
  if (access(command.at(0).c_str(), X_OK) != 0)
    throw Stop("cannot run " + command[0] + ": " + std::strerror(errno));
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) throw Stop(log_file + ": " + std::strerror(errno));
  const pid_t self = getpid();
  pid_ = fork();
  if (pid_ == 0) run_child(command, log, self);
  close(log);
  if (pid_ < 0) throw Stop(std::string("fork: ") + std::strerror(errno));
}

bool Process::ended() {
  if (pid_ < 0) return true;
  if (waitpid(pid_, nullptr, WNOHANG) != pid_) return false;
  pid_ = -1;
  return true;
}

int Process::stop(std::chrono::seconds patience) {
  if (pid_ < 0) return 0;
  kill(pid_, SIGTERM);
  const auto until = std::chrono::steady_clock::now() + patience;
  int status = 0;
  pid_t ended = 0;
  while ((ended = waitpid(pid_, &status, WNOHANG)) == 0) {
    if (std::chrono::steady_clock::now() > until) {
      kill(pid_, SIGKILL);
      ended = waitpid(pid_, &status, 0);
      break;
    }
    std::this_thread::sleep_for(5ms);
  }
  pid_ = -1;
  return ended > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace canopy::bench
