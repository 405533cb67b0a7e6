#include "link/feeds.h"

#include "wire/reply.h"

namespace canopy::link {

Feeds::Change Feeds::change(std::string_view topic, bool on) {
  const std::string key(topic);
  const auto found = counts_.find(key);
  if (found != counts_.end()) {
    if (on) {
      ++found->second;
      return Change::more;
    }
    if (--found->second > 0) return Change::none;
    counts_.erase(found);
    return Change::last;
  }
  if (!on) return Change::none;
  wire::Timeline timeline{};
  std::string entity;
  if (!wire::parse_feed_topic(topic, timeline, entity) || counts_.size() >= topics_max_) return Change::refused;
  counts_.emplace(key, 1);
  return Change::first;
}

}  // namespace canopy::link
