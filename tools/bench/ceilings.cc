// canopy-bench ceilings: what this machine can do at best, with nothing of Canopy in it.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <numeric>

#include "bare.h"
#include "follow_graph.h"

namespace canopy::bench {
namespace {

struct CeilingOptions {
  double seconds = 1;          // for each rate
  uint32_t lines = 10'000'000; // of 64 bytes
  uint32_t commits = 500;
};

Frames request_of(size_t bytes) {
  Frames frames;
  frames.verb = "READ";
  frames.args.assign(bytes, 'x');
  return frames;
}

void measure(Bench& bench, const CeilingOptions& options) {
  Report& report = bench.report;
  bench.step("RAM");
  std::vector<uint32_t> order(options.lines);
  std::iota(order.begin(), order.end(), 0u);
  report.number("RAM: 4-byte entries appended to 64-byte lines, in order", append_rate(options.lines, order, options.seconds), "1/s",
                fmt::format("{} lines, one thread", options.lines));
  Dice dice(bench.options.seed);
  for (uint32_t& line : order) line = dice.below(options.lines);
  report.number("RAM: the same at random", append_rate(options.lines, order, options.seconds), "1/s", "prefetched 32 ahead");

  bench.step("LMDB");
  CommitProbe probe(bench.options.fabric.directory);
  Samples one, thousand;
  for (uint32_t i = 0; i < options.commits; ++i) one.add(probe.commit_ms());
  for (uint32_t i = 0; i < options.commits / 5; ++i) thousand.add(probe.commit_ms(1000));
  report.times("LMDB: one put of 200 bytes and commit, with fsync", one);
  report.times("LMDB: 1,000 sequential puts and commit", thousand);

  bench.step("ZeroMQ");
  for (const auto& [request, reply] : {std::pair<size_t, size_t>{100, 30}, {100, 12'500}, {1024, 30}, {65'536, 30}})
    report.number(fmt::format("ZeroMQ: DEALER and ROUTER, request of {} bytes, reply of {}", request, reply),
                  bare_rate(request_of(request), reply, 512, options.seconds), "1/s", "both ends here, 512 in flight");
  report.number("ZeroMQ: the same one at a time, 100 and 30 bytes", bare_rate(request_of(100), 30, 1, options.seconds), "1/s");
}

}  // namespace

void add_ceilings(CLI::App& app, Action& action) {
  auto options = std::make_shared<CeilingOptions>();
  CLI::App* command = app.add_subcommand("ceilings", "What this machine can do at best: RAM, LMDB, ZeroMQ");
  command->add_option("--seconds", options->seconds, "for each rate")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--lines", options->lines, "of 64 bytes in RAM")->check(CLI::Range(1u, 200'000'000u))->capture_default_str();
  command->add_option("--commits", options->commits, "of LMDB")->check(CLI::Range(5u, 1'000'000u))->capture_default_str();
  command->callback([=, &action] { action = [=](Bench& bench) { measure(bench, *options); }; });
}

}  // namespace canopy::bench
