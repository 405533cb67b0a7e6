// How leaves are watched, and which mode each is in.
#include <cmath>
#include <utility>

#include "bucket/bucket.h"
#include "leaf/followers.h"

namespace canopy::bucket {
namespace {

uint64_t rounded(double value) { return value > 0 ? static_cast<uint64_t>(std::llround(std::min(value, 1e18))) : 0; }

}  // namespace

// The sample comes from the first chunk of followers: all of them, unless they are too many to be kept in memory.
void Bucket::look(leaf::Leaf& leaf, const store::Reader& reader) {
  leaf.until_look = options_.modes.look_every;
  if (!leaf.look) leaf.look = std::make_unique<leaf::Look>();
  bool first = true, fresh = false;
  leaves_.followers(leaf, reader, [&](const uint32_t* followers, size_t n) {
    if (!std::exchange(first, false)) return;
    const size_t all = leaf.followers_in_ram == leaf::Leaf::InRam::yes ? n : leaf::Followers(id_, leaf.no, reader).count();
    fresh = leaf.look->look(followers, n, all, leaf.applied.packed(), now_.instant, [&](uint32_t no) {
      return leaf::Look::Reader{timelines_.contains(EntityNo(no)), timelines_.reads(EntityNo(no))};
    });
  });
  if (!fresh || options_.modes.forced || options_.modes.shuffle != 0) return;
  // A leaf that is lazy stays so as long as that is right; none becomes it by itself so far.
  const bool lazy_may = leaf.mode == leaf::Mode::lazy && may_be_lazy(leaf, reader);
  want_mode(leaf, leaf::decide(options_.modes.costs, leaf.look->seen(), {leaf.mode, lazy_may, map_->settings.capacity}));
}

// To be lazy, or no longer, is a matter of letters: the next step does it.
void Bucket::want_mode(leaf::Leaf& leaf, leaf::Mode mode) {
  if (mode != leaf::Mode::lazy && leaf.mode != leaf::Mode::lazy) turn_in_ram(leaf, mode);
  else if (leaf.mode != mode) wanted_modes_[leaf.reflector] = mode;
}

// At the beginning of a step.
void Bucket::take_wanted_modes(Now now, const store::Reader& reader, Effects& effects) {
  for (const auto& [reflector, mode] : std::exchange(wanted_modes_, {}))
    if (leaf::Leaf* const leaf = leaves_.find(reflector, reader)) set_mode(*leaf, mode, now, reader, effects);
}

wire::LeafCosts Bucket::costs_of(leaf::Leaf& leaf, const store::Reader& reader) {
  look(leaf, reader);
  wire::LeafCosts told;
  told.mode = leaf::mode_name(leaf.mode);
  told.forced = options_.modes.forced.has_value();
  leaves_.followers(leaf, reader, [&](const uint32_t* followers, size_t n) {
    for (size_t i = 0; i < n; ++i) told.warm += timelines_.contains(EntityNo(followers[i]));
  });
  const leaf::Seen& seen = leaf.look->seen();
  if (seen.messages < 1) return told;
  const auto costs = leaf::message_costs(options_.modes.costs, seen, seen.reads_per_message(), map_->settings.capacity);
  const double messages = seen.per_second(seen.messages);
  told.measured = {rounded(1e3 * messages), rounded(1e3 * messages * seen.reads_per_message()),
                   rounded(costs[0]), rounded(costs[1]), rounded(costs[2])};
  return told;
}

}  // namespace canopy::bucket
