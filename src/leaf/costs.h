// Which mode costs a leaf least, from what was seen of its messages and of its followers' reads. Pure.
//
// Now and then (Look) a sample of the followers is asked how often each was read since. Reads are few and come
// at random: the decision therefore takes the number seen as lying in an interval, and moves only when another
// mode is clearly better in all of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "leaf/modes.h"

namespace canopy::leaf {

// What was seen of a leaf, sums since it began to be watched; older looks weigh less and less.
struct Seen {
  double messages = 0;    // that came
  double asked = 0;       // messages × followers in the sample: in how many places a read could have been seen
  double reads = 0;       // that were seen there
  double seconds = 0;     // in which all this was
  // Of the newest look.
  double followers = 0;   // of the leaf
  double warm = 0;        // of them with a timeline in memory

  // Reads of all followers for each message. 0 before any message.
  double reads_per_message() const { return asked > 0 ? reads / asked * followers : 0; }
  double per_second(double count) const { return seconds > 0 ? count / seconds : 0; }

  // Adds a newer look. What it shows of reads may contradict the older ones: then these are forgotten.
  void add(const Seen& look);
};

// How far back a reader gets.
struct Kept {
  size_t timeline = 800;     // entries of it
  uint64_t stream = 10'000;  // messages that a root keeps for whoever fetches late
};

// What Costs::fetch is a fetch of: most of its cost is that of the messages.
constexpr uint32_t messages_a_fetch = 200;

// What a message costs a leaf in each mode, all that comes of it in its bucket, in nanoseconds.
// `reads`: reads of all followers for each message.
std::array<double, 3> message_costs(const Costs& costs, const Seen& seen, double reads, const Kept& kept);

// What a leaf allows besides append and merge.
struct Choice {
  Mode mode = Mode::append;  // as it is now
  bool lazy_may = false;     // no forwards, nobody tails a follower's home, there is a way to fetch
  Kept kept;
};
// Returns the mode that the leaf should be in: the one that it is in unless another is clearly better.
Mode decide(const Costs& costs, const Seen& seen, const Choice& choice);

// A read can be a little late without anybody's noticing, a lazy leaf's takes a way through the fabric: it must
// be so many times cheaper than all else to begin, and half as many to go on.
constexpr double lazy_margin = 4;
// How much better append or merge must be than the other.
constexpr double clearly = 1.5;

// The look at one leaf: who is in the sample, and how often each had been read at the look before.
class Look {
 public:
  static constexpr size_t sample_max = 256;
  // What a message counts for until the next look (ModeOptions::look_every): a look costs little beside what came
  // between two.
  static constexpr int32_t weight(size_t followers) {
    constexpr size_t most = 1u << 20;
    return static_cast<int32_t>((followers < most ? followers : most) + sample_max);
  }

  const Seen& seen() const { return seen_; }
  // `followers` are to be drawn from; `all`: how many the leaf has; `applied`: its last number; `state(no)` gives
  // a follower's Reader.
  struct Reader {
    bool warm = false;
    uint16_t reads = 0;  // counts on and comes round; may begin anew
  };
  // Returns whether there is anything new to judge by: the first look only begins.
  template <class State>
  bool look(const uint32_t* followers, size_t n, size_t all, uint64_t applied, Instant now, const State& state) {
    const bool begun = begun_;
    Seen fresh;
    if (begun) {
      // A jump is none of messages: the root's numbers began anew.
      fresh.messages = applied > applied_ && applied - applied_ < jump ? static_cast<double>(applied - applied_) : 0;
      fresh.seconds = static_cast<double>((now - at_).us) / 1e6;
      for (Sampled& one : sample_) {
        const Reader reader = state(one.no);
        const auto more = static_cast<uint16_t>(reader.reads - one.reads);
        fresh.reads += more < INT16_MAX ? more : reader.reads;
        fresh.warm += reader.warm;
        one.reads = reader.reads;
      }
      fresh.asked = fresh.messages * static_cast<double>(sample_.size());
      fresh.followers = static_cast<double>(all);
      if (!sample_.empty()) fresh.warm *= fresh.followers / static_cast<double>(sample_.size());
      seen_.add(fresh);
    }
    begun_ = true;
    applied_ = applied;
    at_ = now;
    if (stale(all)) {
      drawn_of_ = all;
      draw(followers, n);
      for (Sampled& one : sample_) one.reads = state(one.no).reads;
    }
    return begun;
  }

 private:
  struct Sampled {
    uint32_t no;
    uint16_t reads;
  };
  static constexpr uint64_t jump = 1u << 30;
  bool stale(size_t followers);
  void draw(const uint32_t* followers, size_t n);

  Seen seen_;
  uint64_t applied_ = 0;
  Instant at_;
  bool begun_ = false;
  uint8_t looks_ = 0;           // with this sample
  size_t drawn_of_ = 0;         // followers, when it was drawn
  std::vector<Sampled> sample_;
};

}  // namespace canopy::leaf
