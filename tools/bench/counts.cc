// What must be counted when all is delivered, and waiting until the nodes count it.
#include <set>
#include <thread>

#include "base/hash.h"
#include "stages.h"
#include "stop.h"

namespace canopy::bench {
namespace {

using namespace std::chrono_literals;

// How many of the messages [from, to) this author has.
uint64_t messages_of(const Messages& messages, size_t author, uint64_t from, uint64_t to) {
  return messages.of_author(author, to) - messages.of_author(author, from);
}

}  // namespace

std::vector<uint32_t> leaves_of_each(const Graph& graph, uint32_t bucket_count) {
  std::vector<uint32_t> leaves(graph.authors());
  std::vector<uint32_t> seen_by(bucket_count, UINT32_MAX);
  for (uint32_t author = 0; author < graph.authors(); ++author)
    for (const uint32_t user : graph.followers[author]) {
      uint32_t& seen = seen_by[bucket_of(graph.user(user), bucket_count).value()];
      leaves[author] += seen != author;
      seen = author;
    }
  return leaves;
}

uint64_t leaf_deliveries(const std::vector<uint32_t>& leaves, const Messages& messages, uint64_t from, uint64_t to) {
  uint64_t sum = 0;
  for (size_t author = 0; author < leaves.size(); ++author) sum += leaves[author] * messages_of(messages, author, from, to);
  return sum;
}

uint64_t deliveries(const Graph& graph, const Messages& messages, uint64_t from, uint64_t to) {
  uint64_t sum = 0;
  for (size_t author = 0; author < graph.authors(); ++author)
    sum += graph.followers[author].size() * messages_of(messages, author, from, to);
  return sum;
}

uint64_t entries_held(const Graph& graph, const Messages& messages, uint64_t capacity) {
  std::vector<uint64_t> counts(graph.users);
  for (size_t author = 0; author < graph.authors(); ++author) {
    const uint64_t count = messages_of(messages, author, 0, messages.published);
    for (const uint32_t user : graph.followers[author]) counts[user] += count;
  }
  uint64_t sum = 0;
  for (const uint64_t count : counts) sum += std::min(count, capacity);
  return sum;
}

uint64_t await_counter(Fabric& fabric, std::string_view field, uint64_t wanted, std::chrono::seconds patience) {
  const auto begin = Clock::now();
  for (;;) {
    const uint64_t value = fabric.shard_counter(field);
    if (value == wanted || Clock::now() - begin > patience) return value;
    stop_if_interrupted();
    std::this_thread::sleep_for(20ms);
  }
}

Usage settle(Fabric& fabric, std::chrono::seconds patience) {
  const auto begin = Clock::now();
  auto moved = begin;
  Usage last = fabric.usage();
  while (Clock::now() - moved < 1s && Clock::now() - begin < patience) {
    stop_if_interrupted();
    std::this_thread::sleep_for(50ms);
    const Usage now = fabric.usage();
    if (now.bytes_dirtied != last.bytes_dirtied) moved = Clock::now();
    last = now;
  }
  return last;
}

}  // namespace canopy::bench
