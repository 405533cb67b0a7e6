#include "text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <fmt/format.h>
#include <utility>

namespace canopy::console {
namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 1;
  bool valid = false;
};

// Returns the code point at the front. REQUIRES: text is not empty.
CodePoint front(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const size_t bytes = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xc2 && lead < 0xe0 ? 2 : 0;
  if (bytes == 0 || text.size() < bytes) return {lead, 1, false};
  uint32_t value = lead & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {lead, 1, false};
    value = value << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (bytes == 3 && value < 0x800) || (bytes == 4 && value < 0x10000);
  if (overlong || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return {lead, 1, false};
  return {value, bytes, true};
}

struct Range {
  uint32_t first, last;
};
// After Unicode 15: marks that take no column, and the East Asian wide blocks with the emoji.
constexpr std::array narrow_ranges{
    Range{0x300, 0x36f},     Range{0x483, 0x489},     Range{0x591, 0x5bd},     Range{0x610, 0x61a},
    Range{0x64b, 0x65f},     Range{0x6d6, 0x6dc},     Range{0x900, 0x902},     Range{0x93c, 0x93c},
    Range{0x941, 0x948},     Range{0x94d, 0x94d},     Range{0xe31, 0xe31},     Range{0xe34, 0xe3a},
    Range{0xe47, 0xe4e},     Range{0x1ab0, 0x1aff},   Range{0x1dc0, 0x1dff},   Range{0x200b, 0x200f},
    Range{0x2060, 0x2064},   Range{0x20d0, 0x20f0},   Range{0xfe00, 0xfe0f},   Range{0xfe20, 0xfe2f},
    Range{0xfeff, 0xfeff},   Range{0x1f3fb, 0x1f3ff}, Range{0xe0100, 0xe01ef},
};
constexpr std::array wide_ranges{
    Range{0x1100, 0x115f},   Range{0x231a, 0x231b},   Range{0x23e9, 0x23ec},   Range{0x25fd, 0x25fe},
    Range{0x2614, 0x2615},   Range{0x2648, 0x2653},   Range{0x26a1, 0x26a1},   Range{0x26bd, 0x26be},
    Range{0x26c4, 0x26c5},   Range{0x2705, 0x2705},   Range{0x270a, 0x270b},   Range{0x2728, 0x2728},
    Range{0x274c, 0x274c},   Range{0x2753, 0x2755},   Range{0x2757, 0x2757},   Range{0x2795, 0x2797},
    Range{0x2b50, 0x2b50},   Range{0x2e80, 0x303e},   Range{0x3041, 0x33ff},   Range{0x3400, 0x4dbf},
    Range{0x4e00, 0x9fff},   Range{0xa000, 0xa4cf},   Range{0xa960, 0xa97f},   Range{0xac00, 0xd7a3},
    Range{0xf900, 0xfaff},   Range{0xfe30, 0xfe6f},   Range{0xff00, 0xff60},   Range{0xffe0, 0xffe6},
    Range{0x1f004, 0x1f004}, Range{0x1f0cf, 0x1f0cf}, Range{0x1f18e, 0x1f18e}, Range{0x1f191, 0x1f19a},
    Range{0x1f200, 0x1f320}, Range{0x1f32d, 0x1f335}, Range{0x1f337, 0x1f37c}, Range{0x1f37e, 0x1f393},
    Range{0x1f3a0, 0x1f3ca}, Range{0x1f3cf, 0x1f3d3}, Range{0x1f3e0, 0x1f3f0}, Range{0x1f3f4, 0x1f3f4},
    Range{0x1f3f8, 0x1f43e}, Range{0x1f440, 0x1f440}, Range{0x1f442, 0x1f4fc}, Range{0x1f4ff, 0x1f53d},
    Range{0x1f54b, 0x1f567}, Range{0x1f57a, 0x1f57a}, Range{0x1f595, 0x1f596}, Range{0x1f5a4, 0x1f5a4},
    Range{0x1f5fb, 0x1f64f}, Range{0x1f680, 0x1f6c5}, Range{0x1f6cc, 0x1f6cc}, Range{0x1f6d0, 0x1f6d2},
    Range{0x1f6eb, 0x1f6ec}, Range{0x1f6f4, 0x1f6fc}, Range{0x1f7e0, 0x1f7eb}, Range{0x1f90c, 0x1f9ff},
    Range{0x1fa70, 0x1faff}, Range{0x20000, 0x3fffd},
};

template <size_t n>
bool within(const std::array<Range, n>& ranges, uint32_t value) {
  const auto at = std::upper_bound(ranges.begin(), ranges.end(), value,
                                   [](uint32_t v, const Range& range) { return v < range.first; });
  return at != ranges.begin() && value <= std::prev(at)->last;
}

size_t width_of(const CodePoint& point) {
  if (!point.valid) return 1;
  if (within(narrow_ranges, point.value)) return 0;
  return within(wide_ranges, point.value) ? 2 : 1;
}

// What is not shown as it is: controls, line separators, and marks that turn the direction of a line.
bool is_control(uint32_t value) {
  return value < 0x20 || (value >= 0x7f && value < 0xa0) || value == 0x2028 || value == 0x2029 ||
         (value >= 0x202a && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069);
}

std::string escaped(const CodePoint& point) {
  if (point.value == '\n') return "\\n";
  if (point.value == '\t') return "\\t";
  if (point.value == '\r') return "\\r";
  return point.value < 0x100 ? fmt::format("\\x{:02x}", point.value) : fmt::format("\\u{:04x}", point.value);
}

}  // namespace

size_t width_of(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const CodePoint point = front(text);
    width += width_of(point);
    text.remove_prefix(point.bytes);
  }
  return width;
}

std::string fit(std::string_view text, size_t width) {
  if (width_of(text) <= width) return std::string(text);
  if (width == 0) return {};
  size_t used = 0, bytes = 0;
  while (bytes < text.size()) {
    const CodePoint point = front(text.substr(bytes));
    if (used + width_of(point) > width - 1) break;
    used += width_of(point);
    bytes += point.bytes;
  }
  return std::string(text.substr(0, bytes)) + "…";
}

std::string printable(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = front(text);
    if (!point.valid || is_control(point.value))
      shown += escaped(point);
    else
      shown += text.substr(0, point.bytes);
    text.remove_prefix(point.bytes);
  }
  return shown;
}

std::string grouped(uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string bytes_text(uint64_t bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string counted(uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", grouped(count), count == 1 ? one : many);
}

std::string local_time(uint64_t time_ms) {
  const std::time_t seconds = static_cast<std::time_t>(time_ms / 1000);
  std::tm parts{};
  if (!localtime_r(&seconds, &parts)) return fmt::format("{} ms", time_ms);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string duration_text(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<uint64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} m {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} m", whole / 3600, whole / 60 % 60);
}

std::string ranges(const std::vector<uint32_t>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    if (!text.empty()) text += ", ";
    text += last == i ? std::to_string(numbers[i]) : fmt::format("{}–{}", numbers[i], numbers[last]);
    i = last + 1;
  }
  return text;
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !(value >= 0)) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  double ms = 0;
  if (unit == "ms") ms = value;
  else if (unit.empty() || unit == "s") ms = value * 1e3;
  else if (unit == "m" || unit == "min") ms = value * 60e3;
  else if (unit == "h") ms = value * 3600e3;
  else return std::nullopt;
  if (ms > 1e12) return std::nullopt;
  return std::chrono::milliseconds(std::llround(ms));
}

namespace {
struct AgeUnit {
  std::string_view name;
  uint64_t seconds;
};
constexpr std::array age_units{AgeUnit{"w", 604'800}, AgeUnit{"d", 86'400}, AgeUnit{"h", 3'600}, AgeUnit{"m", 60}, AgeUnit{"s", 1}};
constexpr uint64_t age_s_max = 1'000'000'000'000;
}  // namespace

std::optional<std::chrono::seconds> parse_age(std::string_view text) {
  for (const AgeUnit& unit : age_units) {
    if (!text.ends_with(unit.name)) continue;
    const auto number = parse_number(text.substr(0, text.size() - unit.name.size()));
    if (!number || *number > age_s_max / unit.seconds) return std::nullopt;
    return std::chrono::seconds(*number * unit.seconds);
  }
  if (text == "0") return std::chrono::seconds(0);
  return std::nullopt;
}

std::string age_text(std::chrono::seconds age) {
  const auto seconds = static_cast<uint64_t>(std::max<int64_t>(age.count(), 0));
  for (const AgeUnit& unit : age_units)
    if (unit.name != "w" && seconds > 0 && seconds % unit.seconds == 0)
      return fmt::format("{} {}", grouped(seconds / unit.seconds), unit.name);
  return "0 s";
}

namespace {
// Optimal string alignment: the fewest letters to change, insert, leave out, or swap with the next.
size_t letters_apart(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}
}  // namespace

std::string nearest(std::string_view mistyped, const std::vector<std::string>& words) {
  constexpr size_t looked_at = 40;  // bytes: nobody types so long a word
  if (mistyped.size() > looked_at) return {};
  std::string best;
  size_t least = 3;  // more than two is another word
  for (const std::string& word : words) {
    const size_t apart = letters_apart(mistyped, word);
    if (apart < least && apart * 2 <= word.size()) {
      least = apart;
      best = word;
    }
  }
  if (!best.empty() || mistyped.size() < 3) return best;
  const auto longer = std::find_if(words.begin(), words.end(), [&](const std::string& word) { return word.starts_with(mistyped); });
  return longer == words.end() ? std::string() : *longer;
}

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace canopy::console
