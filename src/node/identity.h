// What a node knows of itself across restarts, in the control backend: who it is, the map that it
// accepted or that is formed, and which shard has each of its buckets. All is durable before
// anything is said about it.
//
// Records (Space::tables), each version u8 = 1, checksum be32, fields; never to change:
//   "identity"            name string, shards varint
//   "map"                 formed u8, the map's record (map/)
//   "shard/" bucket be16  shard varint
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "map/map.h"
#include "node/node.h"
#include "store/backend.h"

namespace canopy::node {

struct StoredIdentity {
  std::string name;
  uint32_t shards = 0;
};
// Returns what a data directory was made as, or nothing for a new one. For the shell, which has to
// know the number of shards before it opens a node.
[[nodiscard]] Result<std::optional<StoredIdentity>> read_identity(const store::Backend& control);

class Identity {
 public:
  // Reads and judges; writes only when the directory is new. Errors are one line and name the field.
  [[nodiscard]] static Result<Identity> open(const NodeOptions& options, store::Backend& control);

  // The map that was planned (offered or accepted) or formed; its fabric id is never another one's again.
  const std::optional<map::BucketMap>& stored_map() const { return map_; }
  bool formed() const { return formed_; }
  // By bucket; of use for the node's own buckets of a formed map.
  const std::vector<uint32_t>& shard_of() const { return shard_of_; }

  // REQUIRES: no map is stored. Durable when it returns OK; an error of code busy may be tried again.
  [[nodiscard]] Result<void> plan(const map::BucketMap& map);
  // Also gives each of the node's buckets a shard: the one with the fewest. REQUIRES: the stored map
  // is of the same fabric.
  [[nodiscard]] Result<void> form(const map::BucketMap& map);

 private:
  Identity(store::Backend& control, std::string name, uint32_t shards)
      : control_(&control), name_(std::move(name)), shards_(shards) {}
  Result<void> read_map();
  Result<void> read_shards();
  Result<void> judge(const NodeOptions& options) const;
  std::vector<uint32_t> deal(const map::BucketMap& map) const;

  store::Backend* control_;
  std::string name_;
  uint32_t shards_;
  std::optional<map::BucketMap> map_;
  bool formed_ = false;
  std::vector<uint32_t> shard_of_;   // by bucket; not_dealt where there is none
};

}  // namespace canopy::node
