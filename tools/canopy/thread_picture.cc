#include "thread_picture.h"

#include <algorithm>
#include <fmt/format.h>

#include "text.h"

namespace canopy::console {
namespace {

constexpr size_t body_width_min = 16;

// One line: time and id in columns, then the tree's lines, the author and what was said.
struct Row {
  std::string time, id;
  std::string lines;  // box characters
  std::string author, body;
  Style style = Style::plain;  // of the body
};

class Picture {
 public:
  void add(const client::Entry& entry, std::string lines, Style style) {
    rows_.push_back({local_time(entry.time_ms), std::to_string(entry.id), std::move(lines), printable(entry.author),
                     printable(entry.body), style});
  }
  void add_note(std::string lines, std::string note) {
    rows_.push_back({{}, {}, std::move(lines), {}, std::move(note), Style::dim});
  }
  void add_replies(const ThreadNode& node, const std::string& indent) {
    const std::string note =
        node.next > 0 ? fmt::format("… more replies: canopy thread {} --after {}", node.entry.id, node.next) : "";
    for (size_t i = 0; i < node.replies.size(); ++i) {
      const bool last = i + 1 == node.replies.size() && note.empty();
      add(node.replies[i].entry, indent + (last ? "└─ " : "├─ "), Style::plain);
      add_replies(node.replies[i], indent + (last ? "   " : "│  "));
    }
    if (!note.empty()) add_note(indent + "└─ ", note);
  }

  std::string render(const Terminal& terminal) const {
    size_t time = 0, id = 0;
    for (const Row& row : rows_) {
      time = std::max(time, width_of(row.time));
      id = std::max(id, width_of(row.id));
    }
    std::string text;
    for (const Row& row : rows_) {
      const size_t used = time + id + 4 + width_of(row.lines) + (row.author.empty() ? 0 : width_of(row.author) + 2);
      std::string body = row.body;
      if (terminal.width > 0) body = fit(body, std::max(body_width_min, terminal.width > used ? terminal.width - used : 0));
      text += paint(terminal, Style::dim, row.time) + std::string(time - width_of(row.time) + 2, ' ');
      text += std::string(id - width_of(row.id), ' ') + paint(terminal, Style::dim, row.id) + "  ";
      text += paint(terminal, Style::dim, row.lines);
      if (!row.author.empty()) text += paint(terminal, Style::accent, row.author) + "  ";
      text += paint(terminal, row.style, body);
      text.resize(text.find_last_not_of(' ') + 1);
      text += "\n";
    }
    return text;
  }

 private:
  std::vector<Row> rows_;
};

}  // namespace

std::string thread_picture(const ThreadNode& about, const client::Entry* parent, const Terminal& terminal) {
  Picture picture;
  std::string indent;
  if (parent) {
    picture.add(*parent, "", Style::plain);
    picture.add(about.entry, "└─ ", Style::heading);
    indent = "   ";
  } else {
    if (about.entry.reply_to) picture.add_note("", fmt::format("(a reply to {}, which is gone)", about.entry.reply_to));
    picture.add(about.entry, "", Style::heading);
  }
  picture.add_replies(about, indent);
  return picture.render(terminal);
}

}  // namespace canopy::console
