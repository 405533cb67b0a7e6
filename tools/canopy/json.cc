#include "json.h"

#include <nlohmann/json.hpp>

#include "base64.h"

namespace canopy::console {
namespace {

using Json = nlohmann::ordered_json;

// What is not UTF-8 becomes U+FFFD: names are checked by the fabric, so only bodies can hold it.
std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

bool is_utf8(const std::string& bytes) {
  try {
    return !Json(bytes).dump().empty();
  } catch (const Json::exception&) {
    return false;
  }
}

Json json(const client::Entry& entry) {
  Json to{{"position", entry.position}, {"id", std::to_string(entry.id)}, {"author", entry.author}, {"time", entry.time_ms}};
  if (!entry.type.empty()) to["type"] = entry.type;
  if (is_utf8(entry.body))
    to["body"] = entry.body;
  else
    to["body_base64"] = base64(entry.body);
  if (entry.reply_to) to["reply_to"] = std::to_string(entry.reply_to);
  if (!entry.mentions.empty()) to["mentions"] = entry.mentions;
  if (!entry.topics.empty()) to["topics"] = entry.topics;
  return to;
}
Json json(const std::vector<client::Entry>& entries) {
  Json list = Json::array();
  for (const client::Entry& entry : entries) list.push_back(json(entry));
  return list;
}

Json json(const client::Node& node) {
  return {{"name", node.name}, {"state", node.state}, {"client", node.client}, {"feed", node.feed},
          {"link", node.link}, {"zone", node.zone},   {"weight", node.weight}};
}

Json json(const client::LeafCosts& costs) {
  Json to{{"mode", costs.mode}, {"forced", costs.forced}, {"warm", costs.warm}};
  if (const auto& m = costs.measured)
    to.update({{"messages_per_s", m->messages_per_s}, {"reads_per_s", m->reads_per_s},
               {"append_ns", m->append_ns}, {"merge_ns", m->merge_ns}, {"lazy_ns", m->lazy_ns}});
  return to;
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

std::string json_of(const client::Error& error) {
  Json inner{{"code", name_of(error.code)}, {"message", error.message}};
  if (error.retry_after.count() > 0) inner["retry_after_ms"] = error.retry_after.count();
  return dumped({{"error", std::move(inner)}});
}

std::string json_of(const client::NodeInfo& info) {
  return dumped({{"node", info.node}, {"fabric", info.fabric}, {"fabric_id", info.fabric_id},
                 {"version", info.version}, {"map_version", info.map_version}});
}

std::string json_of(const client::Published& published) {
  return dumped({{"id", std::to_string(published.id)}, {"time", published.time_ms}});
}

std::string json_of(const client::Entry& entry) { return dumped(json(entry)); }

std::string json_of(const client::Page& page) {
  return dumped({{"entries", json(page.entries)}, {"next", or_null(page.next)}, {"unread", or_null(page.unread)},
                 {"truncated", page.truncated}, {"incomplete", page.incomplete}});
}

std::string json_of(const client::Thread& thread) {
  return dumped({{"message", json(thread.message)}, {"parent", thread.parent ? json(*thread.parent) : Json(nullptr)},
                 {"replies", json(thread.replies)}, {"next", or_null(thread.next)}});
}

std::string json_of(const client::Retention& retention) {
  const auto bound = [](uint64_t most) { return most ? Json(most) : Json(nullptr); };
  return dumped({{"count", bound(retention.count)}, {"age", bound(static_cast<uint64_t>(retention.age.count()))}});
}

std::string json_of(const client::Forwarding& forwarding) {
  return dumped({{"state", forwarding.off ? "off" : forwarding.state == client::FollowState::active ? "active" : "pending"}});
}

std::string json_of(const client::Names& names) {
  return dumped({{"names", names.names}, {"next", or_null(names.next)}, {"count", names.count}});
}

std::string json_of(const client::Place& place) {
  return dumped({{"entity", place.entity}, {"bucket", place.bucket}, {"epoch", place.epoch},
                 {"primary", place.primary}, {"backups", place.backups}, {"endpoint", place.endpoint}});
}

std::string json_of(const client::Map& map) {
  Json nodes = Json::array(), buckets = Json::array();
  for (const client::Node& node : map.nodes) nodes.push_back(json(node));
  for (const client::Bucket& bucket : map.buckets)
    buckets.push_back({{"bucket", bucket.bucket}, {"primary", bucket.primary}, {"backups", bucket.backups},
                       {"epoch", bucket.epoch}, {"incarnation", bucket.incarnation}});
  return dumped({{"version", map.version}, {"bucket_count", map.bucket_count}, {"nodes", std::move(nodes)},
                 {"buckets", std::move(buckets)}});
}

std::string json_of(const std::vector<client::Node>& nodes) {
  Json list = Json::array();
  for (const client::Node& node : nodes) list.push_back(json(node));
  return dumped(list);
}

std::string json_of(const client::Tree& tree) {
  Json reflectors = Json::array();
  for (const client::Reflector& reflector : tree.reflectors) {
    reflectors.push_back({{"kind", reflector.kind}, {"bucket", or_null(reflector.bucket)}, {"node", reflector.node},
                          {"children", reflector.children}, {"followers", reflector.followers},
                          {"level", reflector.level}, {"parent", reflector.parent}});
    if (reflector.costs) reflectors.back()["costs"] = json(*reflector.costs);
  }
  return dumped({{"entity", tree.entity}, {"followers", tree.followers}, {"levels", tree.levels},
                 {"reflectors", std::move(reflectors)}});
}

std::string json_of(const client::Status& status) {
  Json sections = Json::object();
  for (const client::Section& section : status.sections) {
    Json fields = Json::object();
    for (const auto& [name, value] : section.fields)
      std::visit([&, &field = name](const auto& known) { fields[field] = known; }, value);
    sections[section.name] = std::move(fields);
  }
  return dumped(sections);
}

std::string json_object(const std::vector<std::pair<std::string, JsonValue>>& fields) {
  Json object = Json::object();
  for (const auto& [name, value] : fields)
    std::visit([&, &field = name](const auto& known) { object[field] = known; }, value);
  return dumped(object);
}

}  // namespace canopy::console
