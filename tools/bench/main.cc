// canopy-bench: measures a fabric that it starts on loopback (tools/bench/README.md).
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <signal.h>
#include <thread>
#include <unistd.h>

#include "bench.h"
#include "stop.h"

namespace canopy::bench {
namespace {

std::atomic<bool> interrupt_came{false};

void arm_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupt_came = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second Ctrl-C ends the process; the kernel ends the nodes
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

console::Terminal terminal_of(int fd) {
  console::Terminal terminal;
  terminal.tty = isatty(fd) == 1;
  terminal.colour = terminal.tty && !std::getenv("NO_COLOR");
  return terminal;
}

// Beside this program, in the build directory.
std::string default_canopyd() {
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  return (self.parent_path() / "../../src/daemon/canopyd").lexically_normal();
}

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "";
}

void add_machine(Report& report) {
  const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)), page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  report.fact("machine", {{"cores", std::thread::hardware_concurrency()}, {"ram_bytes", pages * page}, {"processor", processor()}});
}

int finish(Bench& bench, const std::string& json_file) {
  fmt::print("{}", bench.report.table(bench.out));
  if (!json_file.empty()) {
    std::ofstream out(json_file);
    out << bench.report.json();
    if (!out.flush()) {
      fmt::print(stderr, "canopy-bench: {}: cannot be written\n", json_file);
      return 2;
    }
  }
  return bench.report.good() ? 0 : 1;
}

int run(int argc, char** argv) {
  CLI::App app{"Measures a fabric that it starts on loopback, and checks that what it counted is there.", "canopy-bench"};
  app.footer("Exit status: 0 measured, 1 what was counted is not there, 2 bad usage or no measurement.\nMethod: tools/bench/README.md");
  app.require_subcommand(1);
  app.fallthrough();
  Bench bench;
  Options& options = bench.options;
  options.fabric.canopyd = default_canopyd();
  const char* tmp = std::getenv("TMPDIR");
  options.fabric.directory = tmp && *tmp ? tmp : "/tmp";
  std::string json_file;
  app.add_option("--canopyd", options.fabric.canopyd, "the program to measure")->capture_default_str();
  app.add_option("--dir", options.fabric.directory, "where its data goes, in a directory that is removed at the end")->check(CLI::ExistingDirectory)->capture_default_str();
  app.add_option("--nodes", options.fabric.nodes, "of the fabric")->check(CLI::Range(1, 16))->capture_default_str();
  app.add_option("--shards", options.fabric.shards, "of each node; 0: one for each core")->check(CLI::Range(0, 64))->capture_default_str();
  app.add_option("--bucket-count", options.fabric.bucket_count, "of the fabric")->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--set", options.fabric.settings, "KEY=VALUE for each node; may be repeated")->allow_extra_args(false);
  app.add_option("--body", options.body, "bytes of a message")->check(CLI::Range(16, 1 << 20))->capture_default_str();
  app.add_option("--seed", options.seed, "of graphs and samples")->capture_default_str();
  app.add_option("--json", json_file, "write what was found to this file");
  app.add_flag("--keep", options.fabric.keep, "leave the fabric's data there");
  app.add_flag("--quiet", options.quiet, "only the table");

  Action action;
  for (const auto add : {add_fanout, add_scale, add_celebrity, add_latency, add_fairness, add_read, add_live, add_publish, add_modes, add_startup, add_ceilings}) add(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  bench.out = terminal_of(STDOUT_FILENO);
  bench.err = terminal_of(STDERR_FILENO);
  arm_interrupt();
  std::string command;
  for (int i = 0; i < argc; ++i) command += fmt::format("{}{}", i ? " " : "", argv[i]);
  bench.report.fact("command", command);
  add_machine(bench.report);
  try {
    action(bench);
  } catch (const std::exception& stop) {  // Stop, or a socket's or the file system's
    fmt::print("{}", bench.report.table(bench.out));
    fmt::print(stderr, "canopy-bench: {}\n", stop.what());
    return 2;
  }
  return finish(bench, json_file);
}

}  // namespace

bool interrupted() { return interrupt_came; }

}  // namespace canopy::bench

int main(int argc, char** argv) { return canopy::bench::run(argc, argv); }
