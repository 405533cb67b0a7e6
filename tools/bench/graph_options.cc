#include "graph_options.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fstream>
#include <variant>

#include "graph.h"
#include "stop.h"

namespace canopy::bench {
namespace {

Graph read_graph(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw Stop(file + ": cannot be read");
  GraphReader reader;
  uint64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const auto parsed = console::parse_graph_line(line);
    if (const auto* pair = std::get_if<client::Pair>(&parsed)) reader.add(pair->follower, pair->author);
    if (const auto* bad = std::get_if<console::BadLine>(&parsed)) throw Stop(fmt::format("{}: line {}: {}", file, number, bad->why));
  }
  return reader.take();
}

}  // namespace

void add_graph_options(CLI::App& command, GraphOptions& options) {
  command.add_option("--graph", options.shape, "uniform, power-law or celebrity")
      ->check(CLI::IsMember({"uniform", "power-law", "celebrity"}))->capture_default_str();
  command.add_option("--graph-file", options.file, "instead: a file with 'follower author' in each line");
  command.add_option("--users", options.users, "who follow")->check(CLI::Range(1u, 1'000'000'000u))->capture_default_str();
  command.add_option("--followers", options.followers, "uniform: of each author; power-law: at least")->check(CLI::Range(1u, 1'000'000'000u))->capture_default_str();
  command.add_option("--follows", options.follows, "uniform, celebrity: authors that each user follows")->check(CLI::Range(1u, 10'000u))->capture_default_str();
  command.add_option("--authors", options.authors, "power-law: so many")->check(CLI::Range(2u, 100'000'000u))->capture_default_str();
  command.add_option("--exponent", options.exponent, "power-law: of the number of followers")->check(CLI::Range(1.1, 10.0))->capture_default_str();
  command.add_option("--most", options.most, "power-law: followers of an author (all users)");
}

Graph make_graph(const GraphOptions& options, uint64_t seed) {
  if (!options.file.empty()) return read_graph(options.file);
  if (options.shape == "celebrity") return celebrity_graph(options.users, options.follows);
  if (options.shape == "power-law") {
    const uint32_t most = options.most ? options.most : options.users;
    if (most > options.users || options.followers > most)
      throw Stop("--followers must be at most --most, and that at most --users");
    return power_law_graph(options.users, options.authors, options.exponent, options.followers, most, seed);
  }
  if (options.users % options.followers != 0)
    throw Stop(fmt::format("--users {}: must be a multiple of --followers {}", options.users, options.followers));
  return uniform_graph(options.users, options.followers, options.follows, seed);
}

}  // namespace canopy::bench
