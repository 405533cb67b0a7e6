#include "node/identity.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"

namespace canopy::node {
namespace {

using store::Space;

constexpr uint8_t record_version = 1;
constexpr uint32_t not_dealt = UINT32_MAX;
constexpr std::string_view identity_key = "identity";
constexpr std::string_view map_key = "map";
constexpr std::string_view shard_prefix = "shard/";
constexpr std::string_view shard_end = "shard0";  // '0' follows '/'

std::string seal(std::string_view fields) {
  std::string out;
  put_u8(out, record_version);
  put_be32(out, static_cast<uint32_t>(hash64(fields)));
  out.append(fields);
  return out;
}

Result<std::string_view> unseal(std::string_view what, std::string_view record) {
  Cursor in(record);
  const uint8_t version = in.u8();
  const uint32_t checksum = in.be32();
  if (in.ok() && version > record_version)
    return failure(Code::unavailable, "data_dir: its record of the " + std::string(what) + " has format version " +
                                          std::to_string(version) + ", this program reads up to " +
                                          std::to_string(record_version) + "; use a newer program");
  if (!in.ok() || version == 0 || static_cast<uint32_t>(hash64(in.rest())) != checksum)
    return failure(Code::internal, "data_dir: its record of the " + std::string(what) + " is damaged");
  return in.rest();
}

std::string shard_key(size_t bucket) {
  std::string key(shard_prefix);
  put_be16(key, static_cast<uint16_t>(bucket));
  return key;
}

// One transaction of puts. An error leaves what was there.
Result<void> write(store::Backend& control, const std::vector<std::pair<std::string, std::string>>& puts) {
  TRY(control.begin());
  for (const auto& [key, fields] : puts) {
    auto put = control.put(Space::tables, key, seal(fields));
    if (!put) {
      control.abort();
      return tl::unexpected<Error>(std::move(put.error()));
    }
  }
  return control.commit();
}

std::string map_fields(const map::BucketMap& map, bool formed) {
  std::string fields;
  put_u8(fields, formed ? 1 : 0);
  return fields + map::encode_map(map);
}

Result<void> refuse(std::string message) { return failure(Code::unavailable, "data_dir: " + std::move(message)); }

// The node's row in the map and its own settings must say the same; moves of endpoints come later.
std::string row_difference(const map::NodeRow& row, const NodeOptions& options) {
  std::string out;
  const auto compare = [&](std::string_view field, const std::string& here, const std::string& there) {
    if (here == there) return;
    if (!out.empty()) out += "; ";
    out.append(field).append(": \"").append(here).append("\" here, \"").append(there).append("\" there");
  };
  compare("client", options.client, row.client);
  compare("feed", options.feed, row.feed);
  compare("link", options.link, row.link);
  compare("zone", options.zone, row.zone);
  compare("weight", std::to_string(options.weight_milli) + "/1000", std::to_string(row.weight_milli) + "/1000");
  return out;
}

}  // namespace

Result<std::optional<StoredIdentity>> read_identity(const store::Backend& control) {
  const auto record = control.get(Space::tables, identity_key);
  if (!record) return std::nullopt;
  const auto fields = unseal("identity", *record);
  if (!fields) return tl::unexpected<Error>(fields.error());
  Cursor in(*fields);
  StoredIdentity identity;
  identity.name = std::string(in.string());
  const uint64_t shards = in.varint();
  if (!in.done() || shards == 0 || shards > limits::shards_max)
    return failure(Code::internal, "data_dir: its record of the identity is damaged");
  identity.shards = static_cast<uint32_t>(shards);
  return identity;
}

Result<Identity> Identity::open(const NodeOptions& options, store::Backend& control) {
  ASSERT(options.shards > 0 && options.shards <= limits::shards_max);
  auto stored = read_identity(control);
  if (!stored) return tl::unexpected<Error>(std::move(stored.error()));
  Identity identity(control, options.name, options.shards);
  if (!*stored) {
    std::string fields;
    put_string(fields, options.name);
    put_varint(fields, options.shards);
    TRY(write(control, {{std::string(identity_key), fields}}));
    return identity;
  }
  if ((*stored)->name != options.name)
    TRY(refuse("it belongs to node \"" + (*stored)->name + "\", not to \"" + options.name +
               "\" (node.name); give each node a data_dir of its own"));
  if ((*stored)->shards != options.shards)
    TRY(refuse("it was made with " + std::to_string((*stored)->shards) + " shards, store.shards asks for " +
               std::to_string(options.shards) + "; the number is fixed when the directory is made"));
  TRY(identity.read_map());
  TRY(identity.read_shards());
  TRY(identity.judge(options));
  return identity;
}

Result<void> Identity::read_map() {
  const auto record = control_->get(Space::tables, map_key);
  if (!record) return {};
  const auto fields = unseal("map", *record);
  if (!fields) return tl::unexpected<Error>(fields.error());
  Cursor in(*fields);
  const uint8_t formed = in.u8();
  if (!in.ok() || formed > 1) return refuse("its record of the map is damaged");
  auto map = map::decode_map(in.rest());
  if (!map) return refuse(map.error().message);
  map_ = std::move(*map);
  formed_ = formed == 1;
  return {};
}

Result<void> Identity::read_shards() {
  shard_of_.assign(map_ ? map_->buckets.size() : 0, not_dealt);
  Result<void> result;
  control_->scan(Space::tables, shard_prefix, shard_end, [&](std::string_view key, std::string_view value) {
    Cursor at(key.substr(shard_prefix.size()));
    const size_t bucket = at.be16();
    const auto fields = unseal("shards", value);
    if (!fields) {
      result = tl::unexpected<Error>(fields.error());
      return false;
    }
    Cursor in(*fields);
    const uint64_t shard = in.varint();
    if (!at.done() || !in.done() || bucket >= shard_of_.size() || shard >= shards_) {
      result = refuse("its record of the shards is damaged");
      return false;
    }
    shard_of_[bucket] = static_cast<uint32_t>(shard);
    return true;
  });
  return result;
}

Result<void> Identity::judge(const NodeOptions& options) const {
  if (!map_) return {};
  const std::string fabric = "the fabric \"" + map_->settings.name + "\" of this directory";
  const std::string settings = map::difference(map::canonical(options.settings), map::canonical(map_->settings));
  if (!settings.empty()) return refuse("the settings differ from those of " + fabric + ": " + settings);
  const auto self = map_->find(options.name);
  if (!self) return refuse(fabric + " has no node \"" + options.name + "\"");
  const std::string row = row_difference(map_->node(*self), options);
  if (!row.empty()) return refuse("the node's settings differ from its row in the map of " + fabric + ": " + row);
  if (!formed_) return {};
  for (size_t i = 0; i < map_->buckets.size(); ++i) {
    if (map_->owner(BucketId(static_cast<uint16_t>(i))) == *self && shard_of_[i] == not_dealt)
      return refuse("its record of the shards lacks bucket " + std::to_string(i));
  }
  return {};
}

Result<void> Identity::plan(const map::BucketMap& map) {
  ASSERT(!map_);
  TRY(write(*control_, {{std::string(map_key), map_fields(map, false)}}));
  map_ = map;
  return {};
}

Result<void> Identity::form(const map::BucketMap& map) {
  ASSERT(!map_ || map_->fabric_id == map.fabric_id);
  std::vector<uint32_t> dealt = deal(map);
  std::vector<std::pair<std::string, std::string>> puts{{std::string(map_key), map_fields(map, true)}};
  for (size_t bucket = 0; bucket < dealt.size(); ++bucket) {
    if (dealt[bucket] == not_dealt) continue;
    std::string fields;
    put_varint(fields, dealt[bucket]);
    puts.emplace_back(shard_key(bucket), std::move(fields));
  }
  TRY(write(*control_, puts));
  map_ = map;
  formed_ = true;
  shard_of_ = std::move(dealt);
  return {};
}

// Each of the node's buckets keeps its shard; one that has none goes to the shard with the fewest.
std::vector<uint32_t> Identity::deal(const map::BucketMap& map) const {
  const auto self = map.find(name_);
  std::vector<uint32_t> dealt(map.buckets.size(), not_dealt);
  if (!self) return dealt;
  std::vector<size_t> load(shards_, 0);
  const auto mine = [&](size_t i) { return map.owner(BucketId(static_cast<uint16_t>(i))) == *self; };
  for (size_t i = 0; i < dealt.size() && i < shard_of_.size(); ++i) {
    dealt[i] = shard_of_[i];
    if (dealt[i] != not_dealt && mine(i)) ++load[dealt[i]];
  }
  for (size_t i = 0; i < dealt.size(); ++i) {
    if (!mine(i) || dealt[i] != not_dealt) continue;
    const auto least = std::min_element(load.begin(), load.end());
    dealt[i] = static_cast<uint32_t>(least - load.begin());
    ++*least;
  }
  return dealt;
}

}  // namespace canopy::node
