#include "mode_workloads.h"

#include <stdexcept>

namespace canopy::bench {
namespace {

constexpr uint32_t users = 20'000;

// Each user follows all, or four of the authors drawn at random.
Workload read_heavy(uint64_t seed) {
  Workload w;
  w.name = "read-heavy";
  w.what = "16 authors with 5,000 followers, who read about ten times";
  w.graph = uniform_graph(users, 5'000, 4, seed);
  for (uint32_t author = 0; author < w.graph.authors(); ++author) w.turns.push_back(author);
  w.messages = 6'400;
  w.reads = 200'000;
  w.readers = users;
  return w;
}

Workload publish_heavy() {
  Workload w;
  w.name = "publish-heavy";
  w.what = "4 authors with 20,000 followers, one in twenty of whom reads once";
  w.graph = celebrity_graph(users, 4);
  w.turns = {0, 1, 2, 3};
  w.messages = 60'000;
  w.reads = 1'000;
  w.readers = users;
  return w;
}

// Twelve ordinary authors and two loud ones whose followers read; two very loud ones whose followers hardly do.
Workload mixed(uint64_t seed) {
  constexpr uint32_t ordinary = 12, loud = 14, authors = 16, often = 15'000;
  Workload w;
  w.name = "mixed";
  w.what = "12 ordinary and 2 loud authors, whose 15,000 followers read often; 2 very loud ones, whose 5,000 hardly do";
  w.graph.users = users;
  w.graph.followers.resize(authors);
  Dice dice(seed);
  for (uint32_t user = 0; user < users; ++user) {
    const uint32_t first = dice.below(ordinary), step = 1 + dice.below(ordinary / 3);  // three different ones
    for (uint32_t i = 0; i < 3; ++i) w.graph.followers[(first + i * step) % ordinary].push_back(user);
    if (user < often) {
      w.graph.followers[ordinary + dice.below(loud - ordinary)].push_back(user);
    } else {
      for (uint32_t author = loud; author < authors; ++author) w.graph.followers[author].push_back(user);
    }
  }
  // The loud ones come between the others, not all at once.
  for (uint32_t turn = 0; turn < ordinary; ++turn) {
    w.turns.push_back(turn);
    w.turns.push_back(ordinary + turn % 2);
    for (uint32_t i = 0; i < 8; ++i) w.turns.push_back(loud + i % 2);
  }
  w.messages = 60'000;
  w.reads = 100'000;
  w.readers = often;
  w.others_in = 500;
  return w;
}

}  // namespace

Workload make_workload(const std::string& name, uint64_t seed) {
  if (name == "read-heavy") return read_heavy(seed);
  if (name == "publish-heavy") return publish_heavy();
  if (name == "mixed") return mixed(seed);
  throw std::invalid_argument("no workload of that name");
}

}  // namespace canopy::bench
