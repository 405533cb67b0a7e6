#include "tree_picture.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "text.h"

namespace canopy::console {
namespace {

using client::Reflector;
using client::Tree;

constexpr size_t leaves_shown = 4;     // of one reflector
constexpr size_t branches_shown = 12;  // of one reflector

struct Row {
  std::string lines;   // box characters
  std::string label;
  std::optional<uint64_t> children;  // none for a leaf
  uint64_t followers = 0;
  Style style = Style::plain;
};

class Picture {
 public:
  Picture(const Tree& tree, bool all) : tree_(tree), all_(all), children_(tree.reflectors.size()) {
    for (size_t i = 0; i < tree.reflectors.size(); ++i) {
      const size_t parent = tree.reflectors[i].parent;
      if (parent < i) children_[parent].push_back(i);  // anything else would not be a tree
      else if (parent == i) roots_.push_back(i);
    }
  }
  std::vector<Row> rows() {
    for (const size_t root : roots_) {
      add(root, "");
      below(root, "");
    }
    return std::move(rows_);
  }

 private:
  bool is_leaf(size_t at) const { return tree_.reflectors[at].kind == "leaf"; }

  void add(size_t at, const std::string& lines) {
    const Reflector& reflector = tree_.reflectors[at];
    Row row;
    row.lines = lines;
    row.label = reflector.kind;
    if (reflector.bucket) row.label += fmt::format(" bucket {}", *reflector.bucket);
    if (!reflector.node.empty()) row.label += " on " + printable(reflector.node);
    if (!is_leaf(at)) row.children = reflector.children;
    row.followers = reflector.followers;
    row.style = reflector.kind == "root" ? Style::heading : is_leaf(at) ? Style::plain : Style::accent;
    rows_.push_back(std::move(row));
  }

  void add_rest(const std::vector<size_t>& rest, const std::string& lines, std::string_view one, std::string_view many) {
    uint64_t followers = 0, children = 0;
    for (const size_t at : rest) {
      followers += tree_.reflectors[at].followers;
      if (!is_leaf(at)) children += tree_.reflectors[at].children;
    }
    Row row;
    row.lines = lines;
    row.label = fmt::format("… {} more {}", grouped(rest.size()), rest.size() == 1 ? one : many);
    if (children > 0) row.children = children;
    row.followers = followers;
    row.style = Style::dim;
    rows_.push_back(std::move(row));
  }

  // Branches first, then leaves, each kind cut to what is shown.
  void below(size_t parent, const std::string& indent) {
    std::vector<size_t> shown, branches_left, leaves_left;
    select(parent, false, branches_shown, shown, branches_left);
    const size_t branches = shown.size();
    select(parent, true, leaves_shown, shown, leaves_left);
    const size_t lines = shown.size() + (branches_left.empty() ? 0 : 1) + (leaves_left.empty() ? 0 : 1);
    size_t line = 0;
    const auto joint = [&] { return indent + (++line == lines ? "└─ " : "├─ "); };
    for (size_t i = 0; i <= shown.size(); ++i) {
      if (i == branches && !branches_left.empty()) add_rest(branches_left, joint(), "branch", "branches");
      if (i == shown.size()) break;
      add(shown[i], joint());
      below(shown[i], indent + (line == lines ? "   " : "│  "));
    }
    if (!leaves_left.empty()) add_rest(leaves_left, joint(), "leaf", "leaves");
  }

  void select(size_t parent, bool leaves, size_t most, std::vector<size_t>& shown, std::vector<size_t>& rest) const {
    std::vector<size_t> kind;
    for (const size_t child : children_[parent])
      if (is_leaf(child) == leaves) kind.push_back(child);
    // A line for the rest saves nothing when the rest is one.
    const size_t count = all_ || kind.size() <= most + 1 ? kind.size() : most;
    shown.insert(shown.end(), kind.begin(), kind.begin() + static_cast<ptrdiff_t>(count));
    rest.assign(kind.begin() + static_cast<ptrdiff_t>(count), kind.end());
  }

  const Tree& tree_;
  bool all_;
  std::vector<std::vector<size_t>> children_;
  std::vector<size_t> roots_;
  std::vector<Row> rows_;
};

std::string headline(const Tree& tree, const Terminal& terminal) {
  const auto leaves = static_cast<uint64_t>(std::count_if(
      tree.reflectors.begin(), tree.reflectors.end(), [](const Reflector& reflector) { return reflector.kind == "leaf"; }));
  return paint(terminal, Style::heading, printable(tree.entity)) +
         fmt::format(" · {} · {} · {}\n", counted(tree.followers, "follower", "followers"),
                     counted(tree.levels, "level", "levels"), counted(leaves, "leaf", "leaves"));
}

// Returns the count with its word, the digits and the words of all rows below each other.
std::string count_cell(std::optional<uint64_t> count, size_t digits, std::string_view one, std::string_view many) {
  if (!count) return std::string(digits + 1 + many.size(), ' ');
  return fmt::format("{:>{}} {:<{}}", grouped(*count), digits, *count == 1 ? one : many, many.size());
}

}  // namespace

std::string tree_picture(const Tree& tree, const Terminal& terminal, bool all) {
  std::string text = headline(tree, terminal);
  const std::vector<Row> rows = Picture(tree, all).rows();
  size_t left = 0, children = 0, followers = 0;
  for (const Row& row : rows) {
    left = std::max(left, width_of(row.lines) + width_of(row.label));
    children = std::max(children, grouped(row.children.value_or(0)).size());
    followers = std::max(followers, grouped(row.followers).size());
  }
  for (const Row& row : rows) {
    text += paint(terminal, Style::dim, row.lines) + paint(terminal, row.style, row.label);
    text += std::string(left - width_of(row.lines) - width_of(row.label), ' ') + "  " +
            count_cell(row.children, children, "child", "children") + "  " +
            count_cell(row.followers, followers, "follower", "followers");
    text.resize(text.find_last_not_of(' ') + 1);
    text += "\n";
  }
  return text;
}

}  // namespace canopy::console
