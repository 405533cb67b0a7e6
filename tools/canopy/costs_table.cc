#include "costs_table.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <map>

#include "text.h"

namespace canopy::console {
namespace {

using client::LeafCosts;
using client::Reflector;

constexpr size_t leaves_shown = 20;
constexpr std::array<std::string_view, 3> modes{"append", "merge", "lazy"};

// A leaf, or several of them together.
struct Sum {
  size_t leaves = 0, measured = 0;
  uint64_t followers = 0, warm = 0;
  double messages_per_s = 0, reads_per_s = 0;   // messages: each comes to all leaves, so the most of any
  std::array<uint64_t, 3> ns{};                 // for each message, in all of them that were measured
  std::string mode;                             // "" when they differ
  bool forced = false;

  void add(const Reflector& leaf) {
    const LeafCosts costs = leaf.costs.value_or(LeafCosts());
    mode = leaves == 0 || mode == costs.mode ? costs.mode : "";
    forced = forced || costs.forced;
    ++leaves;
    followers += leaf.followers;
    warm += costs.warm;
    if (!costs.measured) return;
    ++measured;
    messages_per_s = std::max(messages_per_s, costs.measured->messages_per_s);
    reads_per_s += costs.measured->reads_per_s;
    ns[0] += costs.measured->append_ns;
    ns[1] += costs.measured->merge_ns;
    ns[2] += costs.measured->lazy_ns;
  }
};

std::string rate_text(double per_second) {
  if (per_second >= 100) return grouped(static_cast<uint64_t>(per_second + 0.5));
  return fmt::format("{:.{}f}", per_second, per_second >= 10 ? 1 : per_second >= 0.1 || per_second == 0 ? 2 : 4);
}

std::vector<Cell> row(Cell bucket, Cell node, const Sum& sum) {
  std::vector<Cell> cells{std::move(bucket), std::move(node), sum.mode.empty() ? Cell("mixed", Style::dim) : Cell(sum.mode),
                          grouped(sum.followers), grouped(sum.warm)};
  const bool measured = sum.measured > 0;
  cells.push_back(measured ? rate_text(sum.messages_per_s) : "–");
  cells.push_back(measured ? rate_text(sum.reads_per_s) : "–");
  for (size_t i = 0; i < modes.size(); ++i) {
    if (!measured) cells.emplace_back("–", Style::dim);
    else if (modes[i] == sum.mode) cells.emplace_back("● " + cost_text(sum.ns[i]), Style::good);
    else cells.emplace_back(cost_text(sum.ns[i]));
  }
  return cells;
}

std::string headline(const client::Tree& tree, const std::vector<const Reflector*>& leaves, const Terminal& terminal) {
  std::map<std::string, size_t> by_mode;
  bool forced = false;
  for (const Reflector* leaf : leaves) {
    ++by_mode[leaf->costs ? leaf->costs->mode : "unknown"];
    forced = forced || (leaf->costs && leaf->costs->forced);
  }
  std::string text = paint(terminal, Style::heading, printable(tree.entity)) +
                     fmt::format(" · {} · {}", counted(tree.followers, "follower", "followers"), counted(leaves.size(), "leaf", "leaves"));
  for (const auto& [mode, count] : by_mode) text += fmt::format(" · {} {}", grouped(count), printable(mode));
  return text + (forced ? " (timeline.mode)\n" : "\n");
}

}  // namespace

std::string cost_text(uint64_t ns) {
  const auto value = static_cast<double>(ns);
  const auto digits = [](double v, const char* unit) { return fmt::format("{:.{}f} {}", v, v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, unit); };
  if (ns < 1000) return fmt::format("{} ns", ns);
  if (value < 999.5e3) return digits(value / 1e3, "µs");
  if (value < 999.5e6) return digits(value / 1e6, "ms");
  return digits(value / 1e9, "s");
}

std::string costs_table(const client::Tree& tree, const Terminal& terminal, bool all) {
  std::vector<const Reflector*> leaves;
  for (const Reflector& reflector : tree.reflectors)
    if (reflector.kind == "leaf") leaves.push_back(&reflector);
  std::string text = headline(tree, leaves, terminal);
  if (leaves.empty()) return text;
  std::stable_sort(leaves.begin(), leaves.end(), [](const Reflector* a, const Reflector* b) { return a->followers > b->followers; });

  Table table({{"BUCKET", Align::right}, {"NODE"}, {"MODE"}, {"FOLLOWERS", Align::right}, {"WARM", Align::right}, {"MESSAGES/S", Align::right},
               {"READS/S", Align::right}, {"APPEND", Align::right}, {"MERGE", Align::right}, {"LAZY", Align::right}});
  const size_t shown = all || leaves.size() <= leaves_shown + 1 ? leaves.size() : leaves_shown;
  Sum rest, total;
  for (size_t i = 0; i < leaves.size(); ++i) {
    total.add(*leaves[i]);
    if (i >= shown) {
      rest.add(*leaves[i]);
      continue;
    }
    Sum one;
    one.add(*leaves[i]);
    table.add(row(leaves[i]->bucket ? std::to_string(*leaves[i]->bucket) : "?", leaves[i]->node, one));
  }
  if (rest.leaves > 0) table.add(row({"…", Style::dim}, {fmt::format("{} more", grouped(rest.leaves)), Style::dim}, rest));
  if (leaves.size() > 1) table.add(row({"all", Style::heading}, "", total));
  text += table.render(terminal);
  text += "\nWARM: timelines in memory. The last three: what a message costs there in each mode, with the reads that it causes.\n";
  if (total.measured < total.leaves) text += "–: not enough was seen of it yet.\n";
  return text;
}

}  // namespace canopy::console
