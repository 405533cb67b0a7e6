// Live feeds that somebody subscribes to at this node.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "node/counters.h"
#include "node/node.h"
#include "node/place.h"

namespace canopy::node {

class Feeds {
 public:
  Feeds(const Place& place, Counters& counters) : place_(place), counters_(counters) {}

  // The first subscriber of a topic came, or the last one went. Topics that are not complete have no effect.
  void on_subscription(std::string_view topic, bool on, Output& out);
  void on_map(Output& out);                      // the shards are told who listens
  void on_feed(shard::Feed feed, Output& out);
  size_t size() const { return feeds_.size(); }

 private:
  struct Feed {
    wire::Timeline timeline = wire::Timeline::home;
    std::string entity;
  };
  void tell(const Feed& feed, bool present, Output& out);

  const Place& place_;
  Counters& counters_;
  std::map<std::string, Feed, std::less<>> feeds_;  // by topic
};

}  // namespace canopy::node
