#include "map_tables.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "text.h"

namespace canopy::console {
namespace {

struct Share {
  std::vector<uint32_t> primary;
  uint64_t backup = 0;
};

// By node name, the nodes of the table and those that only buckets name.
std::map<std::string, Share> shares_of(const client::Map& map) {
  std::map<std::string, Share> shares;
  for (const client::Node& node : map.nodes) shares[node.name];
  for (const client::Bucket& bucket : map.buckets) {
    if (!bucket.primary.empty()) shares[bucket.primary].primary.push_back(bucket.bucket);
    for (const std::string& backup : bucket.backups) ++shares[backup].backup;
  }
  for (auto& [name, share] : shares) std::sort(share.primary.begin(), share.primary.end());
  return shares;
}

Cell state_cell(const std::string& state) {
  return {state.empty() ? "?" : state, state == "up" ? Style::good : Style::bad};
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string field_text(const std::string& name, const std::variant<uint64_t, std::string>& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const uint64_t number = std::get<uint64_t>(value);
  const auto ends_with = [&](std::string_view end) {
    return name.size() > end.size() && std::string_view(name).substr(name.size() - end.size()) == end;
  };
  if (ends_with("_bytes") && number >= 1024) return bytes_text(number);
  return grouped(number);
}

}  // namespace

std::string nodes_table(const client::Map& map, const Terminal& terminal) {
  const auto shares = shares_of(map);
  const bool zones = std::any_of(map.nodes.begin(), map.nodes.end(), [](const auto& node) { return !node.zone.empty(); });
  std::vector<Column> columns{{"NODE"}, {"STATE"}, {"PRIMARIES", Align::right}, {"BACKUPS", Align::right}, {"WEIGHT", Align::right}};
  if (zones) columns.push_back({"ZONE"});
  columns.push_back({"CLIENTS"});
  columns.push_back({"FEEDS"});
  columns.push_back({"LINKS"});
  Table table(std::move(columns));
  for (const client::Node& node : map.nodes) {
    const Share& share = shares.at(node.name);
    std::vector<Cell> row{{node.name, Style::accent}, state_cell(node.state), grouped(share.primary.size()),
                          grouped(share.backup), fmt::format("{:g}", node.weight)};
    if (zones) row.emplace_back(node.zone);
    row.emplace_back(node.client);
    row.emplace_back(node.feed);
    row.emplace_back(node.link);
    table.add(std::move(row));
  }
  return table.render(terminal);
}

std::string map_table(const client::Map& map, const Terminal& terminal) {
  std::string text = fmt::format("map version {} · {} · {}\n\n", map.version, counted(map.bucket_count, "bucket", "buckets"),
                                 counted(map.nodes.size(), "node", "nodes"));
  Table table({{"NODE"}, {"STATE"}, {"PRIMARIES", Align::right}, {"BACKUPS", Align::right}, {"PRIMARY OF"}});
  for (const auto& [name, share] : shares_of(map)) {
    const auto node = std::find_if(map.nodes.begin(), map.nodes.end(), [&, &wanted = name](const auto& n) { return n.name == wanted; });
    table.add({{name, Style::accent}, node == map.nodes.end() ? Cell("?", Style::bad) : state_cell(node->state),
               grouped(share.primary.size()), grouped(share.backup), ranges(share.primary)});
  }
  text += table.render(terminal);
  const auto orphans = std::count_if(map.buckets.begin(), map.buckets.end(), [](const auto& b) { return b.primary.empty(); });
  if (orphans > 0)
    text += paint(terminal, Style::bad, counted(static_cast<uint64_t>(orphans), "bucket has", "buckets have") + " no primary") + "\n";
  return text;
}

std::string buckets_table(const client::Map& map, const Terminal& terminal) {
  Table table({{"BUCKET", Align::right}, {"EPOCH", Align::right}, {"INCARNATION", Align::right}, {"PRIMARY"}, {"BACKUPS"}});
  for (const client::Bucket& bucket : map.buckets)
    table.add({std::to_string(bucket.bucket), std::to_string(bucket.epoch), std::to_string(bucket.incarnation),
               {bucket.primary, Style::accent}, joined(bucket.backups)});
  return table.render(terminal);
}

std::string status_tables(const client::Status& status, const Terminal& terminal) {
  size_t width = 0;  // of all sections, so that the values stand in one column
  for (const client::Section& section : status.sections)
    for (const auto& [name, value] : section.fields) width = std::max(width, width_of(name));
  std::string text;
  for (const client::Section& section : status.sections) {
    if (!text.empty()) text += "\n";
    text += paint(terminal, Style::heading, printable(section.name)) + "\n";
    Table table({{""}, {""}, {""}});
    for (const auto& [name, value] : section.fields)
      table.add({" ", name + std::string(width - width_of(name), ' '), field_text(name, value)});
    text += table.render(terminal, false);
  }
  return text;
}

}  // namespace canopy::console
