// Who follows whom in a measurement. Pure: the same seed gives the same graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace canopy::bench {

struct Graph {
  uint32_t users = 0;                             // numbered from 0; those who follow
  std::vector<std::vector<uint32_t>> followers;   // of each author, each user at most once
  std::vector<std::string> user_names, author_names;  // of a graph that was read; else empty

  size_t authors() const { return followers.size(); }
  uint64_t edges() const;
  std::vector<uint32_t> follows() const;          // how many authors each user follows
  std::string user(uint32_t number) const { return user_names.empty() ? "u" + std::to_string(number) : user_names[number]; }
  std::string author(size_t number) const { return author_names.empty() ? "a" + std::to_string(number) : author_names[number]; }
  // Who the users are that these authors have; for a few users only, it walks every edge.
  std::vector<std::vector<uint32_t>> authors_of(const std::vector<uint32_t>& some_users) const;
};

// Each author has exactly `followers`, each user follows exactly `follows` authors, at random.
// REQUIRES: users % followers == 0, both above 0.
Graph uniform_graph(uint32_t users, uint32_t followers, uint32_t follows, uint64_t seed);

// The numbers of followers are spread like k^-exponent between `least` and `most`; who follows is drawn at random.
// Then those who follow fewer than two authors follow others, at random.
// REQUIRES: 2 <= authors, 1 <= least <= most <= users, exponent > 1.
Graph power_law_graph(uint32_t users, uint32_t authors, double exponent, uint32_t least, uint32_t most, uint64_t seed);

// Each user follows each author.
Graph celebrity_graph(uint32_t users, uint32_t authors);

// Adds an edge by names to a graph that is read from somewhere; repeats are the caller's business.
class GraphReader {
 public:
  void add(const std::string& follower, const std::string& author);
  Graph take();

 private:
  Graph graph_;
  std::vector<std::pair<std::string, std::string>> pairs_;
};

// A quick generator of random numbers for graphs and samples.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t next();                       // splitmix64
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>((next() >> 32) * bound >> 32); }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)

 private:
  uint64_t state_;
};

}  // namespace canopy::bench
