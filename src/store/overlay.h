// What the journal holds above each bucket's checkpointed position, by key, in RAM: a value, or a
// tombstone where the key is gone. Readers see it over the tables.
//
// A batch changes the entries in place and keeps an undo log, so that readers look at one layer
// and only a failed commit pays. Owned by the store, one thread.
// Invariant: bytes() is the sum of what the entries cost.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace canopy::store {

class Overlay {
 public:
  struct Entry {
    std::optional<std::string> value;  // nothing: a tombstone
    uint64_t batch = 0;                // that changed it last: it is in the undo log once a batch
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  // Returns the entry, or null: then the tables decide. Valid until the next change.
  const Entry* find(BucketId bucket, std::string_view key) const;
  // In key order. Valid until the next change.
  const Entries& entries(BucketId bucket) const;

  void put(BucketId bucket, std::string_view key, std::optional<std::string> value);
  // Lets `change` edit the value in place. REQUIRES: find() gives an entry with a value.
  template <class Change>
  void edit(BucketId bucket, std::string_view key, Change&& change);

  void settle();               // the batch is durable
  void rollback();             // the batch is undone
  // The bucket's entries are in the tables. REQUIRES: settled.
  void clear(BucketId bucket);

  size_t bytes() const { return bytes_; }
  size_t bytes(BucketId bucket) const;

  // Walks entries in [from, to), whatever bucket they belong to. Valid until the next change.
  class Walk {
   public:
    Walk(const Overlay& overlay, std::string_view from, std::string_view to, bool forward);
    bool done() const { return done_; }
    const std::string& key() const { return at_->first; }
    const Entry& entry() const { return at_->second; }
    void next();

   private:
    void enter_forward();   // from at_ on, over empty buckets
    void enter_backward();  // at_ is behind the entry wanted
    const Overlay& overlay_;
    std::string_view from_, to_;
    bool forward_;
    bool done_ = false;
    size_t bucket_ = 0;
    Entries::const_iterator at_;
  };

 private:
  struct Bucket {
    Entries entries;
    size_t bytes = 0;
  };
  struct Undo {
    BucketId bucket;
    Entries::iterator at;
    std::optional<Entry> before;  // nothing: the entry was new
  };

  static size_t cost(const Entries::value_type& entry);
  Bucket& bucket_at(BucketId bucket);
  void count(Bucket& bucket, size_t added, size_t taken) {
    bucket.bytes += added - taken;
    bytes_ += added - taken;
  }

  std::vector<Bucket> buckets_;  // by id, as far as any was used
  std::vector<Undo> undo_;
  uint64_t batch_ = 1;
  size_t bytes_ = 0;
};

template <class Change>
void Overlay::edit(BucketId bucket, std::string_view key, Change&& change) {
  Bucket& b = bucket_at(bucket);
  const auto at = b.entries.find(key);
  if (at->second.batch != batch_) {
    undo_.push_back({bucket, at, at->second});
    at->second.batch = batch_;
  }
  const size_t before = cost(*at);
  change(*at->second.value);
  count(b, cost(*at), before);
}

}  // namespace canopy::store
