// The small languages inside settings and requests: "64GiB", "24h", "100000, 365d". Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/retention.h"
#include "base/time.h"

namespace canopy {

// "0" or digits with B, KiB, MiB, GiB or TiB (none: bytes). nullopt: not a size, or above 2^63.
std::optional<uint64_t> parse_size(std::string_view text);
std::string show_size(uint64_t bytes);  // with the largest unit that divides it

// Digits with ms, s, m, h or d. nullopt: not a duration, or longer than 100 years.
std::optional<Duration> parse_duration(std::string_view text);
std::string show_duration(Duration duration);
constexpr uint64_t age_s_max = 100ull * 366 * 86'400;
std::optional<uint64_t> parse_age(std::string_view text);  // a duration in whole seconds

// A count, an age in whole seconds, both, or "" for ever; none is 0, which would keep nothing.
std::optional<Retention> parse_retention(std::string_view text);
std::string show_retention(const Retention& retention);

}  // namespace canopy
