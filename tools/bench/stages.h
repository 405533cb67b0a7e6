// The stages of which measurements are made: load, publish, read once, wait until all is delivered, compare.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "bench.h"
#include "driver.h"
#include "follow_graph.h"

namespace canopy::bench {

// Messages are numbered from 0 over a whole measurement; the number stands in the body, and the author follows from
// it: what each timeline must hold can be said at any time.
struct Messages {
  size_t body = 200;          // bytes, at least 16
  size_t authors = 1;
  uint64_t published = 0;     // acknowledged: all numbers below
  std::vector<uint32_t> turns{};  // whose turn it is, again and again; empty: each author's in order
  size_t author_of(uint64_t number) const {
    return turns.empty() ? static_cast<size_t>(number % authors) : turns[static_cast<size_t>(number % turns.size())];
  }
  // How many of the messages [0, end) this author has.
  uint64_t of_author(size_t author, uint64_t end) const;
  // Its messages are those of these numbers, and of each of them again after a round.
  std::vector<uint32_t> turns_of(uint32_t author) const;
  uint64_t round() const { return turns.empty() ? authors : turns.size(); }
  std::string body_of(uint64_t number) const;
};
// Returns the number in a body that body_of() made; none for another.
std::optional<uint64_t> number_in(std::string_view body);

struct LoadResult {
  double seconds = 0;
  uint64_t rested = 0;        // batches that were asked again
};
LoadResult load_follows(const Bench& bench, Fabric& fabric, const Graph& graph, size_t batch = 5000);

struct PublishPlan {
  uint64_t most = 0;          // messages
  double seconds = 0;         // 0: until `most` are published
  size_t batch = 100;         // messages in a request; 1: single PUBLISHes
  size_t in_flight = 64;      // requests
  double rate = 0;            // messages a second at most; 0: as fast as it goes
  uint64_t ahead = 0;         // messages at most that are published but not in homes yet, about; 0: no bound
  std::vector<MessageId>* ids = nullptr;  // gets the id of each message, at the place of its number
};
struct PublishResult {
  uint64_t messages = 0;
  double seconds = 0;         // until the last was acknowledged
  Samples ms;                 // of each request: publish -> acknowledged
  uint64_t again = 0;
};
// Goes on from messages.published. Throws Stop when a message is refused for another reason than BUSY.
PublishResult publish(const Bench& bench, Fabric& fabric, const Graph& graph, Messages& messages, const PublishPlan& plan);

struct RetractResult {
  double seconds = 0;         // until the last was acknowledged
  Samples ms;                 // of each request
};
// Retracts all messages [from, messages.published), whose ids are `ids`, in the order of their numbers; then they count as
// never published. Throws Stop when one is refused for another reason than BUSY.
RetractResult retract(const Bench& bench, Fabric& fabric, const Graph& graph, Messages& messages, uint64_t from,
                      const std::vector<MessageId>& ids, size_t in_flight);

// Reads one entry of each user's home, so that all of them are in memory. Returns the seconds that it took.
double read_once(const Bench& bench, Fabric& fabric, const Graph& graph);

// Some (message, follower) whose delivery tells that all before it are delivered: of the last messages, one follower in
// each bucket and `more` drawn at random.
struct Awaited {
  uint64_t message = 0;
  uint32_t user = 0;
};
std::vector<Awaited> last_deliveries(const Graph& graph, const Messages& messages, uint32_t bucket_count, size_t more, uint64_t seed);
// Returns when each awaited message is read in its follower's home: among its newest entries, or further down when it is
// not there (others may have overtaken it), up to the 1000th. Throws Stop after `patience`.
void wait_delivered(Fabric& fabric, const Graph& graph, const Messages& messages, std::vector<Awaited> awaited,
                    std::chrono::seconds patience = std::chrono::seconds(300));

// In how many buckets each author has followers. Hashes every name: not in measured time.
std::vector<uint32_t> leaves_of_each(const Graph& graph, uint32_t bucket_count);
// Deliveries to leaves that the messages [from, to) must make.
uint64_t leaf_deliveries(const std::vector<uint32_t>& leaves, const Messages& messages, uint64_t from, uint64_t to);
// Deliveries to followers.
uint64_t deliveries(const Graph& graph, const Messages& messages, uint64_t from, uint64_t to);
// Entries that all timelines together must hold, none of them more than `capacity`.
uint64_t entries_held(const Graph& graph, const Messages& messages, uint64_t capacity);

// Reads whole timelines of users drawn at random and compares each with what must be in it: every message once, each
// author's in order. Returns "" or what is wrong with the first that differs.
std::string compare_sample(Fabric& fabric, const Graph& graph, const Messages& messages, size_t users, uint64_t capacity, uint64_t seed);

// Waits until a counter of all shards has this value; returns the last value seen, which is it unless `patience` ended.
uint64_t await_counter(Fabric& fabric, std::string_view field, uint64_t wanted, std::chrono::seconds patience = std::chrono::seconds(10));

// Waits until the nodes write no more for a second, at most `patience`; returns their usage then.
Usage settle(Fabric& fabric, std::chrono::seconds patience = std::chrono::seconds(15));

}  // namespace canopy::bench
