#include "graph.h"

#include <cstdio>
#include <doctest/doctest.h>

namespace canopy::console {
namespace {

std::string as_text(const std::variant<Blank, client::Pair, BadLine>& parsed) {
  if (const auto* pair = std::get_if<client::Pair>(&parsed)) return pair->follower + " > " + pair->author;
  if (const auto* bad = std::get_if<BadLine>(&parsed)) return "bad: " + bad->why;
  return "blank";
}

}  // namespace

TEST_CASE("graph: two columns, by TAB or by white space") {
  struct Row {
    const char* line;
    const char* parsed;
  };
  const Row rows[] = {
      {"bob alice", "bob > alice"},
      {"  bob \t alice  ", "bob > alice"},
      {"bob\talice\r", "bob > alice"},
      {"bob   #news", "bob > #news"},
      {"bob the builder\tcafé du coin", "bob the builder > café du coin"},
      {"\xef\xbb\xbf" "bob alice", "bob > alice"},
      {"", "blank"},
      {"   ", "blank"},
      {"\r", "blank"},
      {"# follower author", "blank"},
      {"bob", "bad: one column; expected: follower author"},
      {"a b c", "bad: more than two columns; names with spaces need a TAB between them"},
      {"a\tb\tc", "bad: more than two columns"},
      {"a\t", "bad: author is empty"},
      {"bob al\x01ice", "bad: author has a control character in it"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    CHECK(as_text(parse_graph_line(row.line)) == row.parsed);
  }
  CHECK(as_text(parse_graph_line(std::string(201, 'x') + " alice")) == "bad: follower has 201 bytes; a name has at most 200");
}

TEST_CASE("graph: a message is what stands after the first TAB") {
  auto parsed = parse_message_line("alice\thello\tworld \r");
  REQUIRE(std::holds_alternative<client::Message>(parsed));
  CHECK(std::get<client::Message>(parsed).author == "alice");
  CHECK(std::get<client::Message>(parsed).body == "hello\tworld ");
  CHECK(std::holds_alternative<client::Message>(parse_message_line("#news\tflood")));
  CHECK(std::holds_alternative<Blank>(parse_message_line("# a comment")));
  CHECK(std::holds_alternative<Blank>(parse_message_line("")));
  CHECK(std::holds_alternative<BadLine>(parse_message_line("no tab here")));
  CHECK(std::holds_alternative<BadLine>(parse_message_line("\tno author")));
}

}  // namespace canopy::console
