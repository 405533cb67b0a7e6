// The last hop: what a leaf got comes into the homes of its followers; and how far back that is kept.
#include <algorithm>

#include "base/planted.h"
#include "bucket/bucket.h"
#include "store/keys.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr size_t delivery_record_bytes = 64;     // what a row of a delivery counts: more than it is packed, its body is not in it

}  // namespace

// The last hop: each follower's timeline, if it is in memory, gets one small entry.
void Bucket::delivered(leaf::Leaf& leaf, const std::vector<leaf::Delivery>& deliveries, const store::Reader& reader, Effects& effects) {
  if (deliveries.empty()) return;  // the horizon moves with them
  record_.deliveries += deliveries.size();
  counters_.deliveries += deliveries.size();
  if (horizon_moves(record_.deliveries, position_)) {
    record_.horizon = Position(position_.packed() - kept_deliveries());
    trim_.begin(record_.horizon);
    work_at_ = Instant();
  }
  for (const auto& delivery : deliveries) {
    watch(leaf, reader);
    if (timelines_.empty() && home_tails_.empty()) continue;
    if (leaf.mode != leaf::Mode::append && leaves_.defer(leaf, delivery.position)) {
      deferred(leaf, delivery, reader, effects);
      continue;
    }
    const leaf::Ways ways = delivery.shared ? leaf::Ways(id_, delivery.ref.id, reader) : leaf::Ways(id_);
    leaves_.followers(leaf, reader, [&](const uint32_t* followers, size_t n) {
      if (ways.none()) {
        counters_.timeline_writes += timelines_.append_all(followers, n, delivery.position);
        return;
      }
      for (size_t i = 0; i < n; ++i)
        arrived(EntityNo(followers[i]), {delivery.position, delivery.ref}, delivery.message, ways, reader, effects);
    });
    if (ways.none()) tell_tails(leaf, delivery, reader, effects);
  }
}

// A row that no timeline gets, but for those that somebody tails: they lack nothing at any time.
void Bucket::deferred(leaf::Leaf& leaf, const leaf::Delivery& delivery, const store::Reader& reader, Effects& effects) {
  ++counters_.rows_deferred;
  if (home_tails_.empty()) return;
  const leaf::Ways ways = delivery.shared ? leaf::Ways(id_, delivery.ref.id, reader) : leaf::Ways(id_);
  for (const auto& [follower, name] : home_tails_) {
    if (leaves_.followed_by(leaf, follower, reader))
      arrived(follower, {delivery.position, delivery.ref}, delivery.message, ways, reader, effects);
    // One that is not opened yet takes in what it lacks then.
    if (due_opens_.empty()) timelines_.brought_up(follower, delivery.position);
  }
}

// Those of the followers whose home somebody tails.
void Bucket::tell_tails(const leaf::Leaf& leaf, const leaf::Delivery& delivery, const store::Reader& reader, Effects& effects) {
  for (const auto& [follower, name] : home_tails_) {
    if (timelines_.contains(follower)) {
      const auto home = timelines_.view(follower);
      if (home.newest() == delivery.position)
        notify({wire::Timeline::home, name}, {delivery.position, delivery.message}, home.before_newest(), effects);
    } else if (reader.get(KeyBuilder(id_, Table::edge).add(follower).add(leaf.no))) {
      // Dropped to make room. Long polls read it from the store; a live feed shows the hole by its
      // next `prev` or beat.
      wake({wire::Timeline::home, name});
    }
  }
}

// Who tails his home is told in a step, and what is deferred is brought up for him there.
bool Bucket::may_concern_tails(const leaf::Leaf& leaf) const {
  if (leaf.mode != leaf::Mode::append || leaf.followers_in_ram != leaf::Leaf::InRam::yes) return true;
  if (leaf.followers.size() < home_tails_.size())
    return std::any_of(leaf.followers.begin(), leaf.followers.end(), [&](uint32_t follower) { return tailed_home(EntityNo(follower)); });
  return std::any_of(home_tails_.begin(), home_tails_.end(), [&](const auto& tail) { return leaf.followers.contains(tail.first.value()); });
}

bool Bucket::deliver_plain(leaf::Leaf& leaf, const wire::StreamItem& item, const store::Reader& reader,
                           store::DeliveryBatch::To& to, TimelineWrite& write) {
  if (item.no != leaf.applied.next() || item.kind != wire::StreamItem::Kind::message || item.shared) return false;
  if (!home_tails_.empty() && may_concern_tails(leaf)) return false;
  if (!leaf.plain && !(leaf.plain = leaf.quiet())) return false;
  // What a step would do besides: drop what is dead, move the horizon, write the counter of deliveries.
  if (dead_.has(item.ref.id, reader) || horizon_moves(record_.deliveries + 1, position_.next()) ||
      record_.deliveries + 1 >= saved_record_.deliveries + deliveries_per_save)
    return false;
  to.bucket = id_;
  to.leaf = leaf.no;
  to.position = take_position();
  to.before = planted("chain link skips a delivery") && item.no.number() % 5 == 0 ? Position() : leaf.newest;
  leaf.applied = item.no;
  leaf.known = std::max(leaf.known, item.no);
  leaf.newest = to.position;
  ++record_.deliveries;
  ++counters_.deliveries;
  ++counters_.deliveries_plain;
  watch(leaf, reader);
  if (timelines_.empty()) return true;
  // watch() may just have changed the mode; beside a tailed home this one is appended all the same.
  if (leaf.mode != leaf::Mode::append && home_tails_.empty() && leaves_.defer(leaf, to.position)) {
    ++counters_.rows_deferred;
    return true;
  }
  leaves_.followers(leaf, reader, [&](const uint32_t* followers, size_t n) {
    write.bucket = this;
    write.timelines = &timelines_;
    write.followers = followers;
    write.at = to.position;
    write.n = n;
    if (leaf.followers_in_ram == leaf::Leaf::InRam::yes) return;
    write.written += this->write(write);
    write.n = 0;
  });
  return true;
}

void Bucket::arrived(EntityNo follower, const leaf::HomeEntry& entry, const Blob& message, const leaf::Ways& ways,
                     const store::Reader& reader, Effects& effects) {
  const auto tailed = home_tails_.find(follower);
  const bool warm = timelines_.contains(follower);
  if (!warm && tailed == home_tails_.end()) return;
  if (!ways.none() && ways.lower(follower, entry.position, reader)) {
    ++counters_.other_ways;
    return;
  }
  if (warm) {
    const Position previous = timelines_.append(follower, entry);
    ++counters_.timeline_writes;
    if (tailed != home_tails_.end()) notify({wire::Timeline::home, tailed->second}, {entry.position, message}, previous, effects);
  } else {
    // Dropped to make room. Long polls read it from the store; a live feed shows the hole by its
    // next `prev` or beat.
    wake({wire::Timeline::home, tailed->second});
  }
}

// It is made again from the store at the next read; at once when somebody tails it.
void Bucket::drop_home(EntityNo entity) {
  timelines_.drop(entity);
  if (tailed_home(entity)) due_opens_.push_back(entity);
}

leaf::Timelines::View Bucket::home(EntityNo entity, Now now, const store::Reader& reader) {
  const auto view = timelines_.open(entity, now, leaves_.deferred(), reader);
  const auto& taken_in = timelines_.taken_in();
  counters_.merges = taken_in.times;
  counters_.rows_merged = taken_in.rows;
  counters_.merge_repeats = taken_in.repeats;
  counters_.merges_given_up = taken_in.given_up;
  return view;
}

// ---- The horizon

// How many positions the horizon leaves.
uint64_t Bucket::kept_deliveries() const { return map_->settings.deliveries_max / delivery_record_bytes * 9 / 10; }

// The counter of deliveries is about right; so is what this does about it.
bool Bucket::horizon_moves(uint64_t deliveries, Position position) const {
  if (deliveries * delivery_record_bytes <= map_->settings.deliveries_max || trim_.active()) return false;
  const uint64_t kept = kept_deliveries();
  return position.number() > kept && position.packed() - kept > record_.horizon.packed() + kept / 10;
}

}  // namespace canopy::bucket
