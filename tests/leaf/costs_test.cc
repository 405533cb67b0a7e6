#include "leaf/costs.h"

#include <doctest/doctest.h>

#include "base/random.h"

using namespace canopy;
using leaf::Mode;

namespace {

constexpr leaf::Costs costs{15, 1'000, 200, 500, 50'000};

// A leaf whose followers are read at random, `reads` of each for a message, with looks as a bucket takes them.
struct Life {
  explicit Life(size_t n) : followers(n), readers(n) {
    for (size_t i = 0; i < n; ++i) followers[i] = static_cast<uint32_t>(i);
  }

  void messages(uint64_t count, double reads) {
    for (uint64_t i = 0; i < count; ++i) {
      ++applied;
      now.instant = now.instant + Duration::of_ms(1);
      for (due += reads * static_cast<double>(followers.size()); due >= 1; --due) {
        auto& reader = readers[random.below(static_cast<uint32_t>(readers.size()))];
        ++reader.reads;
        reader.warm = true;
      }
      until -= leaf::Look::weight(followers.size());
      if (until > 0) continue;
      until = every;
      ++looks;
      if (!look.look(followers.data(), followers.size(), followers.size(), applied, now.instant, [&](uint32_t no) { return readers[no]; })) continue;
      const Mode next = leaf::decide(costs, look.seen(), {mode, lazy_may, kept});
      changes += next != mode;
      mode = next;
    }
  }
  void warm_up() {
    for (auto& reader : readers) reader = {true, static_cast<uint16_t>(reader.reads + 1)};
  }

  std::vector<uint32_t> followers;
  std::vector<leaf::Look::Reader> readers;
  Random random{1};
  leaf::Look look;
  Now now;
  Mode mode = Mode::append;
  bool lazy_may = false;
  leaf::Kept kept{50, 10'000};
  uint64_t applied = 0;
  double due = 0;
  static constexpr int32_t every = leaf::ModeOptions().look_every;
  int32_t until = every;
  int looks = 0, changes = 0;
};

}  // namespace

TEST_CASE("costs: what a message costs in each mode is what the README says") {
  leaf::Seen seen;
  seen.followers = 100;
  seen.warm = 40;
  // A follower is read once in ten messages: four reads a message take in forty rows.
  CHECK(leaf::message_costs(costs, seen, 4, {800, 10'000}) == std::array<double, 3>{1000 + 40 * 15, 1000 + 4 * 200 + 40 * 500, 4 * 50'000 + 4 * 200 + 40 * 500});
  // Once in a thousand, of which a timeline shows 100.
  CHECK(leaf::message_costs(costs, seen, 0.04, {100, 10'000})[1] == doctest::Approx(1000 + 0.04 * 200 + 4 * 500));
  // Once in a thousand is what a stream keeps: each message is fetched, in windows of 200; in ten thousand, one of ten.
  CHECK(leaf::message_costs(costs, seen, 0.001, {100, 1'000})[2] == doctest::Approx(50'000 / 200. + 0.001 * 200 + 0.1 * 500));
  CHECK(leaf::message_costs(costs, seen, 0.0001, {100, 1'000})[2] == doctest::Approx(5'000 / 200. + 0.0001 * 200 + 0.01 * 500));
  CHECK(leaf::message_costs(costs, seen, 0, {100, 10'000}) == std::array<double, 3>{1600, 1000, 0});
}

TEST_CASE("costs: a leaf whose followers read is appended to") {
  for (const size_t followers : {1, 3, 100, 5'000}) {
    for (const Mode begins : {Mode::append, Mode::merge, Mode::lazy}) {
      Life life(followers);
      life.lazy_may = true;
      life.mode = begins;
      life.messages(5'000, 0.1);
      CHECK(life.mode == Mode::append);
      CHECK(life.changes <= 2);
    }
  }
}

TEST_CASE("costs: a leaf that is published to and not read is merged, or fetched when that may be") {
  for (const bool lazy_may : {false, true}) {
    for (const size_t followers : {1, 3, 100, 5'000}) {
      Life life(followers);
      life.lazy_may = lazy_may;
      life.warm_up();
      life.messages(100'000, 0);
      // Of many followers it takes longer to be sure that none reads.
      CHECK(life.mode == (lazy_may && followers < 5'000 ? Mode::lazy : Mode::merge));
      CHECK(life.changes <= 2);
    }
  }
}

TEST_CASE("costs: nobody's timeline in memory is no reason to merge, and one to fetch") {
  Life life(20);
  life.messages(20'000, 0);
  CHECK(life.mode == Mode::append);
  life.lazy_may = true;
  life.messages(100'000, 0);
  CHECK(life.mode == Mode::lazy);
}

TEST_CASE("costs: a leaf that gets most of its messages after all is not lazy") {
  Life life(10);
  life.lazy_may = true;
  life.warm_up();
  life.kept.stream = 100'000;
  // A read of all in a thousand messages: to fetch these costs as much as ten to be sent, but they come.
  life.messages(300'000, 1e-4);
  CHECK(life.mode == Mode::merge);
  life.kept.stream = 10;
  life.messages(300'000, 1e-5);
  CHECK(life.mode == Mode::lazy);
}

TEST_CASE("costs: few looks do not show that nobody reads") {
  Life life(100);
  life.warm_up();
  // A read of each in 1,000 messages, where merging begins above about 1,700: some looks see none.
  for (int i = 0; i < 200; ++i) {
    life.messages(100, 0.001);
    CHECK(life.mode == Mode::append);
  }
  CHECK(life.looks > 50);
}

TEST_CASE("costs: readers that change their ways are followed, in a bounded number of messages") {
  for (const size_t followers : {10, 1'000}) {
    Life life(followers);
    life.messages(20'000, 0.2);
    REQUIRE(life.mode == Mode::append);
    // They stop. 256 or all are asked for every message: about 10,000 times suffice (4 reads may have been missed,
    // merging is clearly better above 2,600 messages a read), and a look.
    const auto sample = static_cast<int32_t>(std::min(followers, leaf::Look::sample_max));
    life.messages(static_cast<uint64_t>(12'000 / sample + Life::every / leaf::Look::weight(followers)), 0);
    CHECK(life.mode == Mode::merge);
    life.messages(50'000, 0);
    CHECK(life.mode == Mode::merge);
    life.messages(1'000, 0.2);
    CHECK(life.mode == Mode::append);
    CHECK(life.changes == 2);
  }
}

TEST_CASE("costs: a lazy leaf is left when a forward begins, somebody listens, or it is read") {
  Life life(100);
  life.lazy_may = true;
  life.warm_up();
  life.messages(50'000, 0);
  REQUIRE(life.mode == Mode::lazy);
  Life other = life;
  other.lazy_may = false;
  other.messages(1'000, 0);
  CHECK(other.mode == Mode::merge);
  life.messages(5'000, 0.05);
  CHECK(life.mode == Mode::append);
}

TEST_CASE("costs: at the border between two modes it stays as it is") {
  // Where append and merge cost the same: warm × 15 = reads × (200 + 50 × 500).
  const double border = 15.0 / (200 + 50 * 500);
  for (const double beside : {0.8, 1.0, 1.25}) {
    for (const Mode begins : {Mode::append, Mode::merge}) {
      Life life(50);
      life.warm_up();
      life.mode = begins;
      life.messages(1'000'000, border * beside);
      CHECK(life.changes <= 1);
    }
  }
  // Where merge and lazy do: reads × 50,000 = 1,000.
  Life life(50);
  life.lazy_may = true;
  life.warm_up();
  life.mode = Mode::lazy;
  life.messages(1'000'000, 1.0 / 50 / 50);
  CHECK(life.changes <= 2);
}

TEST_CASE("costs: a sample follows those who come") {
  Life life(10);
  life.warm_up();
  life.messages(10'000, 0);
  REQUIRE(life.mode == Mode::merge);
  // A thousand more, who read: the ten do not.
  for (uint32_t no = 10; no < 1'000; ++no) {
    life.followers.push_back(no);
    life.readers.push_back({});
  }
  life.messages(2'000, 0.5);
  CHECK(life.mode == Mode::append);
  CHECK(life.look.seen().warm > 900);
}
