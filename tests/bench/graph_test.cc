#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "../../tools/bench/follow_graph.h"

using namespace canopy::bench;

namespace {
bool each_follower_once(const Graph& graph) {
  return std::all_of(graph.followers.begin(), graph.followers.end(),
                     [](const auto& list) { return std::set<uint32_t>(list.begin(), list.end()).size() == list.size(); });
}
}  // namespace

TEST_CASE("bench: in a uniform graph each author has as many followers, each user follows as many authors") {
  const Graph graph = uniform_graph(1000, 40, 4, 7);
  CHECK(graph.authors() == 100);
  CHECK(graph.edges() == 4000);
  CHECK(each_follower_once(graph));
  for (const auto& list : graph.followers) CHECK(list.size() == 40);
  for (const uint32_t count : graph.follows()) CHECK(count == 4);
}

TEST_CASE("bench: a power law has its bounds, a long tail, and users with two authors at least") {
  const Graph graph = power_law_graph(2000, 3000, 2.3, 3, 1500, 1);
  CHECK(each_follower_once(graph));
  const auto follows = graph.follows();
  CHECK(*std::min_element(follows.begin(), follows.end()) >= 2);
  CHECK(std::accumulate(follows.begin(), follows.end(), uint64_t{0}) == graph.edges());
  std::vector<size_t> sizes;
  for (const auto& list : graph.followers) sizes.push_back(list.size());
  std::sort(sizes.begin(), sizes.end());
  CHECK(sizes.front() >= 3);
  CHECK(sizes[sizes.size() / 2] < 10);
  CHECK(sizes.back() > 200);
}

TEST_CASE("bench: the same seed draws the same graph") {
  CHECK(uniform_graph(100, 10, 2, 5).followers == uniform_graph(100, 10, 2, 5).followers);
  CHECK(uniform_graph(100, 10, 2, 5).followers != uniform_graph(100, 10, 2, 6).followers);
}

TEST_CASE("bench: authors_of finds whom a user follows") {
  const Graph graph = celebrity_graph(10, 3);
  CHECK(graph.authors_of({4, 9}) == std::vector<std::vector<uint32_t>>{{0, 1, 2}, {0, 1, 2}});
}

TEST_CASE("bench: a graph that is read keeps its names, and repeats count once") {
  GraphReader reader;
  reader.add("bob", "alice"), reader.add("carol", "alice"), reader.add("bob", "carol"), reader.add("bob", "alice");
  const Graph graph = reader.take();
  CHECK(graph.users == 2);
  CHECK(graph.edges() == 3);
  CHECK(graph.user(1) == "carol");
  CHECK(graph.followers[0].size() == 2);
  CHECK(graph.author(0) == "alice");
}
