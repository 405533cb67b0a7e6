// Which live feeds have subscribers: a bounded count for each complete topic. Pure.
//
// ZeroMQ tells of each subscription and of its end, also when the connection dies, but not whose it
// is. So one who cancels what he never had can end the count of another's; he then finds a gap by
// `prev` or the missing beat. Connections that must not be disturbed use SUBSCRIBE.
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

  explicit Feeds(size_t topics_max = limits::live_feeds_max) : topics_max_(topics_max) {}

  // Returns what a subscription (`on`) or its end changes. refused: the topic is not complete, or
  // there are too many.
  Change change(std::string_view topic, bool on);
  bool wanted(const std::string& topic) const { return counts_.contains(topic); }
  size_t size() const { return counts_.size(); }

 private:
  size_t topics_max_;
  std::unordered_map<std::string, uint64_t> counts_;  // never walked
};

}  // namespace canopy::link
