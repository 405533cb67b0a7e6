// What store_format.cc lets both formats do: the options, the writes as they stand in a journal, and the workload.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

struct Options {
  std::string format = "both", order = "leaf", data;
  unsigned buckets = 256, followers = 400, authors = 20'000, batch = 20;
  double skew = 2, minutes = 2, slice_seconds = 20, rate = 0, checkpoint_ms = 5;
  uint64_t prefill = 3'000'000, publishes_kept = 100'000, publishes = 0, seed = 1;
  size_t journal_value = 4080, overlay_mib = 64, map_gib = 5;
  bool alternate = false, check = false;
};

struct Random {
  uint64_t state;
  uint64_t next() {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  size_t skewed(size_t n, double skew) {  // below n; skew 1 is uniform, more prefers low numbers
    return std::min(n - 1, size_t(double(n) * std::pow(double(next() >> 11) * 0x1p-53, skew)));
  }
};

// --- Writes, as they stand in the journal: operations (position u64, count u8), each with its writes
// (key length u8, value length u16, key, value). Keys begin with the bucket; an empty value is an erasure.

struct Write {
  std::string_view key, value;
  uint64_t position;
  uint16_t bucket() const { return uint16_t(uint8_t(key[0]) << 8 | uint8_t(key[1])); }
};

class Batch {
 public:
  std::string bytes;
  unsigned publishes = 0;

  void begin_operation(uint64_t position) {
    bytes.append(reinterpret_cast<const char*>(&position), 8);
    count_at_ = bytes.size();
    bytes.push_back(0);
  }
  void put(std::string_view key, size_t value_size) {
    auto size = uint16_t(value_size);
    bytes.push_back(char(key.size()));
    bytes.append(reinterpret_cast<const char*>(&size), 2);
    bytes.append(key);
    if (size > 0) {  // the values' content is of no account, but it must differ so that --check can see it
      bytes.append(size, char('A' + key.back() % 16));
      std::memcpy(bytes.data() + bytes.size() - 8, &bytes[count_at_ - 8], 8);
    }
    ++bytes[count_at_];
  }
  void erase(std::string_view key) { put(key, 0); }
  void clear() { bytes.clear(), publishes = 0; }

 private:
  size_t count_at_ = 0;
};

template <class Visit>
void for_each_write(std::string_view bytes, Visit visit) {
  const char* at = bytes.data();
  while (at < bytes.data() + bytes.size()) {
    uint64_t position;
    std::memcpy(&position, at, 8);
    unsigned count = uint8_t(at[8]);
    for (at += 9; count > 0; --count) {
      uint16_t value_size;
      std::memcpy(&value_size, at + 1, 2);
      std::string_view key(at + 3, uint8_t(at[0])), value(key.data() + key.size(), value_size);
      visit(Write{key, value, position});
      at = value.data() + value.size();
    }
  }
}

struct Key {
  char bytes[15];
  uint8_t size = 0;
  Key(uint16_t bucket, char kind) { big_endian(bucket, 2), bytes[size++] = kind; }
  Key& big_endian(uint64_t number, int width) {
    while (width-- > 0) bytes[size++] = char(number >> (8 * width));
    return *this;
  }
  operator std::string_view() const { return {bytes, size}; }
};

// --- The workload: who follows whom is fixed by the seed and shared by both formats.

struct Followers {
  std::vector<std::vector<uint16_t>> buckets_of;    // author → the distinct buckets of its followers
  std::vector<std::vector<uint32_t>> authors_in;    // bucket → the authors that have a leaf there
  explicit Followers(const Options& options) : buckets_of(options.authors), authors_in(options.buckets) {
    Random random{options.seed};
    for (uint32_t author = 0; author < options.authors; ++author) {
      auto& list = buckets_of[author];
      for (unsigned i = 0; i < options.followers; ++i) list.push_back(uint16_t(random.next() % options.buckets));
      std::sort(list.begin(), list.end());
      list.erase(std::unique(list.begin(), list.end()), list.end());
      for (uint16_t bucket : list) authors_in[bucket].push_back(author);
    }
  }
};

// One format's run through the workload. Invariant: a bucket keeps at most its share of deliveries and publishes;
// the queues stand for the horizon that the primary chooses, in RAM and so at no cost to either format.
class Workload {
 public:
  Workload(const Options& options, const Followers& followers)
      : options_(options), followers_(followers), random_{options.seed + 1}, buckets_(options.buckets) {}

  void publish(Batch& batch) {
    auto author = uint32_t(random_.skewed(options_.authors, options_.skew));
    auto root = uint16_t(Random{author}.next() % options_.buckets);
    Bucket& bucket = buckets_[root];
    uint64_t position = ++bucket.position;
    batch.begin_operation(position);
    batch.put(Key(root, 'b').big_endian(position, 8), 200);
    batch.put(Key(root, 's').big_endian(author, 4).big_endian(position, 8), 16);
    batch.put(Key(root, 'l').big_endian(author, 4).big_endian(position, 8), 16);
    bucket.publishes.push_back({author, position});
    if (bucket.publishes.size() > std::max<uint64_t>(1, options_.publishes_kept / options_.buckets)) {
      auto [old_author, old_position] = bucket.publishes.front();
      bucket.publishes.pop_front();
      batch.erase(Key(root, 'b').big_endian(old_position, 8));
      batch.erase(Key(root, 's').big_endian(old_author, 4).big_endian(old_position, 8));
      batch.erase(Key(root, 'l').big_endian(old_author, 4).big_endian(old_position, 8));
    }
    for (uint16_t to : followers_.buckets_of[author]) deliver(batch, to, author);
    ++batch.publishes;
  }

  void prefill(Batch& batch, uint16_t bucket) {
    auto& authors = followers_.authors_in[bucket];
    for (uint64_t i = 0; i < options_.prefill / options_.buckets && !authors.empty(); ++i)
      deliver(batch, bucket, authors[random_.skewed(authors.size(), options_.skew)]);
  }

 private:
  struct Entry { uint32_t author; uint64_t position; };
  struct Bucket { uint64_t position = 0; std::deque<Entry> deliveries, publishes; };

  void deliver(Batch& batch, uint16_t to, uint32_t leaf) {
    Bucket& bucket = buckets_[to];
    uint64_t position = ++bucket.position;
    batch.begin_operation(position);
    batch.put(delivery_key(to, leaf, position), 20);
    batch.put(Key(to, 'a').big_endian(leaf, 4), 8);
    bucket.deliveries.push_back({leaf, position});
    if (bucket.deliveries.size() <= std::max<uint64_t>(1000, options_.prefill / options_.buckets)) return;
    batch.erase(delivery_key(to, bucket.deliveries.front().author, bucket.deliveries.front().position));
    bucket.deliveries.pop_front();
  }
  Key delivery_key(uint16_t bucket, uint32_t leaf, uint64_t position) const {
    if (options_.order == "position") return Key(bucket, 'd').big_endian(position, 8).big_endian(leaf, 4);
    return Key(bucket, 'd').big_endian(leaf, 4).big_endian(position, 8);
  }

  const Options& options_;
  const Followers& followers_;
  Random random_;
  std::vector<Bucket> buckets_;
};
