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
  for (const std::string& name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

// Sections that are one kind of thing: shard-0, shard-1, … stand side by side.
struct Group {
  std::string title;
  std::vector<const client::Section*> sections;
  std::vector<std::string> fields;  // of the first section, then what only others have
};

std::string stem_of(const std::string& name) {
  const size_t end = name.find_last_not_of("0123456789");
  return end != std::string::npos && end + 1 < name.size() && end > 0 && name[end] == '-' ? name.substr(0, end) : name;
}

std::vector<Group> grouped_sections(const client::Status& status) {
  std::vector<Group> groups;
  for (const client::Section& section : status.sections) {
    const std::string stem = stem_of(section.name);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& known) { return known.title == stem; });
    if (group == groups.end()) group = groups.insert(groups.end(), {stem, {}, {}});
    group->sections.push_back(&section);
    for (const auto& [name, value] : section.fields)
      if (std::find(group->fields.begin(), group->fields.end(), name) == group->fields.end()) group->fields.push_back(name);
  }
  return groups;
}

const std::variant<uint64_t, std::string>* find_field(const client::Section& section, const std::string& name) {
  for (const auto& [known, value] : section.fields)
    if (known == name) return &value;
  return nullptr;
}

// Returns whether the field says nothing in any of the group's sections.
bool is_idle(const Group& group, const std::string& field) {
  return std::all_of(group.sections.begin(), group.sections.end(), [&](const client::Section* section) {
    const auto* value = find_field(*section, field);
    if (!value) return true;
    const auto* number = std::get_if<uint64_t>(value);
    return number ? *number == 0 : std::get<std::string>(*value).empty();
  });
}

std::string field_text(const client::Section& section, const std::string& name) {
  const auto* value = find_field(section, name);
  if (!value) return "";
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  const uint64_t number = std::get<uint64_t>(*value);
  const std::string_view view(name);
  const bool bytes = view.substr(0, 6) == "bytes_" || (view.size() > 6 && view.substr(view.size() - 6) == "_bytes");
  return bytes ? bytes_text(number) : grouped(number);
}

// Buckets that are dealt out in turn make no ranges: the first ones stand for them.
std::string ranges_that_fit(const std::vector<uint32_t>& numbers) {
  constexpr size_t widest = 48;
  const std::string all = ranges(numbers);
  return all.size() <= widest ? all : all.substr(0, all.rfind(',', widest)) + ", … (--all)";
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
               grouped(share.primary.size()), grouped(share.backup), ranges_that_fit(share.primary)});
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

std::string status_tables(const client::Status& status, const Terminal& terminal, bool all) {
  const std::vector<Group> groups = grouped_sections(status);
  // One width for the names of all tables, so that the values stand below each other.
  size_t width = 0;
  for (const Group& group : groups)
    for (const std::string& field : group.fields)
      if (all || !is_idle(group, field)) width = std::max(width, width_of(field));
  std::string text;
  size_t hidden = 0;
  for (const Group& group : groups) {
    std::vector<Column> columns{{group.title + std::string(width - std::min(width, width_of(group.title)), ' ')}};
    for (const client::Section* section : group.sections)
      columns.push_back({group.sections.size() > 1 ? section->name : "", group.sections.size() > 1 ? Align::right : Align::left});
    Table table(std::move(columns));
    for (const std::string& field : group.fields) {
      if (!all && is_idle(group, field)) {
        ++hidden;
        continue;
      }
      std::vector<Cell> row{field + std::string(width - width_of(field), ' ')};
      for (const client::Section* section : group.sections) row.emplace_back(field_text(*section, field));
      table.add(std::move(row));
    }
    if (table.empty()) continue;
    if (!text.empty()) text += "\n";
    text += table.render(terminal);
  }
  if (hidden > 0) {
    const std::string note = counted(hidden, "counter is", "counters are") + " zero and not shown: --all";
    text += fmt::format("\n{}\n", paint(terminal, Style::dim, note));
  }
  return text;
}

}  // namespace canopy::console
