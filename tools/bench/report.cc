#include "report.h"

#include <cmath>
#include <fmt/format.h>

#include "text.h"

namespace canopy::bench {

using console::Align;
using console::Cell;
using console::Style;

std::string figure_text(double value) {
  const double size = std::abs(value);
  if (size >= 1000) return (value < 0 ? "-" : "") + console::grouped(static_cast<uint64_t>(std::llround(size)));
  if (size == 0) return "0";
  return fmt::format("{:.{}f}", value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4);
}

nlohmann::json& Report::json_rows() {
  if (parts_.empty()) parts_.push_back({{"part", ""}, {"rows", nlohmann::json::array()}});
  return parts_.back()["rows"];
}

void Report::heading(const std::string& text) {
  rows_.push_back({text, "", "", "", Style::heading});
  parts_.push_back({{"part", text}, {"rows", nlohmann::json::array()}});
}

void Report::number(const std::string& what, double value, const std::string& unit, const std::string& remark) {
  rows_.push_back({what, figure_text(value), unit, remark});
  json_rows().push_back({{"what", what}, {"value", value}, {"unit", unit}, {"remark", remark}});
}

void Report::times(const std::string& what, const Samples& ms, const std::string& remark) {
  const double median = ms.median(), p99 = ms.at(0.99), most = ms.max();
  rows_.push_back({what, fmt::format("{} / {} / {}", figure_text(median), figure_text(p99), figure_text(most)),
                   "ms p50/p99/max", remark.empty() ? fmt::format("of {}", console::grouped(ms.count())) : remark});
  json_rows().push_back({{"what", what}, {"p50", median}, {"p99", p99}, {"max", most}, {"mean", ms.mean()},
                         {"count", ms.count()}, {"unit", "ms"}, {"remark", remark}});
}

void Report::check(const std::string& what, bool good, const std::string& text) {
  good_ = good_ && good;
  rows_.push_back({what, good ? "yes" : "NO", "", text, good ? Style::good : Style::bad});
  json_rows().push_back({{"what", what}, {"good", good}, {"remark", text}});
}

std::string Report::table(const console::Terminal& terminal) const {
  console::Table table({{"what"}, {"figure", Align::right}, {"unit"}, {"remark"}});
  for (const Row& row : rows_)
    table.add({Cell(row.what, row.style == Style::heading ? Style::heading : Style::plain), Cell(row.figure, row.style), row.unit,
               Cell(row.remark, Style::dim)});
  return table.render(terminal);
}

std::string Report::json() const {
  nlohmann::json all = facts_;
  all["good"] = good_;
  all["parts"] = parts_;
  return all.dump(1) + "\n";
}

}  // namespace canopy::bench
