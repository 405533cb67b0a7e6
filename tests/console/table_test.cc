#include "table.h"

#include <doctest/doctest.h>
#include <stdexcept>

namespace canopy::console {

TEST_CASE("table: columns are aligned by what is seen") {
  Table table({{"NAME"}, {"COUNT", Align::right}, {"BODY"}});
  table.add({"日本", "7", "x"});
  table.add({"wörld", "1,234", "y"});
  table.add({"bob", "12", ""});
  CHECK(table.render({}) ==
        "NAME   COUNT  BODY\n"
        "日本       7  x\n"
        "wörld  1,234  y\n"
        "bob       12\n");
}

TEST_CASE("table: without titles they take no room") {
  Table table({{"a long title"}, {"another"}});
  table.add({"k", "v"});
  CHECK(table.render({}, false) == "k  v\n");
}

TEST_CASE("table: on a terminal the last column is cut to the line, in a pipe nothing is") {
  Table table({{"A"}, {"B"}});
  table.add({"one", "0123456789012345678901234567890123456789"});
  CHECK(table.render({true, false, 30}, false) == "one  012345678901234567890123…\n");
  CHECK(table.render({}, false) == "one  0123456789012345678901234567890123456789\n");
}

TEST_CASE("table: cells cannot break the picture") {
  Table table({{"A"}, {"B"}});
  table.add({"a\nb", "\x1b[2Jx"});
  CHECK(table.render({}, false) == "a\\nb  \\x1b[2Jx\n");
}

TEST_CASE("table: colours only where the terminal has them, and they take no room") {
  Table table({{"A"}, {"B"}});
  table.add({{"x", Style::good}, "y"});
  table.add({"long", "z"});
  CHECK(table.render({true, false, 80}, false) == "x     y\nlong  z\n");
  CHECK(table.render({true, true, 80}, false) == "\x1b[32mx\x1b[0m     y\nlong  z\n");
}

TEST_CASE("table: a row with another number of cells is a mistake of the program") {
  Table table({{"A"}, {"B"}});
  CHECK_THROWS_AS(table.add({"x"}), std::logic_error);
}

}  // namespace canopy::console
