// FOLLOWERS and TREE: an entity's bucket names its leaf buckets, then each of these is asked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "map/map.h"
#include "node/survey.h"
#include "shard/seam.h"

namespace canopy::node {

class LeafSurvey final : public Survey {
 public:
  LeafSurvey(shard::MapRef map, wire::Followers request);
  LeafSurvey(shard::MapRef map, wire::Tree request);

 private:
  // Followers cursors: the leaf's bucket and the number of an entity in it. 4096 << 32 is below 2^53.
  static uint64_t cursor(BucketId bucket, EntityNo after) { return uint64_t{bucket.value()} << 32 | after.value(); }

  void start(std::string entity);
  void on_answer(uint32_t part, wire::Reply reply) override;
  bool on_moved(uint32_t part, wire::Request again) override;
  void on_leaves(std::vector<BucketId> buckets);
  void on_counts();
  void plan_names();
  void on_names();
  void build_tree();
  void question(uint32_t part, size_t leaf, uint32_t limit, EntityNo after);
  uint64_t total() const;

  shard::MapRef map_;
  std::string entity_;
  std::optional<wire::Followers> followers_;
  std::optional<wire::Tree> tree_;

  std::vector<BucketId> leaves_;          // ascending
  std::vector<wire::LeafResult> counts_;  // by leaf; of leaf first_ with the first names
  size_t first_ = 0;                      // the leaf where the page begins
  std::vector<wire::LeafResult> names_;   // of the leaves after it, as far as the page goes
};

}  // namespace canopy::node
