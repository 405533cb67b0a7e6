// What a measurement found: a table for people, JSON for programs.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "samples.h"
#include "table.h"

namespace canopy::bench {

// Returns a figure of three or four digits: 1,234,567 / 123 / 45.2 / 0.0340.
std::string figure_text(double value);

class Report {
 public:
  void heading(const std::string& text);
  void number(const std::string& what, double value, const std::string& unit, const std::string& remark = "");
  // p50, p99 and max.
  void times(const std::string& what, const Samples& ms, const std::string& remark = "");
  // A comparison of what is with what must be: one that fails makes the whole measurement worth nothing.
  void check(const std::string& what, bool good, const std::string& text);
  // Goes into the JSON only.
  void fact(const std::string& name, nlohmann::json value) { facts_[name] = std::move(value); }

  bool good() const { return good_; }
  std::string table(const console::Terminal& terminal) const;
  std::string json() const;

 private:
  struct Row {
    std::string what, figure, unit, remark;
    console::Style style = console::Style::plain;
  };
  nlohmann::json& json_rows();
  std::vector<Row> rows_;
  nlohmann::json facts_ = nlohmann::json::object(), parts_ = nlohmann::json::array();
  bool good_ = true;
};

}  // namespace canopy::bench
