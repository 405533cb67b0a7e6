// The materialised timelines of one bucket: read_home() kept in RAM while it is read or tailed.
//
// A delivery costs each follower one write of 4 bytes: its position, less the bucket's base, at the end of
// his newest line. A line is 64 bytes: 14 such offsets and links to the lines around it; lines come from a
// free list in blocks. A header of 32 bytes for each entity, by its number, says where its lines are. What
// the position does not tell (the body) is looked up when somebody reads. The few entries that are no plain
// delivery stand beside, with all that they are.
//
// What is not written to timelines (deferred.h) they take in when they are opened: each remembers up to which
// position it has everything.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "leaf/deferred.h"
#include "leaf/home.h"
#include "store/reader.h"

namespace canopy::leaf {

class Timelines {
  struct alignas(64) Line {
    static constexpr uint32_t entries = 14;
    uint32_t offsets[entries];   // ascending; all lines of a timeline but the newest are full
    uint32_t prev, next;         // towards the older, the newer one; 0: none
  };
  struct Header {
    uint32_t newest = 0, oldest = 0;  // lines; 0: the timeline is not in memory
    uint32_t count = 0;          // entries in the lines
    uint32_t read_s = 0;         // when it was last read, in seconds, rounded up
    Position left;               // of the newest entry that was given up; zero: none
    uint32_t upto = 0;           // an offset: it has what was deferred up to there. 0: perhaps nothing of that
    uint16_t reads = 0;          // how often it was opened; stays when it is dropped
    uint8_t fill = 0;            // entries in the newest line
    bool odd = false;            // has entries beside its lines
  };
  static_assert(sizeof(Line) == 64 && sizeof(Header) == 32);

 public:
  explicit Timelines(BucketId bucket) : bucket_(bucket) {}
  // `capacity`: entries shown of each; `bytes_max`: of all, one is always kept; `window`: see drop_unused().
  void limit(size_t capacity, size_t bytes_max, Duration window);

  // An entry as it lies in memory.
  struct Shown {
    Position position;
    const HomeEntry* odd = nullptr;  // null: a plain delivery
    bool backfilled() const { return odd && odd->backfilled; }
  };
  // One timeline: its `capacity` newest entries. Valid until the next call that changes the timelines.
  class View {
   public:
    // Visits the entries below `before` (all without it), newest first / those from `from` on, oldest first,
    // until `visit` returns false. Returns whether it came to the end.
    template <class Visit>
    bool down(std::optional<Position> before, const Visit& visit) const {
      Place at = end();
      for (size_t n = of_->capacity_; n > 0; --n) {
        const auto shown = back(at);
        if (!shown) return true;
        if ((!before || shown->position < *before) && !visit(*shown)) return false;
      }
      return true;
    }
    template <class Visit>
    bool up(Position from, const Visit& visit) const {
      Place at = end();
      for (size_t n = of_->capacity_; n > 0; --n) {
        const Place here = at;
        const auto shown = back(at);
        if (shown && shown->position >= from) continue;
        at = here;
        break;
      }
      while (const auto shown = ahead(at))
        if (!visit(*shown)) return false;
      return true;
    }
    size_t size() const;
    Position newest() const;         // zero: it is empty
    Position before_newest() const;
    Position left() const;           // of the newest entry that has left it (perhaps the store too); zero: none
    // Returns what is shown there. REQUIRES: what it rests on is in the store.
    HomeEntry entry(const Shown& shown, const store::Reader& reader) const;

   private:
    friend class Timelines;
    struct Place {
      uint32_t line, k;              // behind k entries of the line
      size_t odd;                    // and behind so many of the others
    };
    View(const Timelines& of, EntityNo follower);
    Place begin() const { return {header_->oldest, 0, 0}; }
    Place end() const { return {header_->newest, header_->fill, odd_ ? odd_->size() : 0}; }
    std::optional<Shown> back(Place& at) const;
    std::optional<Shown> ahead(Place& at) const;
    size_t total() const { return header_->count + (odd_ ? odd_->size() : 0); }  // those that have left too

    const Timelines* of_;
    const Header* header_;
    const std::vector<HomeEntry>* odd_;
  };

  bool empty() const { return homes_ == 0; }
  bool contains(EntityNo follower) const { return follower.value() < headers_.size() && headers_[follower.value()].newest != 0; }
  // Returns the timeline, read from the store if it is not in memory, with all that was deferred.
  View open(EntityNo follower, Now now, const Deferred& deferred, const store::Reader& reader);
  // … as it lies there: what was deferred since it was opened may lack. REQUIRES: contains(follower)
  View view(EntityNo follower) const { return {*this, follower}; }
  // What was deferred was written to this one, up to there. REQUIRES: it lacked nothing below.
  void brought_up(EntityNo follower, Position upto);
  // Not in memory: it is read from the store before anybody looks.
  bool lacks_nothing(EntityNo follower, const Deferred& deferred) const {
    return !contains(follower) || upto(headers_[follower.value()]) >= deferred.newest();
  }
  // Returns up to where all have what was deferred; the highest position when there is none.
  Position all_brought_up() const;
  // Counts on with each open(), whether it was in memory or not, and comes round; begins again at 0 when all were dropped.
  uint16_t reads(EntityNo follower) const { return follower.value() < headers_.size() ? headers_[follower.value()].reads : 0; }

  // A plain delivery for all of these that are in memory. Returns how many that were.
  // REQUIRES: `at` is above all entries.
  size_t append_all(const uint32_t* followers, size_t n, Position at);
  // Ask for the memory that it will touch, of the first few (`prefetched`): the headers, then the lines that they name.
  static constexpr size_t prefetched = 8;
  void prefetch_headers(const uint32_t* followers, size_t n) const {
    for (size_t i = 0; i < n && i < prefetched; ++i)
      if (followers[i] < headers_.size()) __builtin_prefetch(&headers_[followers[i]], 1);
  }
  void prefetch_lines(const uint32_t* followers, size_t n) const {
    for (size_t i = 0; i < n && i < prefetched; ++i)
      if (followers[i] < headers_.size() && headers_[followers[i]].newest != 0) __builtin_prefetch(&line(headers_[followers[i]].newest), 1);
  }
  void prefetch_oldest_lines(const uint32_t* followers, size_t n) const {
    for (size_t i = 0; i < n && i < prefetched; ++i)
      if (followers[i] < headers_.size() && headers_[followers[i]].newest != 0) __builtin_prefetch(&line(headers_[followers[i]].oldest), 1);
  }
  // One entry. Returns the position of the one before it (zero for none). REQUIRES: contains(follower).
  Position append(EntityNo follower, const HomeEntry& entry);
  // A message is retracted. Returns whether it was in the timeline, which is dropped when an older entry is
  // to fill it again.
  bool retract(EntityNo follower, Position position);
  bool holds(EntityNo follower, Position position) const;
  // Lines that retract() has gone through beside the newest one of each timeline: what lies deep costs more. Counts on.
  uint64_t lines_gone_through() const { return lines_gone_through_; }

  void drop(EntityNo follower);
  void drop_with_entries_below(Position horizon);
  void drop_all();
  // Drops what was not read within the window; `keep` says what must stay (somebody tails it).
  void drop_unused(Now now, const std::function<bool(EntityNo)>& keep);

  size_t size() const { return homes_; }
  size_t entries() const { return entries_; }  // that they show
  size_t bytes() const;                        // allocated
  struct TakenIn {
    uint64_t times = 0, rows = 0;              // deferred rows that were taken in
    uint64_t repeats = 0;                      // … that stood there already
    uint64_t given_up = 0;                     // timelines that were read from the store instead: that was too much
  };
  const TakenIn& taken_in() const { return taken_in_; }
  // Invariant: each has, with what was deferred, the entries of read_home() of now ("cold equals warm"), and a
  // `left` that is not below its.
  void check(const Deferred& deferred, const store::Reader& reader) const;

 private:
  Line& line(uint32_t no) { return blocks_[no >> block_shift_][no & block_mask_]; }
  const Line& line(uint32_t no) const { return blocks_[no >> block_shift_][no & block_mask_]; }
  bool below_base(Position at) const { return at.packed() < base_; }
  Position upto(const Header& header) const { return header.upto == 0 ? Position() : Position(base_ + header.upto); }
  void read_cold(EntityNo follower, const store::Reader& reader);
  bool take_in(EntityNo follower, const Deferred& deferred, const store::Reader& reader);
  void pop_newest(Header& header, EntityNo follower);
  size_t total(const Header& header, EntityNo follower) const { return header.count + (header.odd ? odd_.at(follower.value()).size() : 0); }
  void make_base_for(Position at);
  void add(Header& header, EntityNo follower, uint32_t offset);
  void new_line(Header& header, EntityNo follower);
  uint32_t take_line(EntityNo keep);
  uint64_t take_out(Header& header, EntityNo follower, uint32_t in, uint32_t k);
  void add_odd(Header& header, EntityNo follower, const HomeEntry& entry);
  void make_room(EntityNo keep);
  struct Found {
    uint32_t line = 0, k = 0;
    std::optional<size_t> odd;
  };
  // Shown or not. Adds to `lines` those that it went back.
  std::optional<Found> find(EntityNo follower, Position position, uint64_t& lines) const;
  bool shown(EntityNo follower, Position position) const;

  BucketId bucket_;
  size_t capacity_ = 800, bytes_max_ = 64u << 20;
  Duration window_ = Duration::of_s(24 * 3600);
  uint64_t base_ = 0;                          // a packed position: offsets are from it on
  std::vector<Header> headers_;                // by entity number
  std::unordered_map<uint32_t, std::vector<HomeEntry>> odd_;  // by entity number: entries that are not in lines, ascending
  std::vector<std::unique_ptr<Line[]>> blocks_;
  uint32_t block_shift_ = 0, block_mask_ = 0;  // lines in a block: a power of two
  uint32_t free_ = 0;                          // a list by `next`
  uint32_t fresh_ = 1;                         // lines from here on were never used; there is no line 0
  size_t lines_used_ = 0;
  size_t homes_ = 0, entries_ = 0, odd_entries_ = 0;
  Position oldest_held_;                       // no entry is below
  TakenIn taken_in_;
  uint64_t lines_gone_through_ = 0;
};

}  // namespace canopy::leaf
