// Of the checker: whole lists, after everything has healed and drained.
#include <algorithm>
#include <map>
#include <set>

#include "base/assert.h"
#include "sim/checker.h"
#include "sim/trace.h"

namespace canopy::sim {
namespace {

// Clocks are up to 5 s before or behind; an id is made by one and judged by another.
constexpr Duration clocks_differ = Duration::of_s(11);

std::set<const Publish*> publishes_of(const std::vector<Seen>& list) {
  std::set<const Publish*> found;
  for (const Seen& seen : list) found.insert(seen.publish);
  return found;
}

}  // namespace

// ---- sent: what there is

void Checker::begin_judgement() {
  there_.assign(model_.publishes().size(), Sure::maybe);
  in_sent_.assign(model_.publishes().size(), false);
  enters_.assign(model_.publishes().size(), {});
  may_enter_.assign(model_.publishes().size(), {});
}

void Checker::check_sent(Entity author, const std::vector<Seen>& list, Instant now) {
  const bool bounded = model_.kept(author, wire::Timeline::sent).least != Retention();
  const auto found = publishes_of(list);
  for (const Publish& p : model_.publishes()) {
    if (p.author != author) continue;
    const Sure gone = model_.gone(p);
    const bool is_found = found.contains(&p);
    if (is_found && gone == Sure::yes) throw Violation("a retracted message is nowhere", "sent of " + model_.name(author) + " has " + model_.describe(p));
    in_sent_[p.number] = is_found;
    if (is_found) there_[p.number] = Sure::yes;
    else if (gone == Sure::yes || p.impossible()) there_[p.number] = Sure::no;
    else if (p.acked() && gone == Sure::no) there_[p.number] = Sure::yes;  // lost, or fell out: check_kept() knows
    else there_[p.number] = bounded ? Sure::maybe : Sure::no;
  }
  check_kept(wire::Timeline::sent, author, list, now);
  // Whoever was acknowledged before another was asked for stands before it.
  Instant acked_first = Instant::never();
  for (const Seen& seen : list) {
    if (seen.publish->first_sent > acked_first)
      throw Violation("sent is in the order of publishing", model_.name(author) + ": " + model_.describe(*seen.publish));
    if (model_.id_sure(*seen.publish)) acked_first = std::min(acked_first, seen.publish->acked_at);
  }
}

void Checker::found_all_sent() {
  for (const Publish& p : model_.publishes()) {
    enters_[p.number] = ways_.must_enter(p);
    may_enter_[p.number] = ways_.may_enter(p);
  }
}

// ---- lists

void Checker::check_list(wire::Timeline timeline, Entity entity, const std::vector<Seen>& list, Instant now) const {
  for (const Seen& seen : list)
    if (there_[seen.publish->number] == Sure::no)
      throw Violation("a retracted message is nowhere", std::string(wire::timeline_name(timeline)) + " of " + model_.name(entity) +
                                                            " has " + model_.describe(*seen.publish));
  check_kept(timeline, entity, list, now);
}

// Does it stand in this list for sure, if its retention still has it?
Sure Checker::must_stand(wire::Timeline timeline, Entity entity, const Publish& p) const {
  if (!belongs(timeline, entity, p)) return Sure::no;
  Sure sure = there_[p.number];
  if (timeline == wire::Timeline::sent || sure == Sure::no) return sure;
  if (const Sure listed = model_.listed(p, entity); listed != Sure::yes) return listed;
  if (timeline != wire::Timeline::replies) return sure;
  // A reply to what is gone already is dropped.
  const Publish& parent = model_.publish(p.parent);
  const bool parent_stays = model_.gone(parent) == Sure::no && model_.kept(entity, wire::Timeline::sent).least == Retention();
  return parent_stays ? sure : Sure::maybe;
}

// Nothing is missing but what the list's retention lets go, and nothing is there that it does not.
void Checker::check_kept(wire::Timeline timeline, Entity entity, const std::vector<Seen>& list, Instant now) const {
  const std::string where = std::string(wire::timeline_name(timeline)) + " of " + model_.name(entity);
  const auto found = publishes_of(list);
  const Kept kept = model_.kept(entity, timeline);
  std::map<Entity, MessageId> oldest;
  for (auto it = list.rbegin(); it != list.rend(); ++it) oldest.emplace(it->publish->author, it->id);
  size_t may_have_stood = 0;
  for (const Publish& p : model_.publishes())
    may_have_stood += !p.impossible() && belongs(timeline, entity, p) && !found.contains(&p) &&
                      must_stand(timeline, entity, p) != Sure::yes;
  for (const Publish& p : model_.publishes()) {
    if (found.contains(&p) || must_stand(timeline, entity, p) != Sure::yes) continue;
    const auto oldest_of_author = oldest.find(p.author);
    const bool full = kept.least.count > 0 && list.size() + may_have_stood >= kept.least.count &&
                      (oldest_of_author == oldest.end() || p.id < oldest_of_author->second || timeline != wire::Timeline::sent);
    const bool aged = kept.least.age_s > 0 &&
                      p.first_sent + Duration::of_s(static_cast<int64_t>(kept.least.age_s)) < now + clocks_differ;
    if (!full && !aged) throw Violation("nothing acknowledged is lost", where + " lacks " + model_.describe(p));
  }
  if (!kept.sure) return;
  if (kept.now.count > 0 && list.size() > kept.now.count)
    throw Violation("a list keeps what its retention says", where + " has " + std::to_string(list.size()) + " entries");
  for (const Seen& seen : list)
    if (kept.now.age_s > 0 && seen.publish->acked() &&
        seen.publish->acked_at + Duration::of_s(static_cast<int64_t>(kept.now.age_s)) + clocks_differ < now)
      throw Violation("a list keeps what its retention says", where + " has " + model_.describe(*seen.publish));
}

// ---- home

void Checker::check_home(Entity follower, const std::vector<Seen>& list, bool truncated) const {
  const size_t capacity = scenario_.settings.capacity;
  const std::string who = "home of " + model_.name(follower);
  if (list.size() > capacity) throw Violation("a home has at most `capacity` entries", model_.name(follower));
  for (const Seen& seen : list)
    if (there_[seen.publish->number] == Sure::no && !ways_.through_deleted(*seen.publish))
      throw Violation("a retracted message is nowhere", who + " has " + model_.describe(*seen.publish));
  const auto found = publishes_of(list);
  std::vector<Entity> ways;
  for (const Publish& p : model_.publishes()) {
    if (there_[p.number] != Sure::yes || found.contains(&p)) continue;
    if (!ways_.must_have(follower, p, enters_[p.number], ways) && !must_backfill(follower, p)) continue;
    if (!home_excuses(follower, p, ways, list, truncated)) throw Violation("nothing acknowledged is lost", who + " lacks " + model_.describe(p));
  }
}

bool Checker::home_excuses(Entity follower, const Publish& p, const std::vector<Entity>& ways, const std::vector<Seen>& list,
                           bool truncated) const {
  const bool full = list.size() == scenario_.settings.capacity;
  // A hole is never right but where the root's stream list was too short for a leaf that was away.
  const bool direct = p.direct_to(follower);
  if (!ways.empty() && !direct && std::all_of(ways.begin(), ways.end(), [&](Entity stream) { return forgotten(p, stream); })) return true;
  if (ways_.several(follower, p)) {
    if (full || (scenario_.trims_deliveries() && truncated && !direct)) return true;
    size_t directs = 0;  // no more of them are kept than a home has
    for (const Publish& other : model_.publishes()) directs += !other.impossible() && other.direct_to(follower);
    return direct && ways.empty() && directs > scenario_.settings.capacity;
  }
  size_t stand = 0, must = 0, may_have_stood = 0;
  bool older_than_all = true;
  for (const Seen& seen : list)
    if (seen.publish->author == p.author && !ways_.several(follower, *seen.publish)) ++stand, older_than_all &= p.id < seen.id;
  if (!older_than_all) return false;
  if (full) return true;
  if (!scenario_.trims_deliveries() || !truncated) return false;
  if (scenario_.settings.capacity < 800) return true;
  std::vector<Entity> other_ways;
  for (const Publish& other : model_.publishes()) {
    if (other.author != p.author) {  // by a topic or a forward it stands in the same leaf
      may_have_stood += !other.impossible() && may_enter_[other.number].contains(p.author);
      continue;
    }
    must += there_[other.number] == Sure::yes && ways_.must_have(follower, other, enters_[other.number], other_ways);
    may_have_stood += !other.impossible() && (there_[other.number] != Sure::yes || ways_.several(follower, other));
  }
  return stand + may_have_stood >= std::min<size_t>(16, must);
}

// Does the stream list perhaps no longer have it?
bool Checker::forgotten(const Publish& p, Entity stream) const {
  uint64_t newer = 0;
  for (const Publish& other : model_.publishes()) {
    if (other.impossible() || !may_enter_[other.number].contains(stream)) continue;
    // By a topic or a forward what was acknowledged long before may come behind it: until all had drained.
    const bool behind = stream == p.author && other.author == p.author && other.acked() ? other.id > p.id : other.last_round >= p.first_round;
    newer += behind;
    newer += model_.gone(other) != Sure::no;  // its retraction takes a place of its own
  }
  return newer >= scenario_.settings.stream_retention;
}

// Is it among the newest that a follow asked for, whatever was published until the root heard of it?
bool Checker::must_backfill(Entity follower, const Publish& p) const {
  const Pair& pair = model_.pair(follower, p.author);
  if (pair.state != Pair::State::yes || !pair.backfill_sure || p.acked_at >= pair.backfill_asked) return false;
  if (pair.backfill >= scenario_.settings.stream_retention || model_.kept(p.author, wire::Timeline::sent).least != Retention()) return false;
  uint64_t newer = 0;
  for (const Publish& other : model_.publishes())
    newer += !other.impossible() && other.first_round <= pair.since_round &&
             (other.names(wire::Timeline::topic, p.author) || (other.author == p.author && (!other.acked() || other.id > p.id)));
  return newer < pair.backfill && !forgotten(p, p.author);
}

// ---- threads, markers

void Checker::check_thread(const Publish& asked, const wire::ThreadResult* thread, const std::vector<Seen>& replies) const {
  const std::string where = "THREAD of " + asked.body;
  if (!thread) {
    if (in_sent_[asked.number]) throw Violation("a thread has its message", where);
    return;
  }
  if (!in_sent_[asked.number]) throw Violation("a retracted message is nowhere", where);
  if (check_entry(thread->message, where).publish != &asked) throw Violation("a thread has its message", where);
  const bool parent = asked.parent != nothing && in_sent_[asked.parent];
  if (parent != thread->parent.has_value()) throw Violation("a thread has its parent", where);
  if (parent && check_entry(*thread->parent, where).publish->number != asked.parent) throw Violation("a thread has its parent", where);
  std::vector<const Seen*> wanted;
  for (auto it = replies.rbegin(); it != replies.rend(); ++it)
    if (it->publish->parent == asked.number) wanted.push_back(&*it);
  bool same = wanted.size() == thread->replies.size();
  for (size_t i = 0; same && i < wanted.size(); ++i)
    same = check_entry(thread->replies[i], where).publish == wanted[i]->publish && thread->replies[i].position == wanted[i]->position;
  if (!same) throw Violation("a thread has its replies", where);
}

void Checker::check_unread(wire::Timeline timeline, Entity entity, const std::vector<Seen>& above, uint64_t unread) const {
  uint64_t least = 0, most = 0;
  for (const Seen& seen : above) {
    const Publish& p = *seen.publish;
    bool may_be = false, is = false;  // brought by a backfill
    if (timeline == wire::Timeline::home) {
      const Pair& own = model_.pair(entity, p.author);
      may_be = ways_.maybe_backfilled(entity, p);
      is = own.backfill > 0 && own.state == Pair::State::yes && p.last_round < own.since_round && !p.direct_to(entity) &&
           may_enter_[p.number].size() == 1;
    }
    least += !may_be;
    most += !is;
  }
  if (unread < least || unread > most)
    throw Violation("unread counts what stands above the marker",
                    std::string(wire::timeline_name(timeline)) + " of " + model_.name(entity) + ": " + std::to_string(unread) +
                        ", but there are " + std::to_string(least) + (most > least ? " to " + std::to_string(most) : "") +
                        (above.empty() ? "" : ", the newest " + model_.describe(*above.front().publish)));
}

}  // namespace canopy::sim
