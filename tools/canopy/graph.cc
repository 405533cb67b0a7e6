#include "graph.h"

#include <fmt/format.h>

namespace canopy::console {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// The node checks names fully; here is what a wrong file looks like.
std::optional<std::string> wrong_name(std::string_view field, std::string_view name) {
  if (name.empty()) return fmt::format("{} is empty", field);
  if (name.size() > 200) return fmt::format("{} has {} bytes; a name has at most 200", field, name.size());
  for (const char c : name)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return fmt::format("{} has a control character in it", field);
  return std::nullopt;
}

}  // namespace

std::variant<Blank, client::Pair, BadLine> parse_graph_line(std::string_view line) {
  if (line.substr(0, 3) == "\xef\xbb\xbf") line.remove_prefix(3);  // the mark that some editors put first
  if (trimmed(line).empty() || line.front() == '#') return Blank{};
  line = line.substr(0, line.find_last_not_of('\r') + 1);
  std::string_view follower, author;
  if (const size_t tab = line.find('\t'); tab != std::string_view::npos && !trimmed(line.substr(0, tab)).empty()) {
    follower = trimmed(line.substr(0, tab));
    author = trimmed(line.substr(tab + 1));
    if (author.find('\t') != std::string_view::npos) return BadLine{"more than two columns"};
  } else {
    line = trimmed(line);
    const size_t space = line.find_first_of(blanks);
    if (space == std::string_view::npos) return BadLine{"one column; expected: follower author"};
    follower = line.substr(0, space);
    author = trimmed(line.substr(space));
    if (author.find_first_of(blanks) != std::string_view::npos)
      return BadLine{"more than two columns; names with spaces need a TAB between them"};
  }
  if (auto why = wrong_name("follower", follower)) return BadLine{*why};
  if (auto why = wrong_name("author", author)) return BadLine{*why};
  return client::Pair{std::string(follower), std::string(author)};
}

std::variant<Blank, client::Message, BadLine> parse_message_line(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (trimmed(line).empty()) return Blank{};
  const size_t tab = line.find('\t');
  if (tab == std::string_view::npos) {
    if (line.front() == '#') return Blank{};
    return BadLine{"no TAB; expected: author<TAB>body"};
  }
  const std::string_view author = trimmed(line.substr(0, tab));
  if (auto why = wrong_name("author", author)) return BadLine{*why};
  client::Message message;
  message.author = author;
  message.body = line.substr(tab + 1);
  return message;
}

}  // namespace canopy::console
