// What every measurement shares: the options of all, the terminal, progress, the report.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "fabric.h"
#include "progress.h"
#include "report.h"

namespace CLI {
class App;
}

namespace canopy::bench {

struct Options {
  FabricOptions fabric;
  size_t in_flight = 64;   // requests
  size_t body = 200;       // bytes
  uint64_t seed = 1;
  bool quiet = false;
};

struct Bench {
  Options options;
  console::Terminal out, err;
  Report report;

  // Says on stderr what begins, unless quiet.
  void step(const std::string& what) const;
};

// A bar over one stage of a measurement, on a terminal only.
class Bar {
 public:
  // `total`: 0 when it is not known.
  Bar(const Bench& bench, std::string unit, uint64_t total);
  void show(uint64_t done);

 private:
  console::Progress progress_;
  console::Rate rate_;
  std::string unit_;
  uint64_t total_;
  std::chrono::steady_clock::time_point begin_;
};

// Set while the command line is parsed, run after it.
using Action = std::function<void(Bench&)>;

void add_fanout(CLI::App& app, Action& action);
void add_scale(CLI::App& app, Action& action);
void add_celebrity(CLI::App& app, Action& action);
void add_latency(CLI::App& app, Action& action);
void add_fairness(CLI::App& app, Action& action);
void add_read(CLI::App& app, Action& action);
void add_live(CLI::App& app, Action& action);
void add_publish(CLI::App& app, Action& action);
void add_modes(CLI::App& app, Action& action);
void add_startup(CLI::App& app, Action& action);
void add_ceilings(CLI::App& app, Action& action);

}  // namespace canopy::bench
