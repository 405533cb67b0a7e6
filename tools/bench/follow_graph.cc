#include "follow_graph.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <utility>

namespace canopy::bench {
namespace {

void shuffle(std::vector<uint32_t>& numbers, Dice& dice) {
  for (uint32_t i = static_cast<uint32_t>(numbers.size()); i > 1; --i) std::swap(numbers[i - 1], numbers[dice.below(i)]);
}

// Returns k with p(k) ~ k^-exponent between the bounds, from the inverse of the continuous distribution.
uint32_t drawn_degree(double exponent, double least, double most, Dice& dice) {
  const double e = 1 - exponent;
  const double low = std::pow(least, e), high = std::pow(most + 1, e);
  const double k = std::pow(low + dice.unit() * (high - low), 1 / e);
  return static_cast<uint32_t>(std::clamp(k, least, most));
}

// Draws distinct users by marking who was taken; `marks` holds the last author that took each.
void draw_followers(std::vector<uint32_t>& into, uint32_t count, uint32_t author, std::vector<uint32_t>& marks, Dice& dice) {
  const auto users = static_cast<uint32_t>(marks.size());
  into.reserve(count);
  if (count > users / 2) {  // nearly all: drawing until one is free would take long
    into.resize(users);
    std::iota(into.begin(), into.end(), 0u);
    shuffle(into, dice);
    into.resize(count);
    return;
  }
  while (into.size() < count) {
    const uint32_t user = dice.below(users);
    if (std::exchange(marks[user], author + 1) != author + 1) into.push_back(user);
  }
}

}  // namespace

uint64_t Dice::next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint64_t Graph::edges() const {
  uint64_t sum = 0;
  for (const auto& list : followers) sum += list.size();
  return sum;
}

std::vector<uint32_t> Graph::follows() const {
  std::vector<uint32_t> counts(users);
  for (const auto& list : followers)
    for (const uint32_t user : list) ++counts[user];
  return counts;
}

std::vector<std::vector<uint32_t>> Graph::authors_of(const std::vector<uint32_t>& some_users) const {
  std::vector<std::vector<uint32_t>> found(some_users.size());
  std::unordered_map<uint32_t, size_t> wanted;
  for (size_t i = 0; i < some_users.size(); ++i) wanted.emplace(some_users[i], i);
  for (uint32_t author = 0; author < followers.size(); ++author)
    for (const uint32_t user : followers[author])
      if (const auto at = wanted.find(user); at != wanted.end()) found[at->second].push_back(author);
  return found;
}

Graph uniform_graph(uint32_t users, uint32_t followers, uint32_t follows, uint64_t seed) {
  Graph graph;
  graph.users = users;
  graph.followers.reserve(size_t{users / followers} * follows);
  Dice dice(seed);
  std::vector<uint32_t> order(users);
  std::iota(order.begin(), order.end(), 0u);
  for (uint32_t round = 0; round < follows; ++round) {  // each round gives every user one author
    shuffle(order, dice);
    for (uint32_t from = 0; from < users; from += followers)
      graph.followers.emplace_back(order.begin() + from, order.begin() + from + followers);
  }
  return graph;
}

Graph power_law_graph(uint32_t users, uint32_t authors, double exponent, uint32_t least, uint32_t most, uint64_t seed) {
  Graph graph;
  graph.users = users;
  graph.followers.resize(authors);
  Dice dice(seed);
  std::vector<uint32_t> marks(users);
  for (uint32_t author = 0; author < authors; ++author)
    draw_followers(graph.followers[author], drawn_degree(exponent, least, most, dice), author, marks, dice);
  std::vector<uint32_t> counts = graph.follows(), lonely;
  for (uint32_t user = 0; user < users; ++user)
    if (counts[user] < 2) lonely.push_back(user);
  const auto known = graph.authors_of(lonely);
  for (size_t i = 0; i < lonely.size(); ++i) {
    uint32_t other = known[i].empty() ? authors : known[i].front();
    for (uint32_t missing = 2 - counts[lonely[i]]; missing > 0; --missing) {
      uint32_t author = dice.below(authors);
      if (author == other) author = (author + 1) % authors;
      graph.followers[author].push_back(lonely[i]);
      other = author;
    }
  }
  return graph;
}

Graph celebrity_graph(uint32_t users, uint32_t authors) {
  Graph graph;
  graph.users = users;
  graph.followers.resize(authors);
  for (auto& list : graph.followers) {
    list.resize(users);
    std::iota(list.begin(), list.end(), 0u);
  }
  return graph;
}

void GraphReader::add(const std::string& follower, const std::string& author) { pairs_.emplace_back(follower, author); }

Graph GraphReader::take() {
  std::sort(pairs_.begin(), pairs_.end());
  pairs_.erase(std::unique(pairs_.begin(), pairs_.end()), pairs_.end());
  std::unordered_map<std::string, uint32_t> authors;
  for (const auto& [follower, author] : pairs_) {  // sorted: a follower's pairs stand together
    if (graph_.user_names.empty() || graph_.user_names.back() != follower) graph_.user_names.push_back(follower);
    const auto [at, fresh] = authors.emplace(author, static_cast<uint32_t>(graph_.author_names.size()));
    if (fresh) graph_.author_names.push_back(author), graph_.followers.emplace_back();
    graph_.followers[at->second].push_back(static_cast<uint32_t>(graph_.user_names.size() - 1));
  }
  graph_.users = static_cast<uint32_t>(graph_.user_names.size());
  pairs_.clear();
  return std::move(graph_);
}

}  // namespace canopy::bench
