// One node with all buckets of a small fabric, stepped by hand.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bucket/bucket.h"
#include "store/keys.h"
#include "store/mem_backend.h"
#include "store/store.h"
#include "wire/message.h"

namespace canopy::bucket {

// Packets and pushes wait until run().
class Desk {
 public:
  explicit Desk(map::FabricSettings settings = small(), leaf::ModeOptions modes = {}) : modes_(modes) {
    auto map = map::plan_fabric(std::string(16, 'f'), settings, {{"n1", "", "", "", "", 1000}});
    map_ = std::make_shared<const map::BucketMap>(std::move(map));
    open();
  }
  static map::FabricSettings small() {
    map::FabricSettings settings;
    settings.bucket_count = 8;
    settings.fanout = 2;
    settings.capacity = 3;
    return settings;
  }
  void reopen_with(leaf::ModeOptions modes) {
    modes_ = modes;
    open();
  }
  uint64_t asked() const { return asks_; }  // the number of the last request
  // As after a crash: what was committed, and nothing else.
  void open() {
    bucket::BucketOptions options;
    options.modes = modes_;
    for (const auto& b : buckets_) before_.add(b->counters());
    buckets_.clear();
    packets.clear();
    store_.reset();
    backend_.crash();
    store_ = std::move(store::Store::open(backend_, {}).value());
    for (uint16_t b = 0; b < map_->settings.bucket_count; ++b)
      buckets_.push_back(std::make_unique<Bucket>(BucketId(b), map_, NodeIndex(0), options, *store_, now));
  }

  std::vector<bucket::Out> step(BucketId id, const bucket::Event& event) {
    std::vector<bucket::Out> outs;
    Bucket& b = *buckets_.at(id.value());
    const auto once = [&](const bucket::Event& e, size_t part) {
      bucket::Effects effects;
      b.step(e, part, now, *store_, effects);
      if (!effects.writes.empty()) store_->apply(id, effects.upto, effects.writes);
      for (auto& out : effects.held) outs.push_back(std::move(out));
      return effects.taken;
    };
    for (size_t part = 0; part < Bucket::parts(event); ++part) taken = once(event, part);
    while (b.next_deadline() <= now.instant) once(bucket::Tick{}, 0);
    REQUIRE(store_->commit());
    b.check(*store_);
    return outs;
  }
  // Steps and sorts what came out: answers are returned, packets and pushes wait.
  std::optional<wire::Reply> feed(BucketId id, const bucket::Event& event) {
    std::optional<wire::Reply> reply;
    for (auto& out : step(id, event)) {
      if (auto* a = std::get_if<bucket::Answer>(&out)) {
        reply = std::move(a->reply);
        if (a->ask == awaited_) awaited_reply_ = reply;
      }
      if (auto* d = std::get_if<bucket::Depart>(&out)) packets.push_back(d->packet);
      if (auto* p = std::get_if<bucket::Push>(&out)) pushes.push_back(p->letter);
      if (auto* f = std::get_if<bucket::Feed>(&out)) feeds.push_back(*f);
    }
    if (reply) late_ = reply;
    return reply;
  }
  std::optional<wire::Reply> ask(std::string_view entity, wire::Request request) {
    const BucketId id = map_->bucket_of(entity);
    return feed(id, bucket::Ask{++asks_, id, std::move(request), now.instant + Duration::of_s(10)});
  }
  // Delivers every packet and push until all is quiet; returns the last answer that came out.
  std::optional<wire::Reply> run() {
    late_.reset();
    while (!packets.empty() || !pushes.empty()) {
      if (!packets.empty()) {
        const auto packet = packets.front();
        packets.pop_front();
        feed(wire::packet_to(packet), bucket::Arrive{packet});
      } else {
        const auto letter = pushes.front();
        pushes.pop_front();
        push(letter, letter.route, not_taken_ = {});
        feed(letter.root, bucket::Pushed{letter.root, letter.reflector, letter.item.no, not_taken_});
      }
    }
    return std::move(late_);
  }
  void push(const wire::StreamLetter& letter, const wire::Route& route, std::vector<BucketId>&) {
    for (const BucketId leaf : route.leaves) {
      if (plain && push_plain(leaf, letter)) continue;
      feed(leaf, bucket::StreamIn{letter.root, letter.reflector, letter.item});
      if (!taken) not_taken_.push_back(leaf);
    }
    for (const auto& child : route.children) push(letter, child, not_taken_);
  }

  // Returns false when it is not the plain case; then nothing has changed.
  bool deliver_plain(BucketId leaf, std::string_view reflector, const wire::StreamItem& item, store::DeliveryBatch::To& to) {
    Bucket& b = *buckets_.at(leaf.value());
    const bucket::LeafHandle handle = b.leaf_handle(leaf::ReflectorName(reflector));
    bucket::TimelineWrite write;
    if (!handle.leaf || !b.deliver_plain(*handle.leaf, item, *store_, to, write)) return false;
    if (write.n > 0) b.write(write);
    return true;
  }

  // As a shard does: without a step, where that is possible.
  bool push_plain(BucketId leaf, const wire::StreamLetter& letter) {
    Bucket& b = *buckets_.at(leaf.value());
    const Instant due = b.next_deadline();
    store::DeliveryBatch batch{letter.item.no, letter.item.ref, letter.item.message, false, {{}}};
    if (!deliver_plain(leaf, letter.reflector, letter.item, batch.to[0])) return false;
    CHECK(b.next_deadline() == due);
    store_->deliver(batch);
    REQUIRE(store_->commit());
    b.check(*store_);
    return true;
  }

  // The leaf of that reflector in the bucket of `follower` is to be in that mode.
  void turn(std::string_view follower, std::string reflector, leaf::Mode mode) {
    const BucketId id = map_->bucket_of(follower);
    feed(id, bucket::Turn{id, std::move(reflector), mode});
  }
  // What is on its way down the trees does not arrive, and the roots hear so.
  void lose_pushes() {
    for (const auto& letter : std::exchange(pushes, {})) {
      std::vector<BucketId> leaves;
      const auto walk = [&](const auto& self, const wire::Route& route) -> void {
        leaves.insert(leaves.end(), route.leaves.begin(), route.leaves.end());
        for (const auto& child : route.children) self(self, child);
      };
      walk(walk, letter.route);
      feed(letter.root, Pushed{letter.root, letter.reflector, letter.item.no, leaves});
    }
  }

  std::optional<wire::Reply> follow(std::string f, std::string a) {
    auto reply = ask(f, wire::Follow{{{f, a}}, false, 1000});
    if (auto later = run()) reply = later;
    return reply;
  }
  // A message that was published, or why not. What it sends waits for run().
  std::variant<wire::Published, Error> try_publish(wire::Message message) {
    const std::string author = message.author;
    const auto reply = ask(author, wire::Publish{{std::move(message)}, false});
    REQUIRE(reply);
    if (const auto* error = std::get_if<Error>(&*reply)) return *error;
    return std::get<wire::PublishResult>(*reply).results.at(0);
  }
  MessageId publish(wire::Message message) {
    const auto result = try_publish(std::move(message));
    if (const auto* error = std::get_if<Error>(&result)) FAIL(error->message);
    return std::get<wire::Published>(result).id;
  }
  MessageId publish(std::string author, std::string body, std::string key = "") {
    return publish(wire::Message{std::move(author), "", std::move(body), std::move(key)});
  }
  // Asks and lets everything happen that follows from it.
  wire::Reply all_of(std::string_view entity, wire::Request request) {
    auto reply = ask(entity, std::move(request));
    if (auto later = run()) reply = later;
    REQUIRE(reply);
    return std::move(*reply);
  }
  template <class Result>
  Result done(std::string_view entity, wire::Request request) {
    const wire::Reply reply = all_of(entity, std::move(request));
    if (const auto* error = std::get_if<Error>(&reply)) FAIL(error->message);
    return std::get<Result>(reply);
  }
  Code refused(std::string_view entity, wire::Request request) {
    const wire::Reply reply = all_of(entity, std::move(request));
    REQUIRE(std::holds_alternative<Error>(reply));
    return std::get<Error>(reply).code;
  }
  bool retract(std::string author, MessageId id) {
    return std::holds_alternative<wire::RetractResult>(all_of(author, wire::Retract{author, id}));
  }
  // Time passes in small steps, with whatever is due.
  void pass(Duration time) {
    const Instant end = now.instant + time;
    while (now.instant < end) {
      const Duration step = std::min(Duration::of_ms(50), end - now.instant);
      now.instant = now.instant + step;
      now.wall_ms += static_cast<uint64_t>(step.ms());
      for (auto& b : buckets_)
        while (b->next_deadline() <= now.instant) feed(BucketId(static_cast<uint16_t>(&b - buckets_.data())), bucket::Tick{});
      run();
    }
  }
  std::string bodies(std::string entity, wire::Timeline timeline = wire::Timeline::home) {
    wire::Read read;
    read.entities = {entity};
    read.timeline = timeline;
    std::string all;
    for (const auto& e : page(read).entries) all += body_of(e) + " ";
    return all;
  }
  static std::string body_of(const wire::Entry& entry) { return std::string(wire::decode_message(*entry.message)->body); }
  // Rows of a table in all buckets; pointers at a body.
  size_t rows(store::Table table) const {
    size_t n = 0;
    if (table == store::Table::delivery) return deliveries([](const store::DeliveryRow&) { return true; });
    for (uint16_t b = 0; b < map_->settings.bucket_count; ++b) {
      const std::string prefix = store::KeyBuilder(BucketId(b), table);
      store_->scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view) { return ++n > 0; });
    }
    return n;
  }
  size_t live_deliveries() const {
    return deliveries([](const store::DeliveryRow& row) { return !row.dead; });
  }
  template <class Which>
  size_t deliveries(const Which& which) const {
    size_t n = 0;
    for (uint16_t b = 0; b < map_->settings.bucket_count; ++b)
      store_->deliveries(BucketId(b), Position(), Position(UINT64_MAX), [&](Position, const store::DeliveryRow& row) { return n += which(row), true; });
    return n;
  }
  uint64_t references(BodyRef ref) const { return store_->body_references(ref); }
  uint64_t bodies_kept() const { return store_->status().bodies; }
  BodyRef ref_of(MessageId id) {
    const auto reply = feed(id.bucket(), bucket::Ask{++asks_, id.bucket(), wire::Get{id}, now.instant + Duration::of_s(10)});
    REQUIRE(reply);
    return wire::body_ref(id, *std::get<wire::GetResult>(*reply).entry.message);
  }
  // A name of that bucket, another one for each `which`.
  std::string name_in(BucketId id, int which, std::string prefix = "n") const {
    for (int i = 0; true; ++i) {
      std::string name = prefix + std::to_string(i);
      if (map_->bucket_of(name) == id && which-- == 0) return name;
    }
  }
  // A name of another bucket than all of these.
  std::string name_away(const std::vector<std::string>& from, std::string prefix = "n") const {
    for (int i = 0; true; ++i) {
      std::string name = prefix + std::to_string(i);
      if (std::none_of(from.begin(), from.end(), [&](const auto& other) { return map_->bucket_of(other) == map_->bucket_of(name); })) return name;
    }
  }
  BucketId bucket_id(std::string_view name) const { return map_->bucket_of(name); }
  wire::TimelinePage page(wire::Read read) {
    const std::string entity = read.entities.at(0);
    auto reply = ask(entity, std::move(read));
    awaited_ = asks_;
    if (!reply) run(), reply = std::exchange(awaited_reply_, {});  // it waits until lazy leaves have fetched
    if (!reply) pass(Duration::of_ms(1'100)), reply = std::exchange(awaited_reply_, {});
    awaited_ = 0;
    REQUIRE(reply);
    return std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*reply).pages.at(0));
  }

  Now now{{1'000'000}, 1'700'000'000'000};
  std::deque<wire::Packet> packets;
  std::deque<wire::StreamLetter> pushes;
  std::vector<bucket::Feed> feeds;
  bool taken = true;
  bool plain = false;   // deliveries take no step where they need none
  // Every row of every bucket, and where it stands.
  std::vector<std::pair<std::string, std::string>> all_rows() const {
    std::vector<std::pair<std::string, std::string>> all;
    for (uint16_t i = 0; i < map_->settings.bucket_count; ++i) {
      const BucketId b(i);
      std::string prefix;
      put_be16(prefix, i);
      store_->scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view value) {
        const char table = key[2];  // what the store keeps of deliveries in rows is its own: below
        if (table != static_cast<char>(store::Table::delivery) && table != static_cast<char>(store::Table::applied)) all.emplace_back(key, value);
        if (table == static_cast<char>(store::Table::leaf)) {
          const auto tail = store_->leaf_tail(b, LeafNo(Cursor(key.substr(3)).be32()));
          all.emplace_back("tail of " + std::string(key), store::encode_tail(tail));
        }
        return true;
      });
      store_->deliveries(b, Position(), Position(UINT64_MAX), [&](Position position, const store::DeliveryRow& row) {
        all.emplace_back("delivery " + std::to_string(i) + " " + std::to_string(position.packed()),
                         std::to_string(row.leaf.value()) + " " + std::to_string(row.no.packed()) + " " + std::to_string(row.ref.id.packed()) + " " +
                         std::to_string(row.before.packed()) + " " + std::to_string(row.shared) + std::to_string(row.dead));
        return true;
      });
      all.emplace_back("position " + std::to_string(i), std::to_string(store_->position(b).packed()));
    }
    return all;
  }
  const store::Store& store() const { return *store_; }
  map::BucketMap const& map() const { return *map_; }
  Bucket& bucket_of(std::string_view entity) { return *buckets_.at(map_->bucket_of(entity).value()); }
  Bucket::Counters counters() const {
    Bucket::Counters sum = before_;
    for (const auto& b : buckets_) sum.add(b->counters());
    return sum;
  }

 private:
  leaf::ModeOptions modes_;
  Bucket::Counters before_;          // of those that died
  bucket::MapRef map_;
  store::MemBackend backend_;
  std::unique_ptr<store::Store> store_;
  std::vector<std::unique_ptr<Bucket>> buckets_;
  std::vector<BucketId> not_taken_;
  std::optional<wire::Reply> late_;  // the last answer since run() began
  uint64_t awaited_ = 0;             // a request, and its answer
  std::optional<wire::Reply> awaited_reply_;
  uint64_t asks_ = 0;
};

}  // namespace canopy::bucket
