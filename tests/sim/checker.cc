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
  for (const wire::Entry& entry : page.entries) list.push_back(check_entry(entry, where, timeline == wire::Timeline::home, !page.incomplete.empty()));
  check_order(list, ascending, timeline, entity, where);
  check_once(list, where);
  for (const Seen& seen : list) {
    const Publish& p = *seen.publish;
    if (timeline == wire::Timeline::sent && model_.gone_at(p) < sent)
      throw Violation("what is retracted is not found", where + " has " + model_.describe(p));
    if (timeline == wire::Timeline::home) {
      if (const std::string rule = ways_.home_forbids(entity, p, sent); !rule.empty())
        throw Violation(rule, where + " has " + model_.describe(p));
    } else if (!belongs(timeline, entity, p)) {
      throw Violation("a list has what is meant for it", where + " has " + model_.describe(p));
    }
  }
  return list;
}

// Returns what it is. What holds for every entry wherever it stands is checked.
Seen Checker::check_entry(const wire::Entry& entry, const std::string& where, bool home, bool incomplete) const {
  const auto message = wire::decode_message(*entry.message);
  if (!message) throw Violation("an entry can be read", where);
  const Publish& publish = model_.by_body(message->body);
  check_fields(publish, *message, where);
  if (publish.impossible()) throw Violation("what was refused does not happen", where + ": " + publish.body);
  if (model_.id_sure(publish) && publish.id != message->id) throw Violation("a message keeps its id", where + ": " + publish.body);
  if (model_.gone_long(publish) && !incomplete && !(home && ways_.through_deleted(publish))) throw Violation("a retracted message is nowhere", where + " has " + model_.describe(publish));
  return {entry.position, message->id, &publish};
}

void Checker::check_fields(const Publish& publish, const wire::MessageView& message, const std::string& where) const {
  const auto same = [](const std::vector<Named>& wanted, const std::vector<std::string_view>& found) {
    return std::equal(wanted.begin(), wanted.end(), found.begin(), found.end(),
                      [](const Named& n, std::string_view name) { return n.name == name; });
  };
  const MessageId parent = publish.parent == nothing ? MessageId() : model_.publish(publish.parent).id;
  if (model_.name(publish.author) != message.author) throw Violation("a message keeps its author", where + ": " + publish.body);
  if (message.reply_to != parent || !same(publish.mentions, message.mentions) || !same(publish.topics, message.topics))
    throw Violation("a message keeps its fields", where + ": " + publish.body);  // (an entry does not show `to`)
}

// Each author's messages, as far as all of them come by one way.
void Checker::check_order(const std::vector<Seen>& list, bool ascending, wire::Timeline timeline, Entity entity,
                          const std::string& where) const {
  const auto by_one_way = [&](const Publish& p) {
    if (timeline == wire::Timeline::home) return !ways_.several(entity, p);
    if (timeline == wire::Timeline::sent || timeline == wire::Timeline::replies) return true;
    const auto& names = timeline == wire::Timeline::mentions ? p.mentions : p.topics;  // an alias passes it on
    return std::all_of(names.begin(), names.end(), [&](const Named& n) { return n.entity != entity || n.name == model_.name(entity); });
  };
  std::map<Entity, MessageId> last;
  for (size_t i = 0; i < list.size(); ++i) {
    const Seen& seen = ascending ? list[i] : list[list.size() - 1 - i];
    if (i > 0) {
      const Seen& before = ascending ? list[i - 1] : list[list.size() - i];
      if (before.position >= seen.position) throw Violation("a timeline is in the order of positions", where);
    }
    if (!by_one_way(*seen.publish)) continue;
    MessageId& id = last[seen.publish->author];
    if (seen.id <= id) throw Violation("each stream is in order", where + ": " + model_.describe(*seen.publish));
    id = seen.id;
  }
}

void Checker::check_once(const std::vector<Seen>& list, const std::string& where) const {
  std::set<const Publish*> found;
  for (const Seen& seen : list)
    if (!found.insert(seen.publish).second) throw Violation("nothing is doubled", where + ": " + model_.describe(*seen.publish));
}

bool Checker::belongs(wire::Timeline timeline, Entity entity, const Publish& p) const {
  if (timeline == wire::Timeline::sent) return p.author == entity;
  if (timeline == wire::Timeline::replies) return p.parent != nothing && model_.publish(p.parent).author == entity;
  return p.names(timeline, entity);
}

void Checker::check_newest_sent(Entity author, const std::vector<Seen>& newest_first, size_t limit, Instant sent) const {
  if (newest_first.size() >= limit || model_.kept(author, wire::Timeline::sent).least != Retention()) return;
  std::set<const Publish*> found;
  for (const Seen& seen : newest_first) found.insert(seen.publish);
  for (const Publish& p : model_.publishes())
    if (p.author == author && p.acked() && p.acked_at < sent && !found.contains(&p) && model_.gone(p) == Sure::no)
      throw Violation("nothing acknowledged is lost", "sent of " + model_.name(author) + " lacks " + p.body);
}

void Checker::check_exact(Entity follower, const std::vector<Seen>& newest_first, const wire::TimelinePage& page, Instant sent) const {
  if (!scenario_.judges_reads() || !page.incomplete.empty() || page.truncated || page.next || !model_.deletions(follower).empty())
    return;
  if (newest_first.size() >= scenario_.settings.capacity) return;
  std::set<const Publish*> found;
  for (const Seen& seen : newest_first) found.insert(seen.publish);
  for (const Publish& p : model_.publishes()) {
    const Pair& pair = model_.pair(follower, p.author);
    if (pair.state != Pair::State::yes || pair.busy || pair.changed_at >= sent || p.first_sent <= pair.active_at) continue;
    if (!p.acked() || p.acked_at >= sent || found.contains(&p) || model_.gone(p) != Sure::no) continue;
    if (ways_.several(follower, p) || !model_.deletions(p.author).empty()) continue;
    throw Violation("a lazy leaf has fetched when its home is read", "home of " + model_.name(follower) + " lacks " + model_.describe(p));
  }
}

void Checker::check_got(const Publish& asked, const wire::Entry* entry, Instant sent) const {
  if (entry) {
    const Seen seen = check_entry(*entry, "GET");
    if (seen.publish != &asked) throw Violation("GET gives the message of that id", asked.body);
    if (model_.gone_at(asked) < sent) throw Violation("what is retracted is not found", "GET has " + asked.body);
  } else if (model_.gone(asked) == Sure::no && model_.kept(asked.author, wire::Timeline::sent).least == Retention()) {
    throw Violation("nothing acknowledged is lost", "GET of " + asked.body);
  }
}

// ---- follows and trees

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
  // A stream that was forwarded has leaves there too: for the retractions of what came through, also afterwards.
  for (const BucketId leaf : leaves) {
    const auto forwards_there = [&](const auto& f) { return f.first.first == author && model_.bucket(f.first.second) == leaf; };
    const auto& all = model_.forwards();
    if (!std::binary_search(buckets.begin(), buckets.end(), leaf) && std::none_of(all.begin(), all.end(), forwards_there))
      throw Violation("a tree has a leaf where there are followers, and only there", name);
  }
  if (!std::includes(leaves.begin(), leaves.end(), buckets.begin(), buckets.end())) throw Violation("a tree has a leaf where there are followers, and only there", name);
  if (below != followers) throw Violation(rule, name + ": the leaves' followers do not add up");
}

}  // namespace canopy::sim
