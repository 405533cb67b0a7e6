#include "link/feeds.h"

#include "wire/reply.h"

namespace canopy::link {

Feeds::Change Feeds::change(std::string_view topic, bool on, Connection whose) {
  const std::string key(topic);
  const auto found = topics_.find(key);
  if (found == topics_.end()) {
    if (!on) return Change::none;
    wire::Timeline timeline{};
    std::string entity;
    if (!wire::parse_feed_topic(topic, timeline, entity) || topics_.size() >= topics_max_) return Change::refused;
    topics_[key] = {1, {{whose.descriptor, whose.number}}};
    return Change::first;
  }
  Topic& one = found->second;
  if (on) {
    uint64_t& number = one.by_descriptor[whose.descriptor];
    if (number == whose.number) return Change::none;
    number = whose.number;
    ++one.count;
    return Change::more;
  }
  if (whose.number != 0) {
    const auto has = one.by_descriptor.find(whose.descriptor);
    if (has == one.by_descriptor.end() || has->second != whose.number) return Change::none;
    one.by_descriptor.erase(has);
  }
  if (--one.count > 0) return Change::none;
  topics_.erase(found);
  return Change::last;
}

}  // namespace canopy::link
