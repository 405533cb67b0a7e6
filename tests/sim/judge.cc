// Of the simulation: what is asked and looked at when everything has drained.
#include <algorithm>
#include <optional>
#include <set>

#include "base/assert.h"
#include "base/hash.h"
#include "sim/audit.h"
#include "sim/sim.h"
#include "store/keys.h"

namespace canopy::sim {

// ---- asking in calm weather

wire::Reply Simulation::ask(const wire::Request& request, const std::vector<Code>& refusals) {
  for (int tries = 0; tries < 5; ++tries) {
    std::optional<Outcome> outcome;
    clients_.ask(any(), request, [&](const Outcome& o) { outcome = o; }, refusals);
    while (!outcome) ASSERT(schedule_.step());
    if (outcome->ended == Ended::done) return outcome->reply;
    const auto& error = std::get<Error>(outcome->reply);
    if (error.code == Code::not_found || std::find(refusals.begin(), refusals.end(), error.code) != refusals.end()) return error;
    schedule_.run_until(schedule_.now() + Duration::of_ms(500));
  }
  throw Violation("a healed fabric answers", std::string(wire::verb_of(request)));
}

wire::TimelinePage Simulation::calm_page(const wire::Read& request) {
  for (int tries = 0; tries < 20; ++tries) {
    const wire::Reply reply = ask(request);
    const auto& page = std::get<wire::TimelinePage>(std::get<wire::ReadResult>(reply).pages.at(0));
    if (page.incomplete.empty()) return page;
    schedule_.run_until(schedule_.now() + Duration::of_ms(500));
  }
  throw Violation("in a healed fabric every author can be reached", request.entities[0]);
}

std::vector<Seen> Simulation::read_all(wire::Timeline timeline, Entity entity, bool& truncated, const std::string& alias) {
  std::vector<Seen> all;
  wire::Read request;
  request.entities.push_back(alias.empty() ? model_.name(entity) : alias);
  request.timeline = timeline;
  while (true) {
    request.limit = random_.chance(50) ? 1'000 : 1 + static_cast<uint32_t>(random_.below(20));
    const Instant sent = schedule_.now();
    const wire::TimelinePage page = calm_page(request);
    const auto seen = checker_.check_page(timeline, entity, page, false, sent);
    all.insert(all.end(), seen.begin(), seen.end());
    truncated = page.truncated;
    if (!page.next) return all;
    request.before = *page.next;
  }
}

std::vector<std::string> Simulation::names_all(Entity entity, bool followers, uint64_t& count) {
  std::vector<std::string> names;
  uint64_t after = 0;
  while (true) {
    const uint32_t limit = 1 + static_cast<uint32_t>(random_.below(40));
    const wire::Reply reply = followers ? ask(wire::Followers{model_.name(entity), limit, after})
                                        : ask(wire::Following{model_.name(entity), limit, after});
    const auto& page = std::get<wire::NamesResult>(reply);
    names.insert(names.end(), page.names.begin(), page.names.end());
    count = page.count;
    if (!page.next) return names;
    after = *page.next;
  }
}

// ---- the judgement

void Simulation::judge() {
  trace_.add(schedule_.now(), "judgement", model_.round());
  judge_leaves();
  let_lazy_leaves_fetch();
  checker_.begin_judgement();
  for (Entity entity = 0; entity < model_.entities(); ++entity) {
    bool truncated = false;
    checker_.check_sent(entity, read_all(wire::Timeline::sent, entity, truncated), schedule_.now());
  }
  checker_.found_all_sent();
  for (Entity entity = 0; entity < model_.entities(); ++entity) judge_entity(entity);
  if (scenario_.features.any()) judge_messages();
  if (scenario_.features.mark) judge_markers();
  for (const AliasName& alias : model_.aliases())
    if (alias.granted) judge_alias(alias);
  judge_stores(false);
}

// What a read has lazy leaves fetch may move the horizon, and what is below it goes in slices afterwards: a message that
// came by two ways then stands where the second one put it, which may be above the pages that the reader has.
void Simulation::let_lazy_leaves_fetch() {
  if (!scenario_.lazy() || !scenario_.trims_deliveries()) return;
  wire::Read request;
  request.limit = 1;
  for (Entity entity = 0; entity < model_.entities(); ++entity) {
    request.entities = {model_.name(entity)};
    calm_page(request);
  }
  schedule_.run_until(schedule_.now() + Duration::of_s(2));
}

// Before anything is read: what is not lazy has all that its root gave out.
void Simulation::judge_leaves() const {
  using store::KeyBuilder;
  using store::Table;
  const auto store_of = [&](BucketId bucket) {
    const store::Store* store = nullptr;
    for (const auto& machine : machines_)
      if (!store) store = machine->store_of(bucket);
    ASSERT(store);
    return store;
  };
  for (uint32_t i = 0; i < scenario_.settings.bucket_count; ++i) {
    const BucketId bucket(static_cast<uint16_t>(i));
    const store::Store& store = *store_of(bucket);
    const std::string leaves = KeyBuilder(bucket, Table::leaf);
    store.scan(leaves, store::after_prefix(leaves), [&](std::string_view key, std::string_view value) {
      const LeafNo leaf(Cursor(key.substr(leaves.size())).be32());
      Cursor in(value);
      in.u8();
      const bool welcomed = in.u8() != 0;
      in.be64();
      const std::string name(in.string());
      const auto lazy = store.get(KeyBuilder(bucket, Table::lazy).add(leaf));
      if (!welcomed || (lazy && (*lazy)[1] == 0)) return true;
      const BucketId root = bucket_of(name, scenario_.settings.bucket_count);
      const auto entity = store_of(root)->get(KeyBuilder(root, Table::entity_no).add(name));
      const auto record = entity ? store_of(root)->get(KeyBuilder(root, Table::root).add(EntityNo(Cursor(*entity).be32()))) : std::nullopt;
      if (!record) return true;
      Cursor last(*record);
      last.u8();
      if (store.leaf_tail(bucket, leaf).applied < StreamNo(last.be64()))
        throw Violation("what a leaf is owed has come when everything has drained", "bucket " + std::to_string(i) + " leaf of " + name);
      return true;
    });
  }
}

void Simulation::judge_entity(Entity entity) {
  bool truncated = false;
  const auto home = read_all(wire::Timeline::home, entity, truncated);
  checker_.check_home(entity, home, truncated);
  ++homes_checked_;
  entries_checked_ += home.size();
  if (tails_.has(entity)) {
    while (true) {
      wire::Read request;
      request.entities.push_back(model_.name(entity));
      request.after = tails_.cursor(entity);
      const Instant sent = schedule_.now();
      const wire::TimelinePage page = calm_page(request);
      tails_.take(entity, page, sent);
      if (page.entries.empty()) break;
    }
    tails_.check(entity, home);
  }
  if (scenario_.features.lists) judge_lists(entity);
  uint64_t count = 0;
  const auto following = names_all(entity, false, count);
  checker_.check_names("FOLLOWING equals what was acknowledged", following, count, entity, false);
  judge_tree(entity);
}

void Simulation::judge_lists(Entity entity) {
  for (const auto timeline : {wire::Timeline::mentions, wire::Timeline::topic, wire::Timeline::replies}) {
    bool truncated = false;
    const auto list = read_all(timeline, entity, truncated);
    checker_.check_list(timeline, entity, list, schedule_.now());
    ++lists_checked_;
    entries_checked_ += list.size();
    if (timeline == wire::Timeline::replies && scenario_.features.thread) judge_threads(entity, list);
  }
}

// Of some messages that were replied to.
void Simulation::judge_threads(Entity author, const std::vector<Seen>& replies) {
  for (const auto timeline : {wire::Timeline::sent, wire::Timeline::replies})
    if (model_.kept(author, timeline).least.age_s > 0) return;  // it goes on meanwhile
  std::set<size_t> parents;
  for (const Seen& seen : replies)
    if (model_.id_sure(model_.publish(seen.publish->parent)) && random_.chance(40)) parents.insert(seen.publish->parent);
  for (const size_t parent : parents) {
    wire::ThreadResult all;
    bool found = true;
    wire::Thread request;
    request.id = model_.publish(parent).id;
    while (true) {
      request.limit = 1 + static_cast<uint32_t>(random_.below(20));
      const wire::Reply reply = ask(request);
      const auto* page = std::get_if<wire::ThreadResult>(&reply);
      if (!page) {
        found = false;
        break;
      }
      all.message = page->message;
      all.parent = page->parent;
      all.replies.insert(all.replies.end(), page->replies.begin(), page->replies.end());
      if (!page->next) break;
      request.after = *page->next;
    }
    checker_.check_thread(model_.publish(parent), found ? &all : nullptr, replies);
    ++threads_checked_;
  }
}

// GET agrees with `sent`.
void Simulation::judge_messages() {
  for (const Publish& p : model_.publishes()) {
    if (!model_.id_sure(p) || !random_.chance(model_.gone(p) == Sure::no ? 5 : 40)) continue;
    if (model_.kept(p.author, wire::Timeline::sent).least.age_s > 0) continue;
    const Instant sent = schedule_.now();
    const wire::Reply reply = ask(wire::Get{p.id});
    const auto* got = std::get_if<wire::GetResult>(&reply);
    checker_.check_got(p, got ? &got->entry : nullptr, sent);
    if (checker_.in_sent(p) != (got != nullptr)) throw Violation("GET has what `sent` has", p.body);
  }
}

// What stands above a marker, and how many these are: where the markers are, and at a new place.
void Simulation::judge_markers() {
  for (const auto& [key, marker] : model_.markers()) {
    const auto& [entity, timeline, consumer] = key;
    if (model_.kept(entity, timeline).least.age_s > 0 && timeline != wire::Timeline::home) continue;
    if (marker.sure) judge_marker(key, marker.position);
    bool truncated = false;
    const auto list = read_all(timeline, entity, truncated);
    if (list.empty()) continue;
    const Position position = list[random_.below(list.size())].position;
    model_.begin_mark(key);
    const wire::Reply reply = ask(wire::Mark{model_.name(entity), timeline, position, consumer});
    model_.end_mark(key, Ended::done, position);
    std::vector<Seen> above;
    for (const Seen& seen : list)
      if (seen.position > position) above.push_back(seen);
    checker_.check_unread(timeline, entity, above, std::get<wire::MarkResult>(reply).unread);
    judge_marker(key, position);
  }
}

void Simulation::judge_marker(const Model::MarkerKey& key, Position position) {
  const auto& [entity, timeline, consumer] = key;
  bool truncated = false;
  std::vector<Seen> above;
  for (const Seen& seen : read_all(timeline, entity, truncated))
    if (seen.position > position) above.push_back(seen);
  wire::Read request;
  request.entities.push_back(model_.name(entity));
  request.timeline = timeline;
  request.limit = 1'000;
  request.consumer = consumer;
  const wire::TimelinePage page = calm_page(request);
  if (!page.unread) throw Violation("unread is told after a MARK", model_.name(entity));
  checker_.check_unread(timeline, entity, above, *page.unread);
  ++markers_checked_;
  if (consumer.empty()) return;
  const auto found = checker_.check_page(timeline, entity, page, true, schedule_.now());
  const bool same = std::equal(found.begin(), found.end(), above.rbegin(), above.rend(), [](const Seen& a, const Seen& b) {
    return a.id == b.id && a.position == b.position;
  });
  if (!same) throw Violation("a consumer goes on behind its marker", model_.name(entity) + " " + consumer);
}

// The alias reads as the entity.
void Simulation::judge_alias(const AliasName& alias) {
  using wire::Timeline;
  for (const auto timeline : {Timeline::home, Timeline::sent, Timeline::mentions, Timeline::replies, Timeline::topic}) {
    if (model_.kept(alias.entity, timeline).least.age_s > 0 && timeline != Timeline::home) continue;
    bool truncated = false;
    const auto first = read_all(timeline, alias.entity, truncated);
    const auto second = read_all(timeline, alias.entity, truncated, alias.name);
    const bool same = std::equal(first.begin(), first.end(), second.begin(), second.end(), [](const Seen& a, const Seen& b) {
      return a.id == b.id && a.position == b.position;
    });
    if (!same) throw Violation("an alias reads as its entity", std::string(wire::timeline_name(timeline)) + " of " + alias.name);
  }
  const wire::Reply reply = ask(wire::Lookup{alias.name});
  if (const auto& found = std::get<wire::LookupResult>(reply); found.entity != model_.name(alias.entity))
    throw Violation("LOOKUP tells an alias' entity", alias.name + ": " + found.entity);
}

void Simulation::judge_tree(Entity author) {
  uint64_t count = 0;
  const auto followers = names_all(author, true, count);
  checker_.check_names("FOLLOWERS equals what was acknowledged", followers, count, author, true);
  std::vector<BucketId> buckets;
  for (const std::string& name : followers) buckets.push_back(bucket_of(name, scenario_.settings.bucket_count));
  std::sort(buckets.begin(), buckets.end());
  buckets.erase(std::unique(buckets.begin(), buckets.end()), buckets.end());
  const wire::Reply reply = ask(wire::Tree{model_.name(author), 0, 0});
  const auto& tree = std::get<wire::TreeResult>(reply);
  checker_.check_tree(author, tree, count, buckets);
  trees_deep_ += tree.levels >= 3;
}

void Simulation::judge_nothing_left() {
  using wire::Timeline;
  for (Entity entity = 0; entity < model_.entities(); ++entity)
    for (const auto timeline : {Timeline::home, Timeline::sent, Timeline::mentions, Timeline::replies, Timeline::topic}) {
      wire::Read request;
      request.entities.push_back(model_.name(entity));
      request.timeline = timeline;
      const wire::Reply reply = ask(request);
      if (!std::get<wire::TimelinePage>(std::get<wire::ReadResult>(reply).pages.at(0)).entries.empty())
        throw Violation("nothing is left of an entity that was deleted", std::string(wire::timeline_name(timeline)) + " of " + model_.name(entity));
    }
  judge_stores(false);
  for (const auto& machine : machines_)
    for (uint32_t shard = 0; shard < scenario_.shards; ++shard)
      audit_nothing_left(machine->store(shard), scenario_.settings.bucket_count);
}

void Simulation::judge_stores(bool nobody_follows) const {
  for (const auto& machine : machines_)
    for (uint32_t shard = 0; shard < scenario_.shards; ++shard) {
      audit_bodies(machine->store(shard), scenario_.settings.bucket_count);
      audit_places(machine->store(shard), scenario_.settings.bucket_count);
      if (nobody_follows) audit_nobody_follows(machine->store(shard), scenario_.settings.bucket_count, scenario_.features.forward);
    }
}

}  // namespace canopy::sim
