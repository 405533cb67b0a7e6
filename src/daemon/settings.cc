#include "daemon/settings.h"

#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <sstream>
#include <toml++/toml.h>
#include <type_traits>
#include <variant>

#include "base/limits.h"
#include "base/name.h"
#include "base/values.h"
#include "link/endpoint.h"

namespace canopy::daemon {
namespace {

using Names = std::vector<std::string>;

// A value as the file or the command line has it.
struct Value {
  std::variant<std::monostate, bool, int64_t, double, std::string, Names> is;  // monostate: none of these
  std::string shown;                                                           // for an error
};

struct Key {
  std::string_view name;
  std::function<std::optional<std::string>(Settings&, const Value&)> set;  // Returns what would be right
  std::function<std::string(const Settings&)> get;                        // in one fixed spelling
  bool run_time = false;                                                  // takes effect without a restart
  bool text = false;                                                      // --set needs no quotes
};

// ---- the kinds of keys; `field` is a lambda from Settings to the member

std::string in_quotes(std::string_view text) { return '"' + std::string(text) + '"'; }

// `judge` gives what would be right, "" when the text is right.
template <class Field, class Judge>
Key text_key(std::string_view name, Field field, Judge judge) {
  return {name,
          [=](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto* text = std::get_if<std::string>(&v.is);
            if (text == nullptr) return "want a text in quotes";
            if (std::string wrong = judge(*text); !wrong.empty()) return wrong;
            field(s) = *text;
            return std::nullopt;
          },
          [=](const Settings& s) { return in_quotes(field(s)); }, false, true};
}

template <class Field>
Key number_key(std::string_view name, Field field, int64_t least, int64_t most, std::string_view remark = "") {
  std::string want = "want a number from " + std::to_string(least) + " to " + std::to_string(most) + std::string(remark);
  return {name,
          [=](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto* number = std::get_if<int64_t>(&v.is);
            if (number == nullptr || *number < least || *number > most) return want;
            field(s) = static_cast<std::remove_cvref_t<decltype(field(s))>>(*number);
            return std::nullopt;
          },
          [=](const Settings& s) { return std::to_string(field(s)); }};
}

template <class Field>
Key size_key(std::string_view name, Field field, uint64_t least, uint64_t most) {
  std::string want = "want a size from " + in_quotes(show_size(least)) + " to " + in_quotes(show_size(most));
  return {name,
          [=](Settings& s, const Value& v) -> std::optional<std::string> {
            std::optional<uint64_t> bytes;
            if (const auto* text = std::get_if<std::string>(&v.is)) bytes = parse_size(*text);
            if (const auto* number = std::get_if<int64_t>(&v.is); number && *number >= 0) bytes = static_cast<uint64_t>(*number);
            if (!bytes || *bytes < least || *bytes > most) return want;
            field(s) = *bytes;
            return std::nullopt;
          },
          [=](const Settings& s) { return in_quotes(show_size(field(s))); }};
}

template <class Field>
Key duration_key(std::string_view name, Field field, Duration least = {}, Duration most = Duration::of_s(age_s_max)) {
  std::string want = "want a duration such as \"24h\" (ms, s, m, h, d)";
  if (least > Duration{}) want += ", from " + in_quotes(show_duration(least)) + " to " + in_quotes(show_duration(most));
  return {name,
          [=](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto* text = std::get_if<std::string>(&v.is);
            const auto duration = text ? parse_duration(*text) : std::nullopt;
            if (!duration || *duration < least || *duration > most) return want;
            field(s) = *duration;
            return std::nullopt;
          },
          [=](const Settings& s) { return in_quotes(show_duration(field(s))); }};
}

template <class Field>
Key flag_key(std::string_view name, Field field) {
  return {name,
          [=](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto* flag = std::get_if<bool>(&v.is);
            if (flag == nullptr) return "want true or false";
            field(s) = *flag;
            return std::nullopt;
          },
          [=](const Settings& s) { return std::string(field(s) ? "true" : "false"); }};
}

std::optional<Retention> to_retention(const Value& v) {
  if (const auto* text = std::get_if<std::string>(&v.is)) return parse_retention(*text);
  if (const auto* number = std::get_if<int64_t>(&v.is); number && *number > 0)
    return Retention{static_cast<uint64_t>(*number), 0};
  return std::nullopt;
}

constexpr std::string_view want_retention = "want a count, an age in whole seconds or both, such as \"10000\" or \"100000, 365d\", or \"\" for ever";

template <class Field>
Key retention_key(std::string_view name, Field field) {
  return {name,
          [=](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto retention = to_retention(v);
            if (!retention) return std::string(want_retention);
            field(s) = *retention;
            return std::nullopt;
          },
          [=](const Settings& s) { return in_quotes(show_retention(field(s))); }};
}

// A key of which only the default is there yet. To support more, take the not_yet() away.
Key not_yet(Key key) {
  std::string only = key.get(Settings());
  return {key.name,
          [key, only](Settings& s, const Value& v) -> std::optional<std::string> {
            if (auto wrong = key.set(s, v)) return wrong;
            if (key.get(s) != only) return "not supported yet; want " + only;
            return std::nullopt;
          },
          key.get, key.run_time, key.text};
}

// ---- single keys of their own kind

Key weight_key() {
  return {"node.weight",
          [](Settings& s, const Value& v) -> std::optional<std::string> {
            double weight = std::numeric_limits<double>::quiet_NaN();
            if (const auto* real = std::get_if<double>(&v.is)) weight = *real;
            if (const auto* number = std::get_if<int64_t>(&v.is)) weight = static_cast<double>(*number);
            if (!(weight >= 0.001 && weight <= 1000)) return "want a number from 0.001 to 1000.0";
            s.node.weight_milli = static_cast<uint32_t>(std::lround(weight * 1000));
            return std::nullopt;
          },
          [](const Settings& s) { return std::to_string(s.node.weight_milli); }};
}

Key seeds_key() {
  return {"fabric.seeds",
          [](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto* seeds = std::get_if<Names>(&v.is);
            if (seeds == nullptr) return "want a list of link endpoints, such as [\"tcp://10.0.0.1:7703\"]";
            if (seeds->size() > limits::nodes_max) return "want at most " + std::to_string(limits::nodes_max) + " seeds";
            for (const std::string& seed : *seeds)
              if (auto endpoint = link::parse_peer_endpoint(seed); !endpoint) return in_quotes(seed) + ": " + endpoint.error().message;
            s.fabric.seeds = *seeds;
            return std::nullopt;
          },
          [](const Settings& s) {
            std::string all;
            for (const std::string& seed : s.fabric.seeds) all += in_quotes(seed) + ' ';
            return all;
          }};
}

Key bucket_count_key() {
  Key key = number_key("fabric.bucket_count", [](auto& s) -> auto& { return s.fabric.bucket_count; }, 1, limits::bucket_count_max);
  const auto set = key.set;
  key.set = [set](Settings& s, const Value& v) -> std::optional<std::string> {
    if (set(s, v) || (s.fabric.bucket_count & (s.fabric.bucket_count - 1)) != 0)
      return "want a power of two from 1 to " + std::to_string(limits::bucket_count_max);
    return std::nullopt;
  };
  return key;
}

Key stream_key() {
  return {"retention.stream",
          [](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto retention = to_retention(v);
            if (!retention) return std::string(want_retention);
            if (retention->age_s != 0 || retention->count == 0) return "not supported yet; want a count such as \"10000\"";
            if (retention->count > 1'000'000'000) return "want a count from 1 to 1000000000";
            s.retention.stream = retention->count;
            return std::nullopt;
          },
          [](const Settings& s) { return in_quotes(std::to_string(s.retention.stream)); }};
}

constexpr std::array<std::pair<std::string_view, LogLevel>, 5> log_levels{{{"err", LogLevel::err},
                                                                           {"warning", LogLevel::warning},
                                                                           {"notice", LogLevel::notice},
                                                                           {"info", LogLevel::info},
                                                                           {"debug", LogLevel::debug}}};
Key log_level_key() {
  return {"log.level",
          [](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto* text = std::get_if<std::string>(&v.is);
            for (const auto& [name, level] : log_levels) {
              if (text == nullptr || *text != name) continue;
              s.log.level = level;
              return std::nullopt;
            }
            return "want \"err\", \"warning\", \"notice\", \"info\" or \"debug\"";
          },
          [](const Settings& s) {
            for (const auto& [name, level] : log_levels)
              if (s.log.level == level) return in_quotes(name);
            return std::string();
          },
          true, true};
}

std::string judge_listen(const std::string& text) {
  if (text.empty()) return "";
  const auto endpoint = link::parse_endpoint(text);
  return endpoint ? "" : endpoint.error().message + ", or \"\" for off";
}

std::string judge_advertise(const std::string& text) {
  if (text.empty()) return "";
  const auto endpoint = link::parse_peer_endpoint(text);
  return endpoint ? "" : endpoint.error().message;
}

std::string judge_name(const std::string& text) {
  const auto name = check_name("a name", text);
  return name ? "" : "want 1 to 200 bytes of UTF-8 without control characters";
}

std::string judge_zone(const std::string& text) { return text.empty() ? "" : judge_name(text); }

std::string judge_any(const std::string& text) {
  return text.find('\0') == std::string::npos ? "" : "want a text without a zero byte";
}

constexpr std::array<std::pair<std::string_view, Durability>, 3> durabilities{
    {{"commit", Durability::commit}, {"interval", Durability::interval}, {"memory", Durability::memory}}};

Key durability_key() {
  return {"store.durability",
          [](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto* text = std::get_if<std::string>(&v.is);
            for (const auto& [name, durability] : durabilities) {
              if (text == nullptr || *text != name) continue;
              s.store.durability = durability;
              return std::nullopt;
            }
            return "want \"commit\", \"interval\" or \"memory\"";
          },
          [](const Settings& s) { return in_quotes(durability_name(s.store.durability)); }, false, true};
}

Key mode_key() {
  return {"timeline.mode",
          [](Settings& s, const Value& v) -> std::optional<std::string> {
            const auto* text = std::get_if<std::string>(&v.is);
            const auto at = text ? std::find(leaf::mode_names.begin(), leaf::mode_names.end(), *text) : leaf::mode_names.end();
            if (text && *text == "auto") s.timeline.modes.forced.reset();
            else if (at == leaf::mode_names.end()) return "want \"auto\", \"append\", \"merge\" or \"lazy\"";
            else s.timeline.modes.forced = static_cast<leaf::Mode>(at - leaf::mode_names.begin());
            return std::nullopt;
          },
          [](const Settings& s) { return in_quotes(s.timeline.modes.forced ? leaf::mode_name(*s.timeline.modes.forced) : "auto"); }};
}

template <class Field>
Key cost_key(std::string_view name, Field field) {
  return number_key(name, field, 1, 1'000'000'000, ": nanoseconds, as `canopy tune` measures them");
}

#define FIELD(member) [](auto& s) -> auto& { return s.member; }

const std::vector<Key>& keys() {
  constexpr int64_t many = 1'000'000'000;
  constexpr uint64_t mib = 1 << 20, tib = uint64_t{1} << 40;
  static const std::vector<Key> table{
      text_key("node.name", FIELD(node.name), judge_name),
      text_key("node.data_dir", FIELD(node.data_dir), [](const std::string& t) { return t.empty() ? std::string("want a directory") : judge_any(t); }),
      text_key("node.zone", FIELD(node.zone), judge_zone),
      weight_key(),
      flag_key("node.insecure", FIELD(node.insecure)),
      text_key("listen.client", FIELD(listen.client), judge_listen),
      text_key("listen.feed", FIELD(listen.feed), judge_listen),
      text_key("listen.ingest", FIELD(listen.ingest), judge_listen),
      text_key("listen.link", FIELD(listen.link), judge_listen),
      not_yet(text_key("listen.metrics", FIELD(listen.metrics), judge_any)),
      text_key("advertise.client", FIELD(advertise.client), judge_advertise),
      text_key("advertise.feed", FIELD(advertise.feed), judge_advertise),
      text_key("advertise.link", FIELD(advertise.link), judge_advertise),
      text_key("fabric.name", FIELD(fabric.name), judge_name),
      seeds_key(),
      number_key("fabric.bootstrap_expect", FIELD(fabric.bootstrap_expect), 1, limits::nodes_max),
      bucket_count_key(),
      not_yet(number_key("fabric.replicas", FIELD(fabric.replicas), 1, limits::nodes_max)),
      not_yet(number_key("fabric.min_in_sync", FIELD(fabric.min_in_sync), 1, limits::nodes_max)),
      number_key("tree.fanout", FIELD(tree.fanout), 2, 4096),
      not_yet(number_key("tree.leaf_segment", FIELD(tree.leaf_segment), 1, many)),
      number_key("tree.max_hops", FIELD(tree.max_hops), 1, 255),
      durability_key(),
      duration_key("store.sync_interval", FIELD(store.sync_interval), Duration::of_ms(10), Duration::of_s(3600)),
      number_key("store.shards", FIELD(store.shards), 0, limits::shards_max, " (0: one per core)"),
      size_key("store.map_size", FIELD(store.map_size), 16 * mib, 64 * tib),
      number_key("timeline.capacity", FIELD(timeline.capacity), 1, 100'000),
      duration_key("timeline.active_window", FIELD(timeline.active_window)),
      mode_key(),
      size_key("timeline.memory", FIELD(timeline.memory), mib, 64 * tib),
      cost_key("costs.append_ns", FIELD(timeline.modes.costs.append)),
      cost_key("costs.deliver_ns", FIELD(timeline.modes.costs.deliver)),
      cost_key("costs.look_ns", FIELD(timeline.modes.costs.look)),
      cost_key("costs.merge_ns", FIELD(timeline.modes.costs.merge)),
      cost_key("costs.fetch_ns", FIELD(timeline.modes.costs.fetch)),
      retention_key("retention.mentions", FIELD(retention.mentions)),
      retention_key("retention.replies", FIELD(retention.replies)),
      retention_key("retention.topic", FIELD(retention.topic)),
      retention_key("retention.sent", FIELD(retention.sent)),
      stream_key(),
      size_key("limits.body_max", FIELD(limits.body_max), 1, limits::body_bytes_max),
      not_yet(size_key("limits.outbox_max", FIELD(limits.outbox_max), mib, 64 * tib)),
      size_key("limits.deliveries_max", FIELD(limits.deliveries_max), 64 << 10, 64 * tib),
      log_level_key(),
  };
  return table;
}

#undef FIELD

const Key* find_key(std::string_view name) {
  for (const Key& key : keys())
    if (key.name == name) return &key;
  return nullptr;
}

// Says which names there are, of the section if there is such a one.
std::string unknown(std::string_view name) {
  const std::string_view section = name.substr(0, name.find('.'));
  std::string of_section, sections;
  for (const Key& key : keys()) {
    const std::string_view its_section = key.name.substr(0, key.name.find('.'));
    if (its_section == section) of_section += (of_section.empty() ? "" : ", ") + std::string(key.name.substr(section.size() + 1));
    const std::string bracketed = '[' + std::string(its_section) + ']';
    if (!sections.ends_with(bracketed)) sections += (sections.empty() ? "" : ", ") + bracketed;
  }
  if (of_section.empty()) return "unknown setting; the sections are " + sections;
  return "unknown setting; [" + std::string(section) + "] has " + of_section;
}

tl::unexpected<Error> wrong(const std::string& where, std::string_view name, const std::string& shown, const std::string& why) {
  const std::string value = shown.empty() ? "" : " = " + shown;
  return failure(Code::bad_request, where + (where.empty() ? "" : ": ") + std::string(name) + value + ": " + why);
}

// ---- reading

Value to_value(const toml::node& node) {
  Value value;
  std::ostringstream shown;
  if (node.is_table())
    shown << "{…}";
  else
    node.visit([&](const auto& n) { shown << n; });
  value.shown = shown.str();
  if (value.shown.size() > 200) value.shown = value.shown.substr(0, 200) + "…";
  if (const auto* flag = node.as_boolean()) value.is = flag->get();
  if (const auto* number = node.as_integer()) value.is = number->get();
  if (const auto* real = node.as_floating_point()) value.is = real->get();
  if (const auto* text = node.as_string()) value.is = text->get();
  if (const auto* array = node.as_array()) {
    Names names;
    for (const toml::node& item : *array) {
      if (!item.is_string()) return value;
      names.push_back(item.as_string()->get());
    }
    value.is = std::move(names);
  }
  return value;
}

Result<void> set_one(Settings& settings, const std::string& where, std::string_view name, const Value& value) {
  const Key* key = find_key(name);
  if (key == nullptr) return wrong(where, name, value.shown, unknown(name));
  if (const auto right = key->set(settings, value)) return wrong(where, name, value.shown, *right);
  return {};
}

Result<void> set_from_toml(Settings& settings, std::string_view toml, std::string_view file) {
  try {
    const toml::table sections = toml::parse(toml, file);
    for (const auto& [section, node] : sections) {
      const auto where = [&file](const toml::node& n) { return std::string(file) + ':' + std::to_string(n.source().begin.line); };
      const toml::table* table = node.as_table();
      if (table == nullptr) return wrong(where(node), section.str(), to_value(node).shown, unknown(section.str()));
      if (table->empty() && unknown(section.str()).starts_with("unknown setting; the sections"))
        return wrong(where(node), section.str(), "", unknown(section.str()));
      for (const auto& [name, value] : *table)
        TRY(set_one(settings, where(value), std::string(section.str()) + '.' + std::string(name.str()), to_value(value)));
    }
    return {};
  } catch (const toml::parse_error& error) {
    return failure(Code::bad_request, std::string(file) + ':' + std::to_string(error.source().begin.line) + ": not TOML: " +
                                          std::string(error.description()));
  }
}

// The value of --set KEY=VALUE: as in the file, but a text and a size need no quotes.
Value override_value(const Key& key, const std::string& text) {
  const Value plain{text, in_quotes(text)};
  if (key.text && !text.starts_with('"') && !text.starts_with('\'')) return plain;
  try {
    const toml::table parsed = toml::parse("value = " + text);
    if (const toml::node* node = parsed.get("value"); node && parsed.size() == 1) return to_value(*node);
  } catch (const toml::parse_error&) {
    return plain;
  }
  return plain;
}

Result<void> set_override(Settings& settings, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return wrong("--set", text, "", "want KEY=VALUE, such as log.level=debug");
  const std::string name = text.substr(0, equals), value = text.substr(equals + 1);
  const Key* key = find_key(name);
  if (key == nullptr) return wrong("--set", name, "", unknown(name));
  return set_one(settings, "--set", name, override_value(*key, value));
}

// ---- what relates the settings to each other

Result<void> fill_in(Settings& settings, const Surroundings& around) {
  if (settings.node.name.empty()) {
    settings.node.name = around.host_name;
    if (const std::string right = judge_name(settings.node.name); !right.empty())
      return wrong("", "node.name", in_quotes(settings.node.name), "the host's name will not do; " + right);
  }
  if (!settings.node.data_dir.empty()) return {};
  if (around.xdg_state_home.starts_with('/'))  // others are to be ignored, says the XDG specification
    settings.node.data_dir = around.xdg_state_home + "/canopy";
  else if (!around.home.empty())
    settings.node.data_dir = around.home + "/.local/state/canopy";
  else
    return wrong("", "node.data_dir", "", "want a directory: neither XDG_STATE_HOME nor HOME is set");
  return {};
}

Result<void> check_listen(const Settings& s) {
  const std::array<std::pair<std::string_view, const std::string*>, 4> all{
      {{"listen.client", &s.listen.client}, {"listen.feed", &s.listen.feed}, {"listen.ingest", &s.listen.ingest}, {"listen.link", &s.listen.link}}};
  for (size_t i = 0; i < all.size(); ++i) {
    const auto& [name, text] = all[i];
    if (text->empty()) continue;
    const auto endpoint = link::parse_endpoint(*text);
    if (!endpoint->loopback() && !s.node.insecure)
      return wrong("", name, in_quotes(*text),
                   "beyond loopback anyone could use it, as keys are not supported yet; want 127.0.0.1, [::1] or ipc://, or node.insecure = true");
    for (size_t other = 0; other < i; ++other)
      if (*text == *all[other].second && endpoint->port != "*")
        return wrong("", name, in_quotes(*text), "the same as " + std::string(all[other].first) + "; want one of its own");
  }
  return {};
}

Result<void> check_fabric(const Settings& s) {
  const std::string expect = std::to_string(s.fabric.bootstrap_expect);
  if (s.fabric.bootstrap_expect == 1) {
    for (const std::string& seed : s.fabric.seeds)
      if (seed != s.listen.link && seed != s.advertise.link)
        return wrong("", "fabric.bootstrap_expect", expect, "other nodes are listed in fabric.seeds; want how many nodes are to meet");
    return {};
  }
  if (s.fabric.seeds.empty())
    return wrong("", "fabric.seeds", "[]", "want the links of the first nodes, the same list on each, as fabric.bootstrap_expect = " + expect);
  if (s.listen.link.empty())
    return wrong("", "listen.link", "\"\"", "want an endpoint for the other nodes, as fabric.bootstrap_expect = " + expect);
  const std::array<std::tuple<std::string_view, const std::string*, const std::string*>, 3> all{
      {{"advertise.link", &s.advertise.link, &s.listen.link},
       {"advertise.client", &s.advertise.client, &s.listen.client},
       {"advertise.feed", &s.advertise.feed, &s.listen.feed}}};
  for (const auto& [name, advertise, listen] : all)
    if (advertise->empty() && !listen->empty() && link::parse_endpoint(*listen)->every_interface())
      return wrong("", name, "\"\"", "want the address that others connect to, as the node listens on every interface (" + *listen + ")");
  return {};
}

}  // namespace

std::string_view durability_name(Durability durability) {
  for (const auto& [name, one] : durabilities)
    if (one == durability) return name;
  return "";
}

Surroundings surroundings() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  char host[256] = "";
  if (gethostname(host, sizeof host - 1) != 0) host[0] = 0;
  return {host, variable("XDG_STATE_HOME"), variable("HOME")};
}

Result<Settings> read_settings(std::string_view toml, std::string_view file, const std::vector<std::string>& overrides,
                               const Surroundings& around) {
  Settings settings;
  TRY(set_from_toml(settings, toml, file));
  for (const std::string& text : overrides) TRY(set_override(settings, text));
  TRY(fill_in(settings, around));
  TRY(check_listen(settings));
  TRY(check_fabric(settings));
  return settings;
}

Result<Settings> load_settings(const std::string& file, const std::vector<std::string>& overrides, const Surroundings& around) {
  if (file.empty()) return read_settings("", "", overrides, around);
  std::error_code unknown_kind;
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  // An empty file, too, sets the output's failbit; a directory reads like one.
  if (!in || std::filesystem::is_directory(file, unknown_kind) || (in.peek() != EOF && !(text << in.rdbuf())))
    return failure(Code::bad_request, "--config " + file + ": cannot be read; want a TOML file");
  return read_settings(text.str(), file, overrides, around);
}

std::vector<std::string> changed_keys(const Settings& before, const Settings& after) {
  std::vector<std::string> names;
  for (const Key& key : keys())
    if (key.get(before) != key.get(after)) names.emplace_back(key.name);
  return names;
}

bool changes_at_run_time(std::string_view key) {
  const Key* found = find_key(key);
  return found != nullptr && found->run_time;
}

}  // namespace canopy::daemon
