// How leaves are watched, and which mode each is in.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/random.h"
#include "bucket/bucket.h"
#include "leaf/followers.h"
#include "store/keys.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

// A long poll is mostly followed by the next one: its leaves do not change their mode twice for each.
constexpr Duration lazy_again_wait = Duration::of_s(30);
constexpr Duration walk_wait = Duration::of_ms(20);
constexpr size_t walk_slice = 100;  // leaves looked at

uint64_t rounded(double value) { return value > 0 ? static_cast<uint64_t>(std::llround(std::min(value, 1e18))) : 0; }

}  // namespace

// ---- Which it should be in

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
  want_mode(leaf, leaf::decide(options_.modes.costs, leaf.look->seen(), {leaf.mode, may_be_lazy(leaf, reader), kept()}));
}

// To be lazy, or no longer, is a matter of letters: the next step does it.
void Bucket::want_mode(leaf::Leaf& leaf, leaf::Mode mode) {
  if (mode != leaf::Mode::lazy && leaf.mode != leaf::Mode::lazy) turn_in_ram(leaf, mode);
  else if (leaf.mode != mode) wanted_modes_[leaf.reflector] = mode;
}

// At the beginning of a step. Where the way to the root is full nothing changes: the next look wants it again.
void Bucket::take_wanted_modes(Now now, const store::Reader& reader, Effects& effects) {
  for (const auto& [reflector, mode] : std::exchange(wanted_modes_, {}))
    if (leaf::Leaf* const leaf = leaves_.find(reflector, reader); leaf && channels_.has_room(map_->bucket_of(reflector)))
      set_mode(*leaf, mode, now, reader, effects);
}

leaf::Kept Bucket::kept() const { return {map_->settings.capacity, map_->settings.stream_retention}; }

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
  const auto costs = leaf::message_costs(options_.modes.costs, seen, seen.reads_per_message(), kept());
  const double messages = seen.per_second(seen.messages);
  told.measured = {rounded(1e3 * messages), rounded(1e3 * messages * seen.reads_per_message()),
                   rounded(costs[0]), rounded(costs[1]), rounded(costs[2])};
  return told;
}

// ---- How it gets there

// Returns whether the leaf is in that mode now; it cannot be lazy before it is welcomed, while somebody tails a
// home of its followers, or when what it gets goes on into other streams.
bool Bucket::set_mode(leaf::Leaf& leaf, leaf::Mode mode, Now now, const store::Reader& reader, Effects& effects) {
  if (leaf.mode == mode) return true;
  const bool lazy = mode == leaf::Mode::lazy;
  if (!lazy && leaf.mode != leaf::Mode::lazy) return turn_in_ram(leaf, mode), true;
  if (lazy && !may_be_lazy(leaf, reader)) return false;
  leaf.plain = false;
  std::vector<wire::Packet> packets;
  const LetterNo letter = channels_.write(map_->bucket_of(leaf.reflector), wire::LeafMode{leaf.reflector, leaf.generation, lazy},
                                          take_position(), now, effects.writes, packets);
  send_all(std::move(packets), effects);
  if (lazy) lazy_.put(leaf.no, leaf.reflector, effects.writes);
  else lazy_.leave(leaf.no, letter, effects.writes);
  ++(lazy ? counters_.to_lazy : counters_.to_pushed);
  turn_in_ram(leaf, mode);
  return true;
}

bool Bucket::may_be_lazy(const leaf::Leaf& leaf, const store::Reader& reader) const {
  return leaf.welcomed && leaf.forwards.empty() && !tailed(leaf.no, reader);
}

bool Bucket::tailed(LeafNo leaf, const store::Reader& reader) const {
  return std::any_of(home_tails_.begin(), home_tails_.end(), [&](const auto& home) {
    return reader.get(KeyBuilder(id_, Table::edge).add(home.first).add(leaf)).has_value();
  });
}

// Somebody tails the home: what it follows gets letters again.
void Bucket::rouse(EntityNo follower, Now now, const store::Reader& reader, Effects& effects) {
  std::vector<std::string> lazy;
  lazy_.followed_by(follower, reader, [&](LeafNo, const leaf::LazyLeaf& one) {
    if (!one.leaving) lazy.push_back(one.reflector);
  });
  for (const std::string& reflector : lazy)
    if (leaf::Leaf* const leaf = leaves_.find(reflector, reader)) set_mode(*leaf, leaf::Mode::append, now, reader, effects);
}

// A slice of the walk that brings the leaves into the mode that is forced; what cannot be is left as it is.
void Bucket::walk_modes(Now now, const store::Reader& reader, Effects& effects) {
  modes_at_ = Instant::never();
  if (!options_.modes.forced) return;
  const bool lazy = *options_.modes.forced == leaf::Mode::lazy;
  std::vector<std::string> leaves;
  size_t seen = 0;
  if (lazy) {
    const std::string all = KeyBuilder(id_, Table::leaf);
    reader.scan(KeyBuilder(id_, Table::leaf).add(modes_walked_.value() + 1), store::after_prefix(all), [&](std::string_view key, std::string_view) {
      modes_walked_ = LeafNo(Cursor(key.substr(all.size())).be32());
      if (!lazy_.lazy(modes_walked_)) leaves.push_back(leaves_.reflector_of(modes_walked_, reader));
      return ++seen < walk_slice;
    });
  } else {
    lazy_.visit(modes_walked_, [&](LeafNo no, const leaf::LazyLeaf& one) {
      modes_walked_ = no;
      if (!one.leaving) leaves.push_back(one.reflector);
      return ++seen < walk_slice;
    });
  }
  for (const std::string& reflector : leaves) {
    leaf::Leaf* const leaf = leaves_.find(reflector, reader);
    if (leaf && channels_.has_room(map_->bucket_of(reflector))) set_mode(*leaf, *options_.modes.forced, now, reader, effects);
  }
  if (seen == walk_slice) modes_at_ = now.instant + walk_wait;
}

// A home is no longer tailed.
void Bucket::walk_modes_later(Now now) {
  untailed_ = false;
  modes_walked_ = LeafNo();
  modes_at_ = std::min(modes_at_, now.instant + lazy_again_wait);
}

void Bucket::on(const Turn& turn, Now now, const store::Reader& reader, Effects& effects) {
  if (leaf::Leaf* const leaf = leaves_.find(turn.reflector, reader)) set_mode(*leaf, turn.mode, now, reader, effects);
}

// At the root.
void Bucket::on_letter_body(const wire::LeafMode& mode, BucketId from, Now now, const store::Reader& reader, Effects& effects) {
  const auto entity = entities_.find(mode.reflector, reader);
  if (!entity || (mode.lazy && ending(*entity))) return;  // its leaves are about to hear that it ends
  roots_.on_mode(*entity, mode.reflector, from, mode.lazy, now, reader, effects.writes);
}

// Of set_mode(): what nobody else hears of.
void Bucket::turn_in_ram(leaf::Leaf& leaf, leaf::Mode mode) {
  if (leaf.mode == mode) return;
  leaf.mode = mode;
  ++counters_.mode_switches;
}

void Bucket::shuffle_modes() {
  leaves_.each_in_ram([&](leaf::Leaf& leaf) {
    const uint64_t drawn = Random(options_.modes.shuffle ^ position_.packed() << 20 ^ leaf.no.value()).next();
    if (drawn % 8 == 0 && leaf.mode != leaf::Mode::lazy) turn_in_ram(leaf, drawn / 8 % 2 == 0 ? leaf::Mode::append : leaf::Mode::merge);
  });
}

}  // namespace canopy::bucket
