#include "daemon/notify.h"

#include <systemd/sd-daemon.h>
#include <time.h>

namespace canopy::daemon::notify {

// An error means that nobody listens; there is no one to tell.
void status(const std::string& text) { (void)sd_notify(0, ("STATUS=" + text).c_str()); }
void ready(const std::string& text) { (void)sd_notify(0, ("READY=1\nSTATUS=" + text).c_str()); }
void stopping(const std::string& text) { (void)sd_notify(0, ("STOPPING=1\nSTATUS=" + text).c_str()); }
void alive() { (void)sd_notify(0, "WATCHDOG=1"); }

void reloading() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);  // asked for by systemd.service(5), Type=notify-reload
  const auto us = static_cast<unsigned long long>(t.tv_sec) * 1'000'000 + static_cast<unsigned long long>(t.tv_nsec) / 1000;
  (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", us);
}

std::optional<Duration> watchdog() {
  uint64_t us = 0;
  if (sd_watchdog_enabled(0, &us) <= 0) return std::nullopt;
  return Duration{static_cast<int64_t>(us)};
}

}  // namespace canopy::daemon::notify
