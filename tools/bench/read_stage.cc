// Stage: reading. Once over all timelines; until the last messages are there; a sample, compared.
#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <thread>

#include "base/hash.h"
#include "packer.h"
#include "stages.h"
#include "stop.h"
#include "wire/message.h"

namespace canopy::bench {
namespace {

using namespace std::chrono_literals;
constexpr size_t entities_in_a_read = 1000;

class ReadOnce final : public Source {
 public:
  explicit ReadOnce(const Graph& graph) : graph_(graph) {}
  uint64_t done() const { return done_; }

  Next next(Frames& frames) override {
    if (at_ == graph_.users) return Next::end;
    const uint32_t count = std::min<uint32_t>(entities_in_a_read, graph_.users - at_);
    frames.verb = "READ";
    frames.about = {count};
    Packer args(frames.args);
    args.map(2);
    args.text("limit"), args.number(1);
    args.text("entities"), args.array(count);
    for (uint32_t i = 0; i < count; ++i) args.text(graph_.user(at_++));
    return Next::request;
  }

  std::optional<std::chrono::milliseconds> on_reply(Frames& frames, bool ok, std::string_view result) override {
    const auto reply = wire::decode_reply(frames.verb, ok ? "OK" : "ERR", result);
    if (!reply) throw Stop("READ: " + reply.error().message);
    if (const auto* error = std::get_if<Error>(&*reply)) {
      if (error->code != Code::busy) throw Stop(fmt::format("READ: {}: {}", code_name(error->code), error->message));
      return std::chrono::milliseconds(std::max(20u, error->retry_after_ms));
    }
    for (const auto& page : std::get<wire::ReadResult>(*reply).pages)
      if (std::holds_alternative<Error>(page)) return 20ms;
    done_ += frames.about.at(0);
    return std::nullopt;
  }

 private:
  const Graph& graph_;
  uint32_t at_ = 0;
  uint64_t done_ = 0;
};

// The numbers of the messages on a page; throws Stop for an entry that is none of this measurement.
std::vector<uint64_t> numbers_of(const wire::TimelinePage& page, const Graph& graph, const Messages& messages) {
  std::vector<uint64_t> numbers;
  for (const wire::Entry& entry : page.entries) {
    const auto message = wire::decode_message(*entry.message);
    if (!message) throw Stop("an entry that cannot be decoded: " + message.error().message);
    const auto number = number_in(message->body);
    if (!number || message->body != messages.body_of(*number) || message->author != graph.author(messages.author_of(*number)))
      throw Stop(fmt::format("an entry with another author or body than was published: {}", message->author));
    numbers.push_back(*number);
  }
  return numbers;
}

}  // namespace

double read_once(const Bench& bench, Fabric& fabric, const Graph& graph) {
  ReadOnce source(graph);
  Bar bar(bench, "timelines", graph.users);
  Driver driver(fabric.endpoints());
  const auto begin = Clock::now();
  driver.run(source, {.in_flight = 8, .tick = [&] { bar.show(source.done()); }});
  return seconds_since(begin);
}

std::vector<Awaited> last_deliveries(const Graph& graph, const Messages& messages, uint32_t bucket_count, size_t more, uint64_t seed) {
  std::vector<Awaited> all;
  if (messages.published == 0) return all;
  std::vector<bool> covered(bucket_count);
  size_t left = bucket_count;
  const uint64_t back = std::min<uint64_t>(messages.published, messages.authors);  // one message of each author
  for (uint64_t number = messages.published; left > 0 && number > messages.published - back;) {
    --number;
    const auto& followers = graph.followers[messages.author_of(number)];
    for (size_t i = followers.size(); i-- > 0 && left > 0;) {  // those who followed last first
      const uint16_t bucket = bucket_of(graph.user(followers[i]), bucket_count).value();
      if (covered[bucket]) continue;
      covered[bucket] = true, --left;
      all.push_back({number, followers[i]});
    }
  }
  Dice dice(seed);
  for (size_t i = 0; i < more; ++i) {
    const uint64_t number = messages.published - 1 - dice.next() % std::min<uint64_t>(back, 100);
    const auto& followers = graph.followers[messages.author_of(number)];
    if (!followers.empty()) all.push_back({number, followers[dice.below(static_cast<uint32_t>(followers.size()))]});
  }
  return all;
}

void wait_delivered(Fabric& fabric, const Graph& graph, const Messages& messages, std::vector<Awaited> awaited,
                    std::chrono::seconds patience) {
  size_t newest = 20;
  const auto begin = Clock::now();
  for (size_t round = 0; !awaited.empty(); ++round) {
    stop_if_interrupted();
    // Entries of a page take as much as they hold: fewer timelines at once when many are asked for.
    const auto asked = Clock::now();
    const size_t count = std::min<size_t>(awaited.size(), std::clamp<size_t>(20'000 / newest, 10, entities_in_a_read));
    wire::Read read;
    read.batch = true;
    read.limit = static_cast<uint32_t>(newest);
    for (size_t i = 0; i < count; ++i) read.entities.push_back(graph.user(awaited[i].user));
    const wire::Reply reply = fabric.dealer(round % fabric.options().nodes).call(read);
    if (const auto* error = std::get_if<Error>(&reply)) throw Stop(fmt::format("READ: {}: {}", code_name(error->code), error->message));
    const auto& pages = std::get<wire::ReadResult>(reply).pages;
    std::vector<Awaited> still;
    for (size_t i = 0; i < count; ++i) {
      const auto* page = std::get_if<wire::TimelinePage>(&pages.at(i));
      bool there = false;
      if (page)
        for (const uint64_t number : numbers_of(*page, graph, messages)) there = there || number == awaited[i].message;
      if (!there) still.push_back(awaited[i]);
    }
    const bool moved = still.size() < count;
    awaited.erase(awaited.begin(), awaited.begin() + static_cast<ptrdiff_t>(count));
    awaited.insert(awaited.begin(), still.begin(), still.end());  // the late ones are asked first
    if (!moved) {  // it is late, or others stand above it
      newest = std::min<size_t>(1000, newest + newest / 2);
      std::this_thread::sleep_for(std::clamp<Clock::duration>(Clock::now() - asked, 1ms, 20ms));
    }
    fabric.stop_if_ended();
    if (Clock::now() - begin > patience)
      throw Stop(fmt::format("message {} is not in the home of {} after {} s", awaited.front().message, graph.user(awaited.front().user), patience.count()));
  }
}

std::string compare_sample(Fabric& fabric, const Graph& graph, const Messages& messages, size_t users, uint64_t capacity, uint64_t seed) {
  Dice dice(seed);
  std::set<uint32_t> drawn;
  for (size_t i = 0; i < users && drawn.size() < graph.users; ++i) drawn.insert(dice.below(graph.users));
  const std::vector<uint32_t> sample(drawn.begin(), drawn.end());
  const auto authors = graph.authors_of(sample);
  for (size_t i = 0; i < sample.size(); ++i) {
    const std::string name = graph.user(sample[i]);
    std::set<uint64_t> wanted, seen;
    for (const uint32_t author : authors[i])
      for (const uint32_t first : messages.turns_of(author))
        for (uint64_t number = first; number < messages.published; number += messages.round()) wanted.insert(number);
    std::optional<Position> before;
    uint64_t entries = 0;
    do {
      wire::Read read;
      read.entities = {name};
      read.limit = 1000;
      read.before = before;
      const wire::Reply reply = fabric.dealer(i % fabric.options().nodes).call(read);
      if (const auto* error = std::get_if<Error>(&reply)) return fmt::format("{}: {}: {}", name, code_name(error->code), error->message);
      const auto& page = std::get<wire::ReadResult>(reply).pages.at(0);
      if (const auto* error = std::get_if<Error>(&page)) return fmt::format("{}: {}: {}", name, code_name(error->code), error->message);
      const auto& found = std::get<wire::TimelinePage>(page);
      for (const uint64_t number : numbers_of(found, graph, messages)) seen.insert(number), ++entries;
      before = found.next;
    } while (before);
    if (entries != seen.size()) return fmt::format("{} has a message twice", name);
    if (!std::includes(wanted.begin(), wanted.end(), seen.begin(), seen.end())) return fmt::format("{} has a message that is not for it", name);
    if (seen.size() != std::min<uint64_t>(wanted.size(), capacity))
      return fmt::format("{} has {} entries; {} were to come", name, seen.size(), std::min<uint64_t>(wanted.size(), capacity));
  }
  return {};
}

}  // namespace canopy::bench
