#include "base/values.h"

#include <array>
#include <charconv>
#include <utility>

namespace canopy {
namespace {

using Unit = std::pair<std::string_view, int64_t>;

// Largest first, so that show() finds the largest that divides.
constexpr std::array<Unit, 5> size_units{
    {{"TiB", int64_t{1} << 40}, {"GiB", int64_t{1} << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}};
constexpr std::array<Unit, 5> time_units{
    {{"d", 86'400'000'000}, {"h", 3'600'000'000}, {"m", 60'000'000}, {"s", 1'000'000}, {"ms", 1000}}};
constexpr int64_t second_us = 1'000'000;
constexpr int64_t age_max_us = static_cast<int64_t>(age_s_max) * second_us;

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Takes the digits from the front of `text`.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t number = 0;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

template <size_t N>
std::optional<int64_t> parse(std::string_view text, const std::array<Unit, N>& units) {
  text = trim(text);
  const auto number = take_number(text);
  if (!number) return std::nullopt;
  text = trim(text);
  for (const auto& [name, factor] : units) {
    int64_t product = 0;
    if (text == name) return __builtin_mul_overflow(*number, factor, &product) ? std::nullopt : std::optional(product);
  }
  return std::nullopt;
}

template <size_t N>
std::string show(int64_t value, const std::array<Unit, N>& units) {
  for (const auto& [name, factor] : units)
    if (value != 0 && value % factor == 0) return std::to_string(value / factor) + std::string(name);
  return std::to_string(value) + std::string(units.back().first);
}

}  // namespace

std::optional<uint64_t> parse_size(std::string_view text) {
  std::string_view rest = trim(text);
  if (const auto bytes = take_number(rest); bytes && rest.empty()) return static_cast<uint64_t>(*bytes);
  const auto bytes = parse(text, size_units);
  if (!bytes) return std::nullopt;
  return static_cast<uint64_t>(*bytes);
}

std::string show_size(uint64_t bytes) { return show(static_cast<int64_t>(bytes), size_units); }

std::optional<Duration> parse_duration(std::string_view text) {
  const auto us = parse(text, time_units);
  if (!us || *us > age_max_us) return std::nullopt;
  return Duration{*us};
}

std::string show_duration(Duration duration) { return show(duration.us, time_units); }

std::optional<uint64_t> parse_age(std::string_view text) {
  const auto age = parse_duration(text);
  if (!age || age->us % second_us != 0) return std::nullopt;
  return static_cast<uint64_t>(age->us / second_us);
}

std::optional<Retention> parse_retention(std::string_view text) {
  Retention retention;
  if (trim(text).empty()) return retention;
  while (true) {
    const size_t comma = text.find(',');
    std::string_view part = trim(text.substr(0, comma));
    if (const auto age = parse_age(part)) {
      if (*age == 0 || retention.age_s != 0) return std::nullopt;
      retention.age_s = *age;
    } else {
      const auto count = take_number(part);
      if (!count || *count == 0 || !part.empty() || retention.count != 0) return std::nullopt;
      retention.count = static_cast<uint64_t>(*count);
    }
    if (comma == std::string_view::npos) return retention;
    text.remove_prefix(comma + 1);
  }
}

std::string show_retention(const Retention& retention) {
  std::string text;
  if (retention.count != 0) text = std::to_string(retention.count);
  if (retention.age_s != 0)
    text += (text.empty() ? "" : ", ") + show_duration(Duration::of_s(static_cast<int64_t>(retention.age_s)));
  return text;
}

}  // namespace canopy
