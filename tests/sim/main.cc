// sim-run: runs seeds of the simulator, replays one, or looks whether every planted bug is found.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "base/planted.h"
#include "sim/sim.h"

namespace canopy::sim {
namespace {

constexpr uint64_t last_lines = 60;

// A mistake, and a seed that finds it: that one is run first, the others only if it no longer does.
struct PlantedBug {
  std::string name;
  uint64_t seed;
};
const std::vector<PlantedBug> planted_bugs = {
    {"duplicate check off", 1},
    {"gap applied", 1},
    {"reply before commit", 8},
    {"commit a cycle late", 4},
    {"pending set not written", 1},
    {"warm list out of order", 1},
    {"welcome of an old generation taken", 12},
    {"mark not in the same commit", 8},
    {"letter repeated", 1},
    {"relay forgets a leaf", 1},
    {"retraction not remembered", 4},
    {"clone repeated in a list", 18},
    {"second way shown", 1},
    {"retraction not passed on by a forward", 7},
    {"retraction misses a list", 1},
    {"unread counts backfill", 21},
    {"trim forgets a body", 1},
    {"alias answered as an entity", 4},
    {"forward without hop or repeat check", 1},
    {"delete leaves an edge", 4},
    {"batch of deliveries forgets a leaf", 1},
    {"cut letter loses its rest", 12},
    {"followers in memory miss a follow", 1},
    {"chain link skips a delivery", 1},
    {"a merge forgets a leaf", 2},
    {"a switched leaf's rows are shown twice", 20},
    {"lazy read served before its fetches ended", 3},
    {"old answer taken for fresh", 47},
    {"lazy leaf does not hear of the end", 19},
    {"switch to pushed owes nothing", 3},
};

struct Arguments {
  uint64_t first = 1, last = 500;
  bool trace = false, twice = false, list_planted = false, find_planted = false, verbose = false;
  std::string plant;
};

// An ASSERT of the code ends the process: say where the run stood.
const Simulation* running = nullptr;
uint64_t running_seed = 0;

void print_failure(const char* rule) {
  std::fprintf(stderr, "\nseed %llu failed at %.6f s of virtual time\n", static_cast<unsigned long long>(running_seed),
               static_cast<double>(running->trace().last_at().us) / 1e6);
  std::fprintf(stderr, "scenario: %s\n", describe(scenario_of(running_seed)).c_str());
  std::fprintf(stderr, "the last lines of its trace:\n");
  running->trace().print_last(stderr, last_lines);
  std::fprintf(stderr, "violated: %s\nreplay: sim-run --seed %llu --trace\n", rule,
               static_cast<unsigned long long>(running_seed));
}

extern "C" void on_abort(int) {
  if (running) print_failure("an assertion, see above");
  std::_Exit(1);
}

// Returns false when a rule was violated.
bool run_seed(uint64_t seed, bool trace, Totals& totals, uint64_t& hash) {
  const Scenario scenario = scenario_of(seed);
  if (trace) std::printf("scenario: %s\n", describe(scenario).c_str());
  Simulation simulation(scenario, trace ? stdout : nullptr);
  running = &simulation;
  running_seed = seed;
  bool good = true;
  try {
    simulation.run();
    totals.add(simulation.totals());
  } catch (const Violation& violation) {
    print_failure(violation.what());
    good = false;
  }
  hash = simulation.trace().hash();
  running = nullptr;
  return good;
}

int run_seeds(const Arguments& arguments) {
  Totals totals;
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t seed = arguments.first; seed <= arguments.last; ++seed) {
    uint64_t hash = 0, again = 0;
    const auto seed_begin = std::chrono::steady_clock::now();
    if (!run_seed(seed, arguments.trace, totals, hash)) return 1;
    // A few seeds twice: a run must be a function of its seed.
    if (arguments.twice || seed % 50 == 1) {
      Totals ignored;
      if (!run_seed(seed, false, ignored, again)) return 1;
      if (again != hash) {
        std::fprintf(stderr, "seed %llu ran in two ways: trace hashes %016llx and %016llx\n",
                     static_cast<unsigned long long>(seed), static_cast<unsigned long long>(hash),
                     static_cast<unsigned long long>(again));
        return 1;
      }
    }
    if (arguments.verbose)
      std::printf("seed %llu hash %016llx %.3f s\n", static_cast<unsigned long long>(seed),
                  static_cast<unsigned long long>(hash),
                  std::chrono::duration<double>(std::chrono::steady_clock::now() - seed_begin).count());
  }
  std::printf("%s", totals.describe().c_str());
  std::printf("seeds %llu..%llu passed in %.1f s\n", static_cast<unsigned long long>(arguments.first),
              static_cast<unsigned long long>(arguments.last),
              std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  const auto missing = totals.missing();
  if (arguments.last - arguments.first + 1 < 100 || missing.empty()) return 0;
  for (const std::string& name : missing) std::fprintf(stderr, "never happened in the whole set: %s\n", name.c_str());
  return 1;
}

#ifdef CANOPY_PLANTED_BUGS
// A child runs the seeds with a bug until one of them fails, and says which one it is at.
struct Hunt {
  std::string bug;
  pid_t child = 0;
  int progress = -1;
};

Hunt begin_hunt(const PlantedBug& bug, const Arguments& arguments) {
  int ends[2];
  if (pipe(ends) != 0) return {bug.name, -1, -1};
  const pid_t child = fork();
  if (child == 0) {
    if (!arguments.verbose && !std::freopen("/dev/null", "w", stderr)) std::_Exit(2);
    plant(bug.name);
    Totals totals;
    const auto hunt = [&](uint64_t seed) {
      uint64_t hash = 0;
      if (write(ends[1], &seed, sizeof seed) != sizeof seed) std::_Exit(2);
      if (!run_seed(seed, false, totals, hash)) std::_Exit(1);
    };
    if (bug.seed >= arguments.first && bug.seed <= arguments.last) hunt(bug.seed);
    for (uint64_t seed = arguments.first; seed <= arguments.last; ++seed) hunt(seed);
    std::_Exit(0);
  }
  close(ends[1]);
  return {bug.name, child, ends[0]};
}

// Returns whether a seed found the bug.
bool end_hunt(const Hunt& hunt) {
  uint64_t seed = 0, read_seed = 0;
  while (hunt.progress >= 0 && read(hunt.progress, &read_seed, sizeof read_seed) == sizeof read_seed) seed = read_seed;
  if (hunt.progress >= 0) close(hunt.progress);
  int status = 0;
  if (hunt.child > 0) waitpid(hunt.child, &status, 0);
  const bool found = hunt.child > 0 && seed > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  if (found) std::printf("%-36s found by seed %llu\n", hunt.bug.c_str(), static_cast<unsigned long long>(seed));
  else std::printf("%-36s NOT FOUND\n", hunt.bug.c_str());
  std::fflush(stdout);
  return found;
}

int find_planted(const Arguments& arguments) {
  const size_t at_once = std::max(1u, std::thread::hardware_concurrency());
  std::deque<Hunt> hunts;
  int missed = 0;
  const auto end_first = [&] {
    missed += !end_hunt(hunts.front());
    hunts.pop_front();
  };
  for (const PlantedBug& bug : planted_bugs) {
    if (!arguments.plant.empty() && arguments.plant != bug.name) continue;
    if (hunts.size() == at_once) end_first();
    hunts.push_back(begin_hunt(bug, arguments));
  }
  while (!hunts.empty()) end_first();
  return missed > 0 ? 1 : 0;
}
#endif

[[noreturn]] void usage() {
  std::fprintf(stderr, "usage: sim-run [--seeds A..B] [--seed N] [--trace] [--twice] [--verbose]\n"
                       "               [--plant NAME] [--list-planted] [--find-planted]\n");
  std::exit(2);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  const auto value = [&](int& i) -> std::string {
    if (i + 1 >= argc) usage();
    return argv[++i];
  };
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--seeds") {
      const std::string range = value(i);
      const size_t dots = range.find("..");
      if (dots == std::string::npos) usage();
      arguments.first = std::strtoull(range.c_str(), nullptr, 10);
      arguments.last = std::strtoull(range.c_str() + dots + 2, nullptr, 10);
    } else if (name == "--seed") {
      arguments.first = arguments.last = std::strtoull(value(i).c_str(), nullptr, 10);
    } else if (name == "--plant") {
      arguments.plant = value(i);
    } else if (name == "--trace") {
      arguments.trace = true;
    } else if (name == "--twice") {
      arguments.twice = true;
    } else if (name == "--verbose") {
      arguments.verbose = true;
    } else if (name == "--list-planted") {
      arguments.list_planted = true;
    } else if (name == "--find-planted") {
      arguments.find_planted = true;
    } else {
      usage();
    }
  }
  return arguments;
}

int run(const Arguments& arguments) {
  std::signal(SIGABRT, on_abort);
  if (arguments.list_planted) {
    for (const PlantedBug& bug : planted_bugs) std::printf("%s\n", bug.name.c_str());
    return 0;
  }
#ifdef CANOPY_PLANTED_BUGS
  if (arguments.find_planted) return find_planted(arguments);
  plant(arguments.plant);
#else
  if (arguments.find_planted || !arguments.plant.empty()) {
    std::fprintf(stderr, "built without -Dplanted_bugs=true\n");
    return 2;
  }
#endif
  return run_seeds(arguments);
}

}  // namespace
}  // namespace canopy::sim

int main(int argc, char** argv) { return canopy::sim::run(canopy::sim::parse(argc, argv)); }
