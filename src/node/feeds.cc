#include "node/feeds.h"

#include "base/limits.h"

namespace canopy::node {

void Feeds::on_subscription(std::string_view topic, bool on, Output& out) {
  const auto at = feeds_.find(topic);
  if (!on) {
    if (at == feeds_.end()) return;
    tell(at->second, false, out);
    feeds_.erase(at);
    return;
  }
  if (at != feeds_.end()) return;
  Feed feed;
  if (!wire::parse_feed_topic(topic, feed.timeline, feed.entity) || feeds_.size() >= limits::live_feeds_max) {
    ++counters_.feeds_refused;
    return;
  }
  tell(feed, true, out);
  feeds_.emplace(topic, std::move(feed));
}

void Feeds::on_map(Output& out) {
  for (const auto& [topic, feed] : feeds_) tell(feed, true, out);
}

// A feed of another node's bucket is counted only: live entries between nodes come with a later issue.
void Feeds::tell(const Feed& feed, bool present, Output& out) {
  if (!place_.known()) return;
  const BucketId bucket = place_.map->bucket_of(feed.entity);
  if (!place_.mine(bucket)) {
    if (present) ++counters_.feeds_elsewhere;
    return;
  }
  out.shards.push_back({place_.shard(bucket), shard::Audience{bucket, feed.timeline, feed.entity, present}});
}

void Feeds::on_feed(shard::Feed feed, Output& out) {
  if (!feeds_.contains(wire::feed_topic(feed.timeline, feed.entity))) return;  // the last one has just gone
  ++counters_.feed_frames;
  if (feed.retracted)
    out.feed.push_back(wire::encode_feed_retraction(feed.timeline, feed.entity, *feed.retracted));
  else if (feed.entry.message == nullptr)
    out.feed.push_back(wire::encode_feed_beat(feed.timeline, feed.entity, feed.entry.position));
  else
    out.feed.push_back(wire::encode_feed_entry(feed.timeline, feed.entity, feed.entry, feed.prev));
}

}  // namespace canopy::node
