#include "table.h"

#include <algorithm>
#include <stdexcept>

#include "text.h"

namespace canopy::console {
namespace {

constexpr size_t gap = 2;              // columns between two cells
constexpr size_t last_width_min = 16;  // the last column keeps so much, however narrow the terminal

std::string_view code_of(Style style) {
  switch (style) {
    case Style::plain: return "";
    case Style::heading: return "\x1b[1m";
    case Style::dim: return "\x1b[2m";
    case Style::good: return "\x1b[32m";
    case Style::bad: return "\x1b[31m";
    case Style::warn: return "\x1b[33m";
    case Style::accent: return "\x1b[36m";
  }
  return "";
}

}  // namespace

std::string paint(const Terminal& terminal, Style style, std::string_view text) {
  if (!terminal.colour || style == Style::plain || text.empty()) return std::string(text);
  std::string painted(code_of(style));
  painted += text;
  painted += "\x1b[0m";
  return painted;
}

void Table::add(std::vector<Cell> row) {
  if (row.size() != columns_.size()) throw std::logic_error("Table::add: a row with another number of cells");
  for (Cell& cell : row) cell.text = printable(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::render(const Terminal& terminal, bool with_titles) const {
  std::vector<size_t> widths(columns_.size(), 0);
  std::vector<Cell> titles;
  for (size_t i = 0; i < columns_.size(); ++i) {
    titles.emplace_back(columns_[i].title, Style::heading);
    if (with_titles) widths[i] = width_of(columns_[i].title);
    for (const auto& row : rows_) widths[i] = std::max(widths[i], width_of(row[i].text));
  }
  std::string text;
  if (with_titles) text += line(terminal, titles, widths);
  for (const auto& row : rows_) text += line(terminal, row, widths);
  return text;
}

std::string Table::line(const Terminal& terminal, const std::vector<Cell>& row, const std::vector<size_t>& widths) const {
  std::string text;
  size_t used = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const bool last = i + 1 == row.size();
    std::string shown = row[i].text;
    if (last && terminal.width > 0)
      shown = fit(shown, std::max(last_width_min, terminal.width > used ? terminal.width - used : 0));
    const size_t width = width_of(shown);
    const std::string padding(widths[i] > width ? widths[i] - width : 0, ' ');
    if (columns_[i].align == Align::right) text += padding;
    text += paint(terminal, row[i].style, shown);
    if (last) break;
    if (columns_[i].align == Align::left) text += padding;
    text.append(gap, ' ');
    used += widths[i] + gap;
  }
  const size_t end = text.find_last_not_of(' ');
  text.resize(end == std::string::npos ? 0 : end + 1);
  return text + "\n";
}

}  // namespace canopy::console
