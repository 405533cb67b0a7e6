// What systemd is told (sd_notify); without systemd nothing happens.
#pragma once

#include <optional>
#include <string>

#include "base/time.h"

namespace canopy::daemon::notify {

void status(const std::string& text);
void ready(const std::string& text);
void reloading();
void stopping(const std::string& text);
void alive();                              // the watchdog's sign of life
std::optional<Duration> watchdog();        // how long it may be missing; nullopt: nobody watches

}  // namespace canopy::daemon::notify
