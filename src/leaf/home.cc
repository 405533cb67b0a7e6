#include "leaf/home.h"

#include <algorithm>
#include <queue>
#include <vector>

#include "base/assert.h"
#include "base/planted.h"
#include "leaf/leaves.h"
#include "store/keys.h"

namespace canopy::leaf {
namespace {

using store::KeyBuilder;
using store::Table;

// One leaf's deliveries after `since`, newest first, read a few at a time.
class LeafCursor {
 public:
  LeafCursor(BucketId bucket, LeafNo leaf, Position since) : bucket_(bucket), leaf_(leaf), since_(since) {}

  // Returns the newest delivery not yet taken, or null.
  const HomeEntry* top(const store::Reader& reader) {
    if (at_ == page_.size() && !ended_) fill(reader);
    return at_ < page_.size() ? &page_[at_] : nullptr;
  }
  void pop() { ++at_; }

 private:
  static constexpr size_t page_max = 16;

  void fill(const store::Reader& reader) {
    const KeyBuilder list = KeyBuilder(bucket_, Table::delivery).add(leaf_);
    const std::string from = KeyBuilder(list).add(since_.next());
    const std::string to = page_.empty() ? store::after_prefix(list) : std::string(KeyBuilder(list).add(page_.back().position));
    page_.clear();
    at_ = 0;
    reader.scan_back(from, to, [&](std::string_view key, std::string_view value) {
      HomeEntry entry;
      StreamNo no;
      entry.position = Position(Cursor(key.substr(key.size() - 8)).be64());
      ASSERT(decode_delivery(value, no, entry.ref));
      page_.push_back(entry);
      return page_.size() < page_max;
    });
    if (page_.size() < page_max) ended_ = true;
  }

  BucketId bucket_;
  LeafNo leaf_;
  Position since_;
  std::vector<HomeEntry> page_;
  size_t at_ = 0;
  bool ended_ = false;
};

}  // namespace

Home read_home(BucketId bucket, EntityNo follower, size_t capacity, const store::Reader& reader) {
  std::vector<LeafCursor> cursors;
  const std::string edges = KeyBuilder(bucket, Table::edge).add(follower);
  reader.scan(edges, store::after_prefix(edges), [&](std::string_view key, std::string_view value) {
    cursors.emplace_back(bucket, LeafNo(Cursor(key.substr(key.size() - 4)).be32()), Position(Cursor(value).be64()));
    return true;
  });

  using Head = std::pair<Position, size_t>;  // newest first
  std::priority_queue<Head> heads;
  for (size_t i = 0; i < cursors.size(); ++i)
    if (const HomeEntry* top = cursors[i].top(reader)) heads.emplace(top->position, i);

  Home home;
  while (!heads.empty()) {
    const size_t i = heads.top().second;
    if (home.entries.size() == capacity) {
      home.left = heads.top().first;
      break;
    }
    heads.pop();
    home.entries.push_front(*cursors[i].top(reader));
    cursors[i].pop();
    if (const HomeEntry* next = cursors[i].top(reader)) heads.emplace(next->position, i);
  }
  return home;
}

void Timelines::limit(size_t capacity, size_t bytes_max, Duration window) {
  if (capacity != capacity_) drop_all();
  capacity_ = capacity;
  bytes_max_ = bytes_max;
  window_ = window;
}

const Home& Timelines::open(EntityNo follower, Now now, const store::Reader& reader) {
  auto it = homes_.find(follower);
  if (it == homes_.end()) {
    it = homes_.emplace(follower, read_home(bucket_, follower, capacity_, reader)).first;
    entries_ += it->second.entries.size();
    make_room(follower);
  }
  it->second.last_read = now.instant;
  return it->second;
}

Position Timelines::append(EntityNo follower, const HomeEntry& entry) {
  Home& home = homes_.at(follower);
  const Position previous = home.entries.empty() ? Position() : home.entries.back().position;
  ASSERT(previous < entry.position);
  if (planted("warm list out of order") && home.entries.size() % 5 == 4)
    home.entries.insert(home.entries.end() - 1, entry);
  else
    home.entries.push_back(entry);
  ++entries_;
  if (home.entries.size() > capacity_) {
    home.left = home.entries.front().position;
    home.entries.pop_front();
    --entries_;
  }
  if (bytes() > bytes_max_) make_room(follower);
  return previous;
}

void Timelines::drop(EntityNo follower) {
  const auto it = homes_.find(follower);
  if (it == homes_.end()) return;
  entries_ -= it->second.entries.size();
  homes_.erase(it);
}

void Timelines::drop_with_entries_below(Position horizon) {
  std::erase_if(homes_, [&](const auto& e) {
    const auto& entries = e.second.entries;
    const bool below = !entries.empty() && entries.front().position < horizon;
    if (below) entries_ -= entries.size();
    return below;
  });
}

void Timelines::drop_all() {
  homes_.clear();
  entries_ = 0;
}

void Timelines::drop_unused(Now now, const std::function<bool(EntityNo)>& keep) {
  std::erase_if(homes_, [&](const auto& e) {
    const bool unused = now.instant - e.second.last_read > window_ && !keep(e.first);
    if (unused) entries_ -= e.second.entries.size();
    return unused;
  });
}

// Drops the coldest half of the timelines (but one): rare, so a sort is cheap enough. What is
// dropped is a cache; whoever tails it reads it again from the store.
void Timelines::make_room(EntityNo but) {
  if (bytes() <= bytes_max_) return;
  std::vector<std::pair<Instant, EntityNo>> by_age;
  for (const auto& [no, home] : homes_)
    if (no != but) by_age.emplace_back(home.last_read, no);
  std::sort(by_age.begin(), by_age.end());
  for (const auto& [age, no] : by_age) {
    if (bytes() <= bytes_max_ / 2) break;
    drop(no);
  }
}

void Timelines::check(const store::Reader& reader) const {
  size_t entries = 0;
  for (const auto& [no, home] : homes_) {
    entries += home.entries.size();
    const Home cold = read_home(bucket_, no, capacity_, reader);
    ASSERT(home.entries == cold.entries && home.left >= cold.left);
  }
  ASSERT(entries == entries_);
}

}  // namespace canopy::leaf
