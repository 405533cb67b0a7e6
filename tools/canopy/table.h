// Tables for people: aligned by what a terminal shows, not by bytes. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace canopy::console {

// Where text goes. Colours and a width only on a terminal: a pipe gets everything, plain.
struct Terminal {
  bool tty = false;
  bool colour = false;
  size_t width = 0;  // columns; 0: no limit
};

enum class Style : unsigned char { plain, heading, dim, good, bad, warn, accent };
// Returns the text with the terminal's codes around it, or as it is where there are no colours.
std::string paint(const Terminal& terminal, Style style, std::string_view text);

enum class Align : unsigned char { left, right };
struct Column {
  std::string title;
  Align align = Align::left;
};

struct Cell {
  std::string text;  // made printable by the table
  Style style = Style::plain;
  Cell(std::string from) : text(std::move(from)) {}
  Cell(const char* from) : text(from) {}
  Cell(std::string from, Style in) : text(std::move(from)), style(in) {}
};

// Columns are as wide as their widest cell. On a terminal the last column is cut to what is left of
// the line. No cell is padded at the end of a line.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // REQUIRES: as many cells as columns.
  void add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  std::string render(const Terminal& terminal, bool with_titles = true) const;

 private:
  std::string line(const Terminal& terminal, const std::vector<Cell>& row, const std::vector<size_t>& widths) const;
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace canopy::console
