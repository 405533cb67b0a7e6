// One line per change of state, as key=value, on stderr. The data path is counted, not logged.
// err: a person must act; warning: it healed, but look; notice: a change of state. Any thread.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "daemon/settings.h"

namespace canopy::daemon::log {

void start(LogLevel level);  // before any thread; without it nothing is written
void set_level(LogLevel level);
bool enabled(LogLevel level);
void write(LogLevel level, std::string_view line);

// The value of a key=value that may have spaces.
std::string quote(std::string_view value);

template <class... Args>
void line(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void err(fmt::format_string<Args...> format, Args&&... args) {
  line(LogLevel::err, format, std::forward<Args>(args)...);
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  line(LogLevel::warning, format, std::forward<Args>(args)...);
}
template <class... Args>
void notice(fmt::format_string<Args...> format, Args&&... args) {
  line(LogLevel::notice, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  line(LogLevel::info, format, std::forward<Args>(args)...);
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  line(LogLevel::debug, format, std::forward<Args>(args)...);
}

}  // namespace canopy::daemon::log
