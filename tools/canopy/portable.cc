#include "portable.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base64.h"
#include "entries.h"
#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t format_version = 1;

struct Writer {
  std::string operator()(const ExportHeader& header) const {
    return Json{{"canopy_export", format_version}, {"entity", header.entity}}.dump();
  }
  std::string operator()(const ExportedFollow& follow) const { return Json{{"follows", follow.author}}.dump(); }
  std::string operator()(const ExportedFollower& follower) const { return Json{{"follower", follower.name}}.dump(); }
  std::string operator()(const ExportedEntry& entry) const {
    return fmt::format(R"({{"timeline":{},"entry":{}}})", Json(entry.timeline).dump(), json_of(entry.entry));
  }
  std::string operator()(const ExportEnd& end) const {
    return Json{{"canopy_export_end", Json{{"lines", end.lines}}}}.dump();
  }
  std::string operator()(const Blank&) const { throw std::logic_error("write_export_line: a blank line"); }
  std::string operator()(const BadLine&) const { throw std::logic_error("write_export_line: a bad line"); }
};

// What follows throws std::runtime_error and nlohmann's exceptions; parse_export_line() catches both.
const Json& member(const Json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end()) throw std::runtime_error(fmt::format("{} is missing", name));
  return *at;
}
std::string text(const Json& value, const char* name) {
  if (!value.is_string()) throw std::runtime_error(fmt::format("{} is not a text", name));
  return value.get<std::string>();
}
uint64_t number(const Json& value, const char* name) {
  if (!value.is_number_unsigned()) throw std::runtime_error(fmt::format("{} is not a number", name));
  return value.get<uint64_t>();
}
// Ids are strings; a program that wrote a number is understood.
uint64_t id(const Json& value, const char* name) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  const auto parsed = parse_number(text(value, name));
  if (!parsed) throw std::runtime_error(fmt::format("{} is not a message id", name));
  return *parsed;
}
std::vector<std::string> names(const Json& object, const char* name) {
  std::vector<std::string> list;
  const auto at = object.find(name);
  if (at == object.end()) return list;
  if (!at->is_array()) throw std::runtime_error(fmt::format("{} is not a list", name));
  for (const Json& item : *at) list.push_back(text(item, name));
  return list;
}

client::Entry entry_of(const Json& from) {
  client::Entry entry;
  entry.position = number(member(from, "position"), "position");
  entry.id = id(member(from, "id"), "id");
  entry.author = text(member(from, "author"), "author");
  entry.time_ms = number(member(from, "time"), "time");
  if (from.contains("type")) entry.type = text(from["type"], "type");
  if (from.contains("body_base64")) {
    auto body = from_base64(text(from["body_base64"], "body_base64"));
    if (!body) throw std::runtime_error("body_base64 is not base64");
    entry.body = std::move(*body);
  } else {
    entry.body = text(member(from, "body"), "body");
  }
  if (from.contains("reply_to")) entry.reply_to = id(from["reply_to"], "reply_to");
  entry.mentions = names(from, "mentions");
  entry.topics = names(from, "topics");
  return entry;
}

ExportLine line_of(const Json& from) {
  if (!from.is_object()) throw std::runtime_error("not a JSON object");
  if (from.contains("canopy_export")) {
    const uint64_t version = number(from["canopy_export"], "canopy_export");
    if (version != format_version) throw std::runtime_error(fmt::format("an export of version {}; this canopy reads version 1", version));
    return ExportHeader{text(member(from, "entity"), "entity")};
  }
  if (from.contains("follows")) return ExportedFollow{text(from["follows"], "follows")};
  if (from.contains("follower")) return ExportedFollower{text(from["follower"], "follower")};
  if (from.contains("timeline")) {
    std::string timeline = text(from["timeline"], "timeline");
    client::Timeline known;
    if (!parse_timeline(timeline, known)) throw std::runtime_error(fmt::format("there is no timeline '{}'", printable(timeline)));
    const Json& entry = member(from, "entry");
    if (!entry.is_object()) throw std::runtime_error("entry is not an object");
    return ExportedEntry{std::move(timeline), entry_of(entry)};
  }
  if (from.contains("canopy_export_end")) return ExportEnd{number(member(from["canopy_export_end"], "lines"), "lines")};
  throw std::runtime_error("not a line of an export");
}

}  // namespace

std::string write_export_line(const ExportLine& line) { return std::visit(Writer{}, line); }

ExportLine parse_export_line(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return Blank{};
  try {
    return line_of(Json::parse(line));
  } catch (const Json::exception&) {
    return BadLine{"not JSON"};
  } catch (const std::runtime_error& error) {
    return BadLine{error.what()};
  }
}

client::Message republish(const client::Entry& entry, const std::string& as, const Republished& known) {
  client::Message message;
  message.author = as;
  message.body = entry.body;
  message.type = entry.type;
  message.key = fmt::format("import-{}", entry.id);
  if (const auto at = known.find(entry.reply_to); entry.reply_to && at != known.end()) message.reply_to = at->second;
  message.mentions = entry.mentions;
  message.topics = entry.topics;
  return message;
}

}  // namespace canopy::console
