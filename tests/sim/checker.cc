#include "sim/checker.h"

#include <algorithm>
#include <map>
#include <set>

#include "sim/trace.h"
#include "wire/message.h"

namespace canopy::sim {
namespace {

std::string place(wire::Timeline timeline, const std::string& name) {
  return std::string(wire::timeline_name(timeline)) + " of " + name;
}

}  // namespace

// ---- pages

std::vector<Seen> Checker::check_page(wire::Timeline timeline, Entity entity, const wire::TimelinePage& page,
                                      bool ascending, Instant sent) const {
  const std::string where = place(timeline, model_.name(entity));
  std::vector<Seen> list;
  for (const wire::Entry& entry : page.entries) {
    const auto message = wire::decode_message(*entry.message);
    if (!message) throw Violation("an entry can be read", where);
    const Publish& publish = model_.by_body(message->body);
    if (model_.name(publish.author) != message->author)
      throw Violation("a message keeps its author", where + ": " + publish.body);
    if (publish.impossible())
      throw Violation("what was refused does not happen", where + ": " + publish.body);
    if (publish.acked() && publish.id != message->id)
      throw Violation("a message keeps its id", where + ": " + publish.body);
    list.push_back({entry.position, message->id, &publish});
  }
  check_order(list, ascending, where);
  check_once(list, where);
  for (const Seen& seen : list) {
    if (timeline == wire::Timeline::home) check_home_entry(entity, seen, sent);
    else if (seen.publish->author != entity)
      throw Violation("sent holds one's own messages", where + ": " + seen.publish->body);
  }
  return list;
}

void Checker::check_order(const std::vector<Seen>& list, bool ascending, const std::string& where) const {
  std::map<Entity, MessageId> last;
  for (size_t i = 0; i < list.size(); ++i) {
    const Seen& seen = ascending ? list[i] : list[list.size() - 1 - i];
    if (i > 0) {
      const Seen& before = ascending ? list[i - 1] : list[list.size() - i];
      if (before.position >= seen.position) throw Violation("a timeline is in the order of positions", where);
    }
    MessageId& id = last[seen.publish->author];
    if (seen.id <= id) throw Violation("each stream is in order", where + ": " + seen.publish->body);
    id = seen.id;
  }
}

void Checker::check_once(const std::vector<Seen>& list, const std::string& where) const {
  std::set<const Publish*> found;
  for (const Seen& seen : list)
    if (!found.insert(seen.publish).second) throw Violation("nothing is doubled", where + ": " + seen.publish->body);
}

// What is certain at any time: no message of whom he does not follow, none from before he followed.
void Checker::check_home_entry(Entity follower, const Seen& seen, Instant sent) const {
  const Pair& pair = model_.pair(follower, seen.publish->author);
  if (pair.busy || pair.changed_at >= sent) return;
  const std::string what = model_.name(follower) + " has " + seen.publish->body;
  if (pair.state == Pair::State::no) throw Violation("nobody gets what he does not follow", what);
  if (pair.state == Pair::State::yes && seen.publish->last_round < pair.since_round)
    throw Violation("a follow shows no message from long before it", what);
  if (pair.state == Pair::State::yes && seen.publish->acked_at < pair.fresh_since)
    throw Violation("a new leaf begins behind what was published before", what);
}

void Checker::check_newest_sent(Entity author, const std::vector<Seen>& newest_first, size_t limit, Instant sent) const {
  if (newest_first.size() >= limit) return;
  std::set<const Publish*> found;
  for (const Seen& seen : newest_first) found.insert(seen.publish);
  for (const Publish& p : model_.publishes())
    if (p.author == author && p.acked() && p.acked_at < sent && !found.contains(&p))
      throw Violation("nothing acknowledged is lost", "sent of " + model_.name(author) + " lacks " + p.body);
}

void Checker::check_got(const Publish& asked, const wire::Entry& entry) const {
  const auto message = wire::decode_message(*entry.message);
  if (!message || message->body != asked.body || message->id != asked.id || message->author != model_.name(asked.author))
    throw Violation("GET gives the message of that id", asked.body);
}

// ---- whole lists

void Checker::check_list(const std::vector<Seen>& newest_first, const std::string& where) const {
  check_order(newest_first, false, where);
  check_once(newest_first, where);
}

void Checker::check_sent(Entity author, const std::vector<Seen>& list) const {
  check_list(list, place(wire::Timeline::sent, model_.name(author)));
  check_newest_sent(author, list, SIZE_MAX, Instant::never());
  // Whoever was acknowledged before another was asked for stands before it.
  Instant acked_first = Instant::never();
  for (const Seen& seen : list) {
    if (seen.publish->first_sent > acked_first)
      throw Violation("sent is in the order of publishing", model_.name(author) + ": " + seen.publish->body);
    acked_first = std::min(acked_first, seen.publish->acked_at);
  }
}

void Checker::check_home(Entity follower, const std::vector<Seen>& list, bool truncated) const {
  check_list(list, place(wire::Timeline::home, model_.name(follower)));
  const size_t capacity = scenario_.settings.capacity;
  if (list.size() > capacity) throw Violation("a home has at most `capacity` entries", model_.name(follower));
  std::map<Entity, std::vector<Seen>> by_author;
  for (auto it = list.rbegin(); it != list.rend(); ++it) by_author[it->publish->author].push_back(*it);
  for (Entity author = 0; author < model_.entities(); ++author)
    check_author(follower, author, by_author[author], list.size() == capacity, truncated);
}

void Checker::check_author(Entity follower, Entity author, const std::vector<Seen>& list, bool full, bool truncated) const {
  const Pair& pair = model_.pair(follower, author);
  const std::string who = "home of " + model_.name(follower);
  if (pair.state == Pair::State::no && !list.empty())
    throw Violation("nobody gets what he does not follow", who + " has " + list.front().publish->body);
  if (pair.state != Pair::State::yes) return;
  std::vector<const Publish*> must;
  for (const Publish& p : model_.publishes())
    if (p.author == author && p.acked() && p.first_sent > pair.active_at) must.push_back(&p);
  std::sort(must.begin(), must.end(), [](const Publish* a, const Publish* b) { return a->id < b->id; });
  std::set<const Publish*> found;
  for (const Seen& seen : list) found.insert(seen.publish);
  const MessageId oldest = list.empty() ? MessageId() : list.front().id;

  for (size_t i = 0; i < must.size(); ++i) {
    const Publish& p = *must[i];
    if (found.contains(&p)) continue;
    const std::string what = who + " lacks " + p.body;
    // A hole is never right but where the root's stream list was too short for a leaf that was away.
    const auto newer = std::count_if(model_.publishes().begin(), model_.publishes().end(), [&](const Publish& other) {
      return other.author == author && (other.acked() ? other.id > p.id : other.unknown);
    });
    const bool forgotten = static_cast<uint64_t>(newer) >= scenario_.settings.stream_retention;
    if (forgotten) continue;
    const bool older_than_all = list.empty() || p.id < oldest;
    if (full && older_than_all) continue;
    if (scenario_.trims_deliveries() && truncated && older_than_all && list.size() >= std::min<size_t>(16, must.size())) continue;
    if (scenario_.trims_deliveries() && truncated && older_than_all && scenario_.settings.capacity < 800) continue;
    throw Violation("nothing acknowledged is lost", what);
  }
}

void Checker::check_names(const char* rule, const std::vector<std::string>& names, uint64_t count, Entity entity,
                          bool followers) const {
  std::set<Entity> found;
  for (const std::string& name : names)
    if (!found.insert(model_.entity(name)).second) throw Violation(rule, model_.name(entity) + ": " + name + " stands twice");
  if (count != found.size()) throw Violation(rule, model_.name(entity) + ": the count is " + std::to_string(count));
  for (Entity other = 0; other < model_.entities(); ++other) {
    const Pair& pair = followers ? model_.pair(other, entity) : model_.pair(entity, other);
    if (pair.state == Pair::State::maybe) continue;
    if (found.contains(other) != (pair.state == Pair::State::yes))
      throw Violation(rule, model_.name(entity) + ": " + model_.name(other) + (found.contains(other) ? " is too much" : " is missing"));
  }
}

void Checker::check_tree(Entity author, const wire::TreeResult& tree, uint64_t followers,
                         const std::vector<BucketId>& buckets) const {
  const char* const rule = "TREE shows the tree";
  const std::string& name = model_.name(author);
  if (tree.followers != followers) throw Violation(rule, name + ": followers " + std::to_string(tree.followers));
  std::vector<BucketId> leaves;
  uint64_t below = 0;
  std::map<uint32_t, uint64_t> children;
  for (size_t i = 0; i < tree.reflectors.size(); ++i) {
    const auto& r = tree.reflectors[i];
    if (i > 0) ++children[r.parent];
    if (r.children > scenario_.settings.fanout && r.kind != "leaf")
      throw Violation("no reflector has more than fanout children", name);
    if (r.kind != "leaf") continue;
    leaves.push_back(*r.bucket);
    below += r.followers;
  }
  for (size_t i = 0; i < tree.reflectors.size(); ++i)
    if (tree.reflectors[i].kind != "leaf" && children[static_cast<uint32_t>(i)] != tree.reflectors[i].children)
      throw Violation(rule, name + ": a reflector's children do not add up");
  std::sort(leaves.begin(), leaves.end());
  if (leaves != buckets) throw Violation("a tree has a leaf where there are followers, and only there", name);
  if (below != followers) throw Violation(rule, name + ": the leaves' followers do not add up");
}

}  // namespace canopy::sim
