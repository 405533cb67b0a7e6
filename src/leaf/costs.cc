#include "leaf/costs.h"

#include <algorithm>
#include <cmath>

namespace canopy::leaf {
namespace {

// Of events that come at random, about two standard deviations either way (of the square root, which is even).
double fewest(double seen) { return std::pow(std::max(std::sqrt(seen) - 1, 0.0), 2); }
double most(double seen) { return std::pow(std::sqrt(seen + 1) + 1, 2); }

constexpr double reads_enough = 400;     // ± 10 %: more need not be kept
constexpr double asked_enough = 1 << 24; // and without reads: a read of 4 million messages is none
constexpr uint8_t looks_max = 200;       // with one sample

size_t index(Mode mode) { return static_cast<size_t>(mode); }

}  // namespace

void Seen::add(const Seen& look) {
  followers = look.followers;
  warm = look.warm;
  const bool contradicts = asked > 0 && look.asked > 0 &&
                           (most(look.reads) / look.asked < fewest(reads) / asked || fewest(look.reads) / look.asked > most(reads) / asked);
  if (contradicts) messages = asked = reads = seconds = 0;
  messages += look.messages;
  asked += look.asked;
  reads += look.reads;
  seconds += look.seconds;
  if (reads <= reads_enough && asked <= asked_enough) return;
  for (double* sum : {&messages, &asked, &reads, &seconds}) *sum /= 2;
}

std::array<double, 3> message_costs(const Costs& costs, const Seen& seen, double reads, const Kept& kept) {
  // A reader takes in what came since he read last, at most a timeline of it: all readers together for each
  // message as many rows as there are readers, or fewer.
  const double rows = std::min(seen.warm, reads * static_cast<double>(kept.timeline));
  const double merged = reads * costs.look + rows * costs.merge;
  // Each read fetches, and a message is fetched for the first one after it, unless its root has dropped it by then.
  const double fetched = std::min(1.0, reads * static_cast<double>(kept.stream));
  const double fetches = std::max(reads, fetched / messages_a_fetch);
  return {costs.deliver + seen.warm * costs.append, costs.deliver + merged, fetches * costs.fetch + merged};
}

// Every cost but append's grows with the reads. So on the way from append to lazy they are taken to be as many
// as they may have been, on the way back as few: whoever moves was right in the whole interval.
Mode decide(const Costs& costs, const Seen& seen, const Choice& choice) {
  if (seen.messages < 1) return choice.mode;
  const double scale = seen.asked > 0 ? seen.followers / seen.asked : 0;
  const auto many = message_costs(costs, seen, most(seen.reads) * scale, choice.kept);
  const auto few = message_costs(costs, seen, fewest(seen.reads) * scale, choice.kept);
  const auto append = index(Mode::append), merge = index(Mode::merge), lazy = index(Mode::lazy);

  // Delivering is the same in both and left out: the rest is what is decided about.
  const auto rest = [&](const auto& of, size_t mode) { return of[mode] - costs.deliver; };
  const bool append_better = rest(few, append) * clearly < rest(few, merge);
  const bool merge_better = rest(many, merge) * clearly < rest(many, append);
  Mode kept = choice.mode;
  if (kept != Mode::append && append_better) kept = Mode::append;
  else if (kept != Mode::merge && merge_better) kept = Mode::merge;
  if (choice.mode == Mode::lazy) {
    if (!choice.lazy_may) return append_better ? Mode::append : Mode::merge;
    const auto other = std::min(few[append], few[merge]);
    if (few[lazy] * (lazy_margin / 2) <= other) return Mode::lazy;
    return few[append] < few[merge] ? Mode::append : Mode::merge;
  }
  if (choice.lazy_may && many[lazy] * lazy_margin < std::min(many[append], many[merge])) return Mode::lazy;
  return kept;
}

// Followers come and go; a sample of those who were there first is none of the others.
bool Look::stale(size_t followers) {
  const bool stale = ++looks_ >= looks_max || sample_.empty() || followers > drawn_of_ + drawn_of_ / 4 || followers < drawn_of_ - drawn_of_ / 4;
  if (stale) looks_ = 0;
  return stale;
}

void Look::draw(const uint32_t* followers, size_t n) {
  const size_t size = std::min(n, sample_max);
  sample_.clear();
  sample_.reserve(size);
  for (size_t i = 0; i < size; ++i) sample_.push_back({followers[i * n / size], 0});
}

}  // namespace canopy::leaf
