#include "node/leaf_survey.h"

#include <algorithm>
#include <map>

#include "node/errors.h"
#include "reflector/tree.h"

namespace canopy::node {
namespace {

// The reflectors of a planned tree in breadth, so that parents stand before children.
class TreeBuilder {
 public:
  TreeBuilder(const map::BucketMap& map, const std::map<BucketId, const wire::LeafResult*>& leaves, uint32_t depth)
      : map_(map), leaves_(leaves), depth_(depth) {}

  std::vector<wire::TreeReflector> build(const wire::Route& root, BucketId bucket) {
    add("root", bucket, root.node, root.letters(), below(root), 1, 0);
    std::vector<std::pair<const wire::Route*, uint32_t>> level{{&root, 0}};  // a route and its index
    for (uint32_t number = 2; !level.empty() && (depth_ == 0 || number <= depth_); ++number) {
      std::vector<std::pair<const wire::Route*, uint32_t>> next;
      for (const auto& [route, index] : level) add_children(*route, index, number, next);
      level = std::move(next);
    }
    return std::move(reflectors_);
  }

 private:
  void add_children(const wire::Route& route, uint32_t parent, uint32_t level,
                    std::vector<std::pair<const wire::Route*, uint32_t>>& next) {
    for (const BucketId leaf : route.leaves) add_leaf(leaf, level, parent);
    for (const wire::Route& child : route.children) {
      if (reflector::is_leaf(child)) {
        add_leaf(child.leaves.front(), level, parent);
        continue;
      }
      next.emplace_back(&child, static_cast<uint32_t>(reflectors_.size()));
      add("branch", std::nullopt, child.node, child.letters(), below(child), level, parent);
    }
  }
  void add_leaf(BucketId leaf, uint32_t level, uint32_t parent) {
    const wire::LeafResult& found = *leaves_.at(leaf);
    add("leaf", leaf, map_.owner(leaf), 0, found.count, level, parent);
    reflectors_.back().costs = found.costs;
  }
  void add(const char* kind, std::optional<BucketId> bucket, NodeIndex node, uint64_t children, uint64_t followers,
           uint32_t level, uint32_t parent) {
    reflectors_.push_back({kind, bucket, map_.node(node).name, children, followers, level, parent, {}});
  }
  uint64_t below(const wire::Route& route) const {
    uint64_t sum = 0;
    for (const BucketId leaf : route.leaves) sum += leaves_.at(leaf)->count;
    for (const wire::Route& child : route.children) sum += below(child);
    return sum;
  }

  const map::BucketMap& map_;
  const std::map<BucketId, const wire::LeafResult*>& leaves_;
  uint32_t depth_;
  std::vector<wire::TreeReflector> reflectors_;
};

}  // namespace

LeafSurvey::LeafSurvey(shard::MapRef map, wire::Followers request) : map_(std::move(map)) {
  start(request.entity);
  followers_ = std::move(request);
}

LeafSurvey::LeafSurvey(shard::MapRef map, wire::Tree request) : map_(std::move(map)) {
  start(request.entity);
  tree_ = std::move(request);
}

void LeafSurvey::start(std::string entity) {
  entity_ = std::move(entity);
  ask({0, map_->bucket_of(entity_), wire::Leaves{entity_}});
}

bool LeafSurvey::on_moved(uint32_t part, wire::Request again) {
  auto* leaves = std::get_if<wire::Leaves>(&again);
  if (part != 0 || leaves == nullptr) return false;
  start(std::move(leaves->entity));
  return true;
}

// Part 0 is the list of leaves; 1 + i the count of leaf i; 1 + leaves + i names of leaf first_ + 1 + i.
void LeafSurvey::on_answer(uint32_t part, wire::Reply reply) {
  if (auto* error = std::get_if<Error>(&reply)) return end(std::move(*error));
  if (auto* leaves = std::get_if<wire::LeavesResult>(&reply); leaves != nullptr && part == 0)
    return on_leaves(std::move(leaves->buckets));
  auto* leaf = std::get_if<wire::LeafResult>(&reply);
  if (leaf == nullptr || part == 0) return end(misfit());
  const size_t index = part - 1;
  if (index < leaves_.size()) {
    counts_[index] = std::move(*leaf);
    if (unanswered() == 0) on_counts();
  } else {
    names_[index - leaves_.size()] = std::move(*leaf);
    if (unanswered() == 0) on_names();
  }
}

void LeafSurvey::question(uint32_t part, size_t leaf, uint32_t limit, EntityNo after) {
  ask({part, leaves_[leaf], wire::Leaf{entity_, leaves_[leaf], limit, after, tree_ && tree_->costs}});
}

// Counts of all; of the leaf where the page begins also the names, so that a small page is had at once.
void LeafSurvey::on_leaves(std::vector<BucketId> buckets) {
  leaves_ = std::move(buckets);
  const bool good = std::is_sorted(leaves_.begin(), leaves_.end()) &&
                    (leaves_.empty() || leaves_.back().value() < map_->buckets.size());
  if (!good) return end(Error{Code::internal, "the entity's bucket named leaves that there cannot be", 0});
  counts_.resize(leaves_.size());
  const BucketId from(followers_ ? static_cast<uint16_t>(std::min<uint64_t>(followers_->after >> 32, UINT16_MAX)) : uint16_t{0});
  first_ = static_cast<size_t>(std::lower_bound(leaves_.begin(), leaves_.end(), from) - leaves_.begin());
  for (size_t i = 0; i < leaves_.size(); ++i) {
    const bool page = followers_ && i == first_;
    const EntityNo after(page && leaves_[i] == from ? static_cast<uint32_t>(followers_->after) : 0);
    question(static_cast<uint32_t>(1 + i), i, page ? followers_->limit : 0, after);
  }
  if (leaves_.empty()) on_counts();
}

void LeafSurvey::on_counts() {
  if (tree_) return build_tree();
  if (first_ < leaves_.size() && !counts_[first_].next) plan_names();
  if (unanswered() == 0) on_names();
}

// The counts tell how far the page goes; a leaf that changes meanwhile only makes it shorter.
void LeafSurvey::plan_names() {
  uint64_t wanted = followers_->limit - std::min<uint64_t>(followers_->limit, counts_[first_].names.size());
  for (size_t i = first_ + 1; i < leaves_.size() && wanted > 0; ++i) {
    names_.emplace_back();
    const uint64_t some = std::min(counts_[i].count, wanted);
    if (some > 0) question(static_cast<uint32_t>(leaves_.size() + names_.size()), i, static_cast<uint32_t>(some), EntityNo());
    wanted -= some;
  }
}

void LeafSurvey::on_names() {
  wire::NamesResult result;
  result.count = total();
  for (size_t i = first_; i < leaves_.size() && !result.next; ++i) {
    const size_t after_first = i - first_;
    if (after_first > names_.size()) {  // beyond the page
      if (counts_[i].count > 0) result.next = cursor(leaves_[i], EntityNo());
      continue;
    }
    wire::LeafResult& leaf = after_first == 0 ? counts_[i] : names_[after_first - 1];
    std::move(leaf.names.begin(), leaf.names.end(), std::back_inserter(result.names));
    if (leaf.next) result.next = cursor(leaves_[i], *leaf.next);
  }
  end(std::move(result));
}

void LeafSurvey::build_tree() {
  const BucketId bucket = map_->bucket_of(entity_);
  const uint32_t fanout = tree_->fanout == 0 ? map_->settings.fanout : tree_->fanout;
  const wire::Route root = reflector::plan_tree(
      leaves_, [this](BucketId leaf) { return map_->owner(leaf); }, map_->owner(bucket), std::max(fanout, 2u));
  std::map<BucketId, const wire::LeafResult*> leaves;
  for (size_t i = 0; i < leaves_.size(); ++i) leaves[leaves_[i]] = &counts_[i];
  wire::TreeResult result;
  result.entity = entity_;
  result.followers = total();
  result.levels = reflector::levels(root);
  result.reflectors = TreeBuilder(*map_, leaves, tree_->depth).build(root, bucket);
  end(std::move(result));
}

uint64_t LeafSurvey::total() const {
  uint64_t sum = 0;
  for (const wire::LeafResult& leaf : counts_) sum += leaf.count;
  return sum;
}

}  // namespace canopy::node
