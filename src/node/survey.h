// FOLLOWERS and TREE: questions to an entity's bucket and then to each of its leaf buckets, some at
// a time, whose answers make one reply.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "map/map.h"
#include "shard/seam.h"
#include "wire/reply.h"
#include "wire/request.h"

namespace canopy::node {

constexpr size_t survey_parallel_max = 64;  // questions of one survey that are open at a time

class Survey {
 public:
  struct Question {
    uint32_t part = 0;
    BucketId bucket;
    wire::Request request;
  };

  Survey(shard::MapRef map, wire::Followers request);
  Survey(shard::MapRef map, wire::Tree request);

  // Returns what to ask now; each is answered once by on_reply, after which there may be more.
  [[nodiscard]] std::vector<Question> next();
  void on_reply(uint32_t part, wire::Reply reply);
  bool finished() const { return finished_; }
  wire::Reply take() { return std::move(reply_); }

 private:
  // Followers cursors: the leaf's bucket and the number of an entity in it. 4096 << 32 is below 2^53.
  static uint64_t cursor(BucketId bucket, EntityNo after) { return uint64_t{bucket.value()} << 32 | after.value(); }

  Survey(shard::MapRef map, std::string entity);
  void end(wire::Reply reply);
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

  std::deque<Question> waiting_;
  size_t open_ = 0;                       // asked and not answered
  size_t unanswered_ = 0;                 // of the present stage, asked or not
  bool finished_ = false;
  wire::Reply reply_;

  std::vector<BucketId> leaves_;          // ascending
  std::vector<wire::LeafResult> counts_;  // by leaf; of leaf first_ with the first names
  size_t first_ = 0;                      // the leaf where the page begins
  std::vector<wire::LeafResult> names_;   // of the leaves after it, as far as the page goes
};

}  // namespace canopy::node
