// Which live feeds have subscribers: a bounded count for each complete topic. Pure.
//
// A connection counts once for a topic, however often it subscribes, and can end only what it has
// itself. When it dies, ZeroMQ tells of each topic that it had, but not which connection it was.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/limits.h"

namespace canopy::link {

class Feeds {
 public:
  enum class Change { none, first, more, last, refused };

  struct Connection {
    int descriptor = -1;  // used again for another connection after this one's end
    uint64_t number = 0;  // never used again; 0: it has died
  };

  explicit Feeds(size_t topics_max = limits::live_feeds_max) : topics_max_(topics_max) {}

  // Returns what a subscription (`on`) or its end changes. refused: the topic is not complete, or
  // there are too many.
  Change change(std::string_view topic, bool on, Connection whose);
  bool wanted(const std::string& topic) const { return topics_.contains(topic); }
  size_t size() const { return topics_.size(); }

 private:
  struct Topic {
    uint64_t count = 0;                               // of connections that are there
    std::unordered_map<int, uint64_t> by_descriptor;  // those, and dead ones until theirs is used again
  };

  size_t topics_max_;
  std::unordered_map<std::string, Topic> topics_;  // never walked
};

}  // namespace canopy::link
