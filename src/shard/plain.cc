#include "shard/plain.h"

#include "base/planted.h"

namespace canopy::shard {
namespace {

constexpr size_t handles_max = 4'000'000;      // 64 MB and the ids beside; beyond that all are looked up again
constexpr size_t known_handles = 16;           // what a reflector's place costs besides, in handles
constexpr size_t leaves_ahead = 8, headers_ahead = 8, lines_ahead = 4;

}  // namespace

PlainDeliveries::Known& PlainDeliveries::known(const leaf::ReflectorName& reflector, const std::vector<BucketId>& leaves,
                                               const BucketTable& buckets) {
  auto at = known_.find(reflector);
  if (at == known_.end()) {
    if (handles_ >= handles_max) {
      known_.clear();
      handles_ = 0;
    }
    at = known_.emplace(std::string(reflector.name), Known()).first;
    handles_ += known_handles;
  }
  Known& known = at->second;
  if (known.ids != leaves) {
    handles_ += leaves.size() - known.ids.size();
    known.ids = leaves;
    known.handles.assign(leaves.size(), {});
  }
  for (size_t i = 0; i < leaves.size(); ++i) {
    bucket::Bucket* const bucket = leaves[i].value() < buckets.size() ? buckets[leaves[i].value()] : nullptr;
    bucket::LeafHandle& handle = known.handles[i];
    if (!bucket) handle = {};
    else if (!handle.leaf || handle.epoch != bucket->leaves_epoch()) handle = bucket->leaf_handle(reflector);
    if (handle.leaf) __builtin_prefetch(handle.leaf, 1);
  }
  return known;
}

const PlainDeliveries::Result& PlainDeliveries::deliver(const std::string& reflector, const wire::StreamItem& item,
                                                        const std::vector<BucketId>& leaves, uint64_t writes_max,
                                                        const BucketTable& buckets, store::Store& store) {
  result_.delivered.clear();
  result_.others.clear();
  result_.timeline_writes = 0;
  batch_.to.resize(leaves.size());
  writes_.resize(leaves.size());
  size_t delivered = 0, used = 0;
  const Known& known = this->known(leaf::ReflectorName(reflector), leaves, buckets);
  uint64_t planned = 0;
  for (result_.next = 0; result_.next < leaves.size() && planned < writes_max; ++result_.next) {
    if (result_.next + leaves_ahead < leaves.size())
      if (const leaf::Leaf* const ahead = known.handles[result_.next + leaves_ahead].leaf) __builtin_prefetch(ahead->followers.data());
    const BucketId id = leaves[result_.next];
    leaf::Leaf* const leaf = known.handles[result_.next].leaf;
    // Filled in where it stays: a copy would wait until what was just written, far apart, is in the cache.
    bucket::TimelineWrite& write = writes_[used];
    write.n = write.written = 0;
    if (!leaf || !buckets[id.value()]->deliver_plain(*leaf, item, store, batch_.to[delivered], write)) {
      result_.others.push_back(id);
      continue;
    }
    ++delivered;
    result_.delivered.push_back(id);
    result_.timeline_writes += write.written;
    planned += write.written + write.n;
    used += write.n > 0;
  }
  if (planted("batch of deliveries forgets a leaf") && delivered > 2) --delivered;
  batch_.to.resize(delivered);
  writes_.resize(used);
  for (size_t i = 0; i < writes_.size(); ++i) {
    if (i + headers_ahead < writes_.size()) {
      const bucket::TimelineWrite& ahead = writes_[i + headers_ahead];
      ahead.timelines->prefetch_headers(ahead.followers, ahead.n);
    }
    if (i + lines_ahead < writes_.size()) {
      const bucket::TimelineWrite& ahead = writes_[i + lines_ahead];
      ahead.timelines->prefetch_lines(ahead.followers, ahead.n);
    }
    result_.timeline_writes += writes_[i].bucket->write(writes_[i]);
  }
  if (!batch_.to.empty()) {
    batch_.no = item.no;
    batch_.ref = item.ref;
    batch_.body = item.message;
    store.deliver(batch_);
  }
  return result_;
}

}  // namespace canopy::shard
