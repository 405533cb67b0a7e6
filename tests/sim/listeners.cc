#include "sim/listeners.h"

#include "base/hash.h"
#include "wire/value.h"

namespace canopy::sim {

// ---- tails

Tails::Tails(const Scenario& scenario, Schedule& schedule, Workload& workload, Clients& clients, const Model& model,
             const Checker& checker, uint64_t seed)
    : schedule_(schedule), workload_(workload), clients_(clients), model_(model), checker_(checker), random_(seed) {
  for (uint32_t i = 0; i < scenario.tails; ++i) tails_[static_cast<Entity>(random_.below(scenario.entities))];
}

void Tails::start() {
  running_ = true;
  for (const auto& [entity, tail] : tails_) poll(entity);
}

void Tails::poll(Entity entity) {
  Tail& tail = tails_.at(entity);
  if (!running_ || tail.asking) return;
  tail.asking = true;
  wire::Read request;
  request.entities.push_back(model_.name(entity));
  request.after = tail.cursor;
  request.limit = 1 + static_cast<uint32_t>(random_.below(30));
  request.wait_ms = static_cast<uint32_t>(random_.below(2'500));
  clients_.ask(workload_.any_machine(), request, [this, entity, sent = schedule_.now()](const Outcome& outcome) {
    tails_.at(entity).asking = false;
    const auto* result = std::get_if<wire::ReadResult>(&outcome.reply);
    const auto* page = result ? std::get_if<wire::TimelinePage>(&result->pages.at(0)) : nullptr;
    if (page) take(entity, *page, sent);
    schedule_.after(page ? Duration{1'000} : Duration::of_ms(200), [this, entity] { poll(entity); });
  });
}

void Tails::take(Entity entity, const wire::TimelinePage& page, Instant sent) {
  Tail& tail = tails_.at(entity);
  tail.truncated |= page.truncated;
  for (const Seen& seen : checker_.check_page(wire::Timeline::home, entity, page, true, sent)) {
    if (seen.position <= tail.cursor) throw Violation("a page keeps to its cursor", "tail of " + model_.name(entity));
    tail.cursor = seen.position;
    // When the way is lost that brought it first, it stands where the next one put it.
    if (!tail.seen.insert(seen.id).second && !checker_.several_ways(entity, *seen.publish))
      throw Violation("nothing is doubled", "tail of " + model_.name(entity) + " saw twice " + model_.describe(*seen.publish));
  }
}

void Tails::check(Entity entity, const std::vector<Seen>& home) const {
  const Tail& tail = tails_.at(entity);
  if (tail.truncated) return;
  for (const Seen& seen : home)
    if (!tail.seen.contains(seen.id) && !checker_.maybe_backfilled(entity, *seen.publish))
      throw Violation("a long poll is a complete tail", "that of " + model_.name(entity) + " missed " + model_.describe(*seen.publish));
}

// ---- live feeds

Feeds::Feeds(const Scenario& scenario, Schedule& schedule, Trace& trace, const Model& model,
             const Checker& checker, uint64_t seed)
    : scenario_(scenario), schedule_(schedule), trace_(trace), model_(model), checker_(checker) {
  Random random(seed);
  for (uint32_t i = 0; i < scenario.feeds; ++i) {
    Feed feed;
    feed.timeline = random.chance(70) ? wire::Timeline::home : wire::Timeline::sent;
    feed.entity = static_cast<Entity>(random.below(scenario.entities));
    feeds_[wire::feed_topic(feed.timeline, model_.name(feed.entity))] = feed;
  }
  if (!scenario.features.lists || scenario.exact_reads) return;
  Random graph(Random(seed ^ 0x6a4f).next());
  for (uint32_t i = 0; i < 4; ++i) {
    Feed feed;
    const uint64_t kind = graph.below(3);
    feed.timeline = kind == 0 ? wire::Timeline::mentions : kind == 1 ? wire::Timeline::replies : wire::Timeline::topic;
    feed.entity = static_cast<Entity>(kind == 2 ? scenario.entities + graph.below(scenario.topics) : graph.below(4));
    feeds_[wire::feed_topic(feed.timeline, model_.name(feed.entity))] = feed;
  }
}

void Feeds::subscribe(Machine& machine) {
  for (auto& [topic, feed] : feeds_) {
    if (feed.machine != SIZE_MAX && feed.machine != machine.index()) continue;
    if (feed.machine == SIZE_MAX && !machine.find(bucket_of(model_.name(feed.entity), scenario_.settings.bucket_count))) continue;
    feed.machine = machine.index();
    feed.based = false;
    machine.on_feed_subscription(topic, true);
  }
}

void Feeds::on_ended(const Machine& machine) {
  for (auto& [topic, feed] : feeds_)
    if (feed.machine == machine.index()) feed.based = false;
}

Feeds::Head Feeds::decode(const wire::FeedFrames& frames) const {
  Head head;
  wire::Document document;
  const auto parsed = wire::parse_msgpack("head", frames.head, wire::ParseLimits{}, document);
  if (!parsed || !document.root().is(wire::Kind::map)) throw Violation("a live entry can be read", frames.topic);
  const wire::Value root = document.root();
  for (size_t i = 0; i < root.size(); ++i) {
    wire::Value key = root.first();
    for (size_t k = 0; k < 2 * i; ++k) key = key.next();
    const wire::Value value = key.next();
    if (key.string() == "position") head.position = Position(value.number());
    if (key.string() == "prev") head.prev = Position(value.number());
    if (key.string() == "retracted") head.retracted = MessageId(value.number());
    if (key.string() == "id") head.id = MessageId(value.number());
    if (key.string() == "beat") head.beat = value.boolean();
  }
  return head;
}

void Feeds::on_feed(const wire::FeedFrames& frames) {
  trace_.add(schedule_.now(), "feed", hash64(frames.topic), hash64(frames.head));
  const auto at = feeds_.find(frames.topic);
  if (at == feeds_.end()) throw Violation("only what is subscribed comes", frames.topic);
  Feed& feed = at->second;
  const Head head = decode(frames);
  if (!head.retracted.zero()) return on_retraction(feed, head.retracted);
  if (!head.beat) return on_entry(feed, head, frames.body);
  ++beats_;
  if (feed.based && head.position > feed.last && scenario_.keeps_tailed_homes() && !may_miss(feed))
    throw Violation("a live feed shows what it lost", "that of " + model_.name(feed.entity) + " lost its newest before a beat");
  feed.last_at = schedule_.now();
  if (!feed.based || head.position > feed.last) feed.last = head.position;
  feed.based = true;
}

// An entry has come in at an old position, or stands at another one: neither is announced, both show by `prev`. Where the
// horizon takes the first way of one that came by several, it stands at the next.
bool Feeds::may_miss(const Feed& feed) const {
  return feed.timeline == wire::Timeline::home && scenario_.features.any() &&
         (scenario_.trims_deliveries() || model_.moved_at(feed.entity) >= feed.last_at);
}

void Feeds::on_retraction(Feed& feed, MessageId id) {
  ++retractions_;
  const std::string where = "feed of " + model_.name(feed.entity) + ": ";
  if (!model_.may_be_gone(id)) throw Violation("only what is retracted is said to be", where + std::to_string(id.packed()));
  feed.retracted.insert(id);
}

void Feeds::on_entry(Feed& feed, const Head& head, const std::string& body) {
  ++entries_;
  const std::string where = "feed of " + model_.name(feed.entity) + ": ";
  const Publish& publish = model_.by_body(body);
  if (model_.id_sure(publish) && publish.id != head.id) throw Violation("a message keeps its id", where + body);
  // It may come again by another way when the one that brought it was lost meanwhile.
  const auto [first, fresh] = feed.seen.emplace(head.id, schedule_.now());
  const bool way_lost = model_.moved_at(feed.entity) >= first->second || scenario_.trims_deliveries();
  const bool again = feed.timeline == wire::Timeline::home && checker_.several_ways(feed.entity, publish) && way_lost;
  if (!fresh && !again) throw Violation("nothing is doubled", where + body);
  if (feed.based && head.position <= feed.last) throw Violation("a live feed is in order", where + body);
  if (head.prev >= head.position) throw Violation("a live feed is in order", where + "prev of " + body);
  if (feed.based && head.prev > feed.last && scenario_.keeps_tailed_homes() && !may_miss(feed))
    throw Violation("a live feed shows every entry", where + "something is missing between " + std::to_string(feed.last.packed()) + " and " +
                    std::to_string(head.prev.packed()) + " before " + model_.describe(publish));
  if (feed.retracted.contains(head.id)) throw Violation("a retracted message is nowhere", where + body);
  feed.last = head.position;
  feed.last_at = schedule_.now();
  feed.based = true;
  if (feed.timeline != wire::Timeline::home) {
    if (!checker_.belongs(feed.timeline, feed.entity, publish))
      throw Violation("a list has what is meant for it", where + body);
    return;
  }
  // What was on its way when its entity was deleted.
  const auto& deletions = model_.deletions(feed.entity);
  if (!deletions.empty() && deletions.back().settled == Instant::never()) return;
  if (const std::string rule = checker_.home_forbids(feed.entity, publish, schedule_.now()); !rule.empty())
    throw Violation(rule, where + body);
}

}  // namespace canopy::sim
