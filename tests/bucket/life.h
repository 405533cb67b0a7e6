// The random life of a small fabric: what its entities do, and what becomes of what is on its way.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "desk.h"

namespace canopy::bucket {

inline map::FabricSettings drawn(Random& random) {
  map::FabricSettings settings = Desk::small();
  settings.bucket_count = random.chance(50) ? 2 : 8;
  settings.capacity = random.chance(50) ? 3 : 50;
  settings.stream_retention = random.chance(50) ? 10'000 : 1 + random.below(3) * random.below(8);
  if (random.chance(30)) settings.deliveries_max = 64 * 5;  // so many records, and the newest of each leaf
  settings.max_hops = static_cast<uint32_t>(1 + random.below(5));
  if (random.chance(50)) settings.mentions = {2, 0};
  if (random.chance(30)) settings.sent = {3, 0};
  return settings;
}

class Life {
 public:
  // `lazy`: leaves become lazy and are it no longer, by chance.
  explicit Life(uint64_t seed, leaf::ModeOptions modes = {}, bool lazy = false)
      : random_(seed), turns_(seed ^ 0x1a2e), deletions_(random_.chance(50)), lazy_(lazy), desk(drawn(random_), modes) {}

  void act() {
    switch (random_.below(20)) {
      case 0: case 1: case 2: case 3: case 4: case 5: return publish();
      case 6: case 7: case 8: return ask(wire::Follow{{{name(), name_or_alias()}}, false, 0, backfill()});
      case 9: return ask(wire::Unfollow{{{name(), name_or_alias()}}, false});
      case 10: case 11: case 12: return retract();
      case 13: case 14: {
        const std::string from = name(), to = name();
        if (from != to) ask(wire::Forwarding{from, to, random_.chance(30)});
        return;
      }
      case 15: return ask(wire::Mark{name(), wire::Timeline::home, Position(1, random_.below(100)), random_.chance(50) ? "" : "c"});
      case 16: {
        const auto timeline = static_cast<wire::Timeline>(2 + random_.below(4));  // not home
        return ask(wire::Retain{name(), timeline, random_.below(4), random_.chance(20) ? std::optional<uint64_t>(5) : std::nullopt});
      }
      case 17: return ask(wire::Alias{name(), alias()});
      case 18:
        if (deletions_ && random_.chance(25)) ask(wire::Delete{name()});
        return;
      default: desk.bodies(name());  // in memory from now on
    }
  }
  // What is on its way arrives, or not, or twice, in any order; the process dies; time passes.
  void fate() {
    if (random_.chance(50)) desk.run();
    if (random_.chance(20)) desk.lose_pushes();
    if (random_.chance(10)) desk.packets.clear();
    if (random_.chance(20)) {
      shuffle(desk.packets);
      shuffle(desk.pushes);
      if (!desk.packets.empty()) desk.packets.push_back(desk.packets.front());
    }
    if (random_.chance(3)) desk.open();
    if (lazy_ && turns_.chance(40)) desk.turn(names_[turns_.below(names_.size())], names_[turns_.below(names_.size())], turns_.chance(60) ? leaf::Mode::lazy : leaf::Mode::append);
    if (random_.chance(10)) desk.pass(Duration::of_ms(static_cast<int64_t>(random_.below(1000))));
  }
  // When all is quiet.
  void look() {
    desk.pass(Duration::of_s(20));
    const bool thorough = !deletions_;  // who was deleted passes no retractions on
    for (const std::string& name : names_) {
      for (const auto timeline : {wire::Timeline::home, wire::Timeline::sent, wire::Timeline::mentions, wire::Timeline::replies, wire::Timeline::topic}) {
        CAPTURE(name);
        wire::Read read;
        read.entities = {name};
        read.timeline = timeline;
        read.limit = 1'000;
        std::set<MessageId> seen;
        for (const auto& entry : desk.page(read).entries) {
          const MessageId id = wire::decode_message(*entry.message)->id;
          CHECK(seen.insert(id).second);
          if (thorough) CHECK_FALSE(retracted_.contains(id));
        }
      }
    }
  }
  void end() {
    for (const std::string& name : names_) desk.ask(name, wire::Delete{name});
    for (int i = 0; i < 40 && desk.rows(store::Table::ending) > 0; ++i) desk.pass(Duration::of_ms(500));
    desk.pass(Duration::of_s(20));
    for (const std::string& name : aliases_) desk.ask(name, wire::Delete{name});  // what was used before it became none
    desk.pass(Duration::of_s(20));
  }

 private:
  const std::string& name() { return names_[random_.below(names_.size())]; }
  const std::string& alias() { return aliases_[random_.below(aliases_.size())]; }
  const std::string& name_or_alias() { return random_.chance(15) ? alias() : name(); }
  uint32_t backfill() { return random_.chance(50) ? static_cast<uint32_t>(random_.below(4)) : 0; }
  std::vector<std::string> some() {
    std::set<std::string> all;
    for (uint64_t n = 1 + random_.below(2); n > 0; --n) all.insert(name_or_alias());
    return {all.begin(), all.end()};
  }
  void publish() {
    wire::Message m{name(), "", std::to_string(++said_), ""};
    if (random_.chance(30)) m.topics.push_back(random_.chance(50) ? "#x" : "#y");
    if (random_.chance(30)) m.mentions = some();
    if (random_.chance(20)) m.to = some();
    if (random_.chance(30) && !said_by_.empty()) m.reply_to = said_by_[random_.below(said_by_.size())].second;
    const auto result = desk.try_publish(m);
    if (const auto* published = std::get_if<wire::Published>(&result)) said_by_.emplace_back(m.author, published->id);
  }
  void retract() {
    if (said_by_.empty()) return;
    const size_t newest = random_.chance(50) ? std::min<size_t>(said_by_.size(), 3) : said_by_.size();  // some are still on their way
    const auto& [author, id] = said_by_[said_by_.size() - 1 - random_.below(newest)];
    const auto reply = desk.ask(author, wire::Retract{author, id});
    if (reply && std::holds_alternative<wire::RetractResult>(*reply)) retracted_.insert(id);
  }
  template <class Request>
  void ask(Request request) {
    std::string whose;
    if constexpr (requires { request.pairs; }) whose = request.pairs[0].follower;
    else if constexpr (requires { request.to; }) whose = request.to;
    else whose = request.entity;
    desk.ask(whose, std::move(request));
  }
  template <class Queue>
  void shuffle(Queue& queue) {
    for (size_t i = queue.size(); i > 1; --i) std::swap(queue[i - 1], queue[random_.below(i)]);
  }

  Random random_, turns_;
  bool deletions_, lazy_;
  const std::vector<std::string> names_{"alice", "bob", "carol", "dave", "team", "#x", "#y"}, aliases_{"al", "robert", "#ex"};
  std::vector<std::pair<std::string, MessageId>> said_by_;
  std::set<MessageId> retracted_;
  int said_ = 0;

 public:
  Desk desk;
};

}  // namespace canopy::bucket
