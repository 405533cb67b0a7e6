#include "daemon/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>

namespace canopy::daemon::log {
namespace {

std::shared_ptr<spdlog::logger> logger;  // set once by start()
std::atomic<LogLevel> most{LogLevel::notice};
bool to_journal = false;

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::err: return "err";
    case LogLevel::warning: return "warning";
    case LogLevel::notice: return "notice";
    case LogLevel::info: return "info";
    case LogLevel::debug: return "debug";
  }
  return "";
}

// systemd.exec(5), JOURNAL_STREAM: the variable may be left over from a parent; the device and inode tell.
bool stderr_is_the_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st{};
  return stream != nullptr && fstat(STDERR_FILENO, &st) == 0 &&
         fmt::format("{}:{}", st.st_dev, st.st_ino) == stream;
}

}  // namespace

void start(LogLevel level) {
  to_journal = stderr_is_the_journal();
  logger = std::make_shared<spdlog::logger>("canopyd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::trace);  // ours decides: spdlog has no notice
  logger->set_pattern(to_journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %v");
  set_level(level);
}

void set_level(LogLevel level) { most.store(level, std::memory_order_relaxed); }

bool enabled(LogLevel level) { return logger && level <= most.load(std::memory_order_relaxed); }

void write(LogLevel level, std::string_view line) {
  // The journal takes the level from the front of the line: sd-daemon(3).
  logger->log(spdlog::level::info, "{}{}{}", to_journal ? fmt::format("<{}>", static_cast<int>(level)) : level_name(level),
              to_journal ? "" : " ", line);
}

std::string quote(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

}  // namespace canopy::daemon::log
