// Text for people: widths of UTF-8, what a terminal may safely see, numbers and times. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace canopy::console {

// Returns how many columns a terminal takes for it; each byte that is not UTF-8 counts as one.
size_t width_of(std::string_view text);
// Returns it cut to `width` columns, the last one being "…" when something was cut.
std::string fit(std::string_view text, size_t width);

// Returns it fit for a terminal: one line, control characters and bytes that are not UTF-8 as \n, \t,
// \x1b, …, so that a message cannot move the cursor or colour the screen.
std::string printable(std::string_view text);

std::string grouped(uint64_t number);        // 1,234,567
std::string bytes_text(uint64_t bytes);      // 1.2 MiB
std::string counted(uint64_t count, std::string_view one, std::string_view many);  // "1 leaf", "12 leaves"
std::string local_time(uint64_t time_ms);    // 2024-05-01 12:00:03, in the local zone
std::string duration_text(double seconds);   // 0.8 s, 42 s, 3 m 05 s, 2 h 07 m

// "0–15, 32" from ascending numbers.
std::string ranges(const std::vector<uint32_t>& numbers);

// Returns a time-out from "500ms", "10s", "2m" or "1.5" (seconds); none for anything else.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
// Returns an age from "90s", "15m", "12h", "30d" or "2w", whole seconds; none for anything else.
std::optional<std::chrono::seconds> parse_age(std::string_view text);
std::string age_text(std::chrono::seconds age);  // 30 d, 12 h, 90 s: in the largest unit that is exact
std::optional<uint64_t> parse_number(std::string_view text);

// Returns the word that was probably meant, or "" when none is near: few letters wrong, missing, too
// many, or two of them swapped.
std::string nearest(std::string_view mistyped, const std::vector<std::string>& words);

}  // namespace canopy::console
