#include "store/overlay.h"

#include <algorithm>
#include <type_traits>

#include "base/assert.h"

namespace canopy::store {
namespace {

// Of a node of the map beside its strings' characters: 112 in libstdc++, and malloc's heads.
constexpr size_t node_bytes = 144;

// Returns the bucket that a key, or the bound of a range, begins with.
size_t bucket_in(std::string_view key) {
  const auto byte = [&](size_t i) { return i < key.size() ? static_cast<size_t>(static_cast<uint8_t>(key[i])) : 0; };
  return byte(0) << 8 | byte(1);
}

}  // namespace

size_t Overlay::cost(const Entries::value_type& entry) {
  return node_bytes + entry.first.size() + (entry.second.value ? entry.second.value->size() : 0);
}

Overlay::Bucket& Overlay::bucket_at(BucketId bucket) {
  static_assert(std::is_nothrow_move_constructible_v<Bucket>,
                "growing must move the maps: a moved map keeps its iterators, which the undo log holds");
  if (bucket.value() >= buckets_.size()) buckets_.resize(bucket.value() + size_t{1});
  return buckets_[bucket.value()];
}

const Overlay::Entries& Overlay::entries(BucketId bucket) const {
  static const Entries none;
  return bucket.value() < buckets_.size() ? buckets_[bucket.value()].entries : none;
}

size_t Overlay::bytes(BucketId bucket) const {
  return bucket.value() < buckets_.size() ? buckets_[bucket.value()].bytes : 0;
}

const Overlay::Entry* Overlay::find(BucketId bucket, std::string_view key) const {
  const Entries& all = entries(bucket);
  const auto at = all.find(key);
  return at == all.end() ? nullptr : &at->second;
}

void Overlay::put(BucketId bucket, std::string_view key, std::optional<std::string> value) {
  Bucket& b = bucket_at(bucket);
  auto at = b.entries.lower_bound(key);
  if (at == b.entries.end() || at->first != key) {
    at = b.entries.emplace_hint(at, std::string(key), Entry{std::move(value), batch_});
    undo_.push_back({bucket, at, std::nullopt});
    count(b, cost(*at), 0);
    return;
  }
  const size_t before = cost(*at);
  if (at->second.batch != batch_) undo_.push_back({bucket, at, std::move(at->second)});
  at->second = Entry{std::move(value), batch_};
  count(b, cost(*at), before);
}

void Overlay::settle() {
  undo_.clear();
  ++batch_;
}

void Overlay::rollback() {
  while (!undo_.empty()) {
    Undo& last = undo_.back();
    Bucket& b = buckets_[last.bucket.value()];
    const size_t after = cost(*last.at);
    if (last.before) {
      last.at->second = std::move(*last.before);
      count(b, cost(*last.at), after);
    } else {
      b.entries.erase(last.at);
      count(b, 0, after);
    }
    undo_.pop_back();
  }
  ++batch_;
}

void Overlay::clear(BucketId bucket) {
  ASSERT(undo_.empty());
  Bucket& b = bucket_at(bucket);
  bytes_ -= b.bytes;
  b = Bucket{};
}

Overlay::Walk::Walk(const Overlay& overlay, std::string_view from, std::string_view to, bool forward)
    : overlay_(overlay), from_(from), to_(to), forward_(forward) {
  if (from_ >= to_ || overlay_.buckets_.empty()) {
    done_ = true;
    return;
  }
  const std::string_view start = forward_ ? from_ : to_;
  bucket_ = bucket_in(start);
  if (bucket_ >= overlay_.buckets_.size()) {
    bucket_ = overlay_.buckets_.size() - 1;
    at_ = overlay_.buckets_[bucket_].entries.end();
  } else {
    at_ = overlay_.buckets_[bucket_].entries.lower_bound(start);
  }
  forward_ ? enter_forward() : enter_backward();
}

void Overlay::Walk::next() {
  if (forward_) {
    ++at_;
    enter_forward();
  } else {
    enter_backward();
  }
}

void Overlay::Walk::enter_forward() {
  const size_t last = std::min(bucket_in(to_), overlay_.buckets_.size() - 1);
  while (at_ == overlay_.buckets_[bucket_].entries.end()) {
    if (bucket_ >= last) {
      done_ = true;
      return;
    }
    at_ = overlay_.buckets_[++bucket_].entries.begin();
  }
  done_ = at_->first >= to_;
}

void Overlay::Walk::enter_backward() {
  const size_t first = bucket_in(from_);
  while (at_ == overlay_.buckets_[bucket_].entries.begin()) {
    if (bucket_ <= first) {
      done_ = true;
      return;
    }
    at_ = overlay_.buckets_[--bucket_].entries.end();
  }
  --at_;
  done_ = at_->first < from_;
}

}  // namespace canopy::store
