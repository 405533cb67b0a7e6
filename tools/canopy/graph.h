// The files of `canopy load`: follow graphs, and messages to publish. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "canopy/message.h"

namespace canopy::console {

struct Blank {};  // an empty line or a comment
struct BadLine {
  std::string why;
};

// A line "follower author", without its end: separated by the first TAB if there is one (then names
// may have spaces in them), else by white space. A line that begins with '#' is a comment.
std::variant<Blank, client::Pair, BadLine> parse_graph_line(std::string_view line);

// A line "author<TAB>body". A line that begins with '#' and has no TAB is a comment; a topic may publish.
std::variant<Blank, client::Message, BadLine> parse_message_line(std::string_view line);

}  // namespace canopy::console
