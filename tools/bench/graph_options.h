// Which graph a measurement uses, from the command line.
#pragma once

#include <cstdint>
#include <string>

#include "follow_graph.h"

namespace CLI {
class App;
}

namespace canopy::bench {

struct GraphOptions {
  std::string shape{"uniform"};  // or power-law, celebrity, or "file" when one is given
  std::string file{};
  uint32_t users = 100'000, followers = 400, follows = 4;
  uint32_t authors = 1000;        // of a power law
  double exponent = 2.3;          // of the number of followers, as published of Twitter
  uint32_t most = 0;              // followers of a power law's author; 0: all users
};

void add_graph_options(CLI::App& command, GraphOptions& options);
// Throws Stop when the options do not fit each other, or the file cannot be read.
Graph make_graph(const GraphOptions& options, uint64_t seed);

}  // namespace canopy::bench
