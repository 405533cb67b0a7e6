// canopy, the console: one command per question to a fabric.
#include <CLI/CLI.hpp>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

#include "args.h"
#include "text.h"

namespace {

using namespace canopy::console;

constexpr const char* footer = R"(Examples:
  canopy follow bob alice            bob follows alice
  canopy publish alice "hello"       alice says hello
  canopy read bob                    what bob sees
  canopy tail bob                    … and goes on seeing, until Ctrl-C
  canopy status                      how the node is

Each command has its own: canopy COMMAND --help

Exit status: 0 done, 1 refused by the fabric, 2 bad usage, 3 no node could be reached.)";

std::string duration_check(const std::string& text) {
  const auto parsed = parse_duration(text);
  if (!parsed || parsed->count() <= 0) return "'" + text + "' is not a time like 500ms, 10s or 2m";
  return {};
}

int run(int argc, char** argv) {
  CLI::App app{"Talks to a Canopy fabric: publish, follow, read, and look how it is built.", "canopy"};
  app.footer(footer);
  app.require_subcommand(1);
  app.fallthrough();
  app.get_formatter()->column_width(34);

  Globals globals;
  std::string timeout = "10s";
  app.add_option("-e,--endpoint", globals.endpoints, "a node's client endpoint; several: repeat it, or put commas between")
      ->envname("CANOPY_ENDPOINT")
      ->type_name("ENDPOINT")
      ->default_str("tcp://127.0.0.1:7700")
      ->allow_extra_args(false)
      ->delimiter(',')
      ->take_all();
  app.add_flag("--json", globals.json, "answers as JSON; message ids are strings");
  app.add_option("--timeout", timeout, "how long to wait for an answer: 500ms, 10s, 2m")
      ->type_name("TIME")
      ->check(CLI::Validator(duration_check, ""))
      ->capture_default_str();
  app.set_version_flag("--version", std::string("canopy ") + CANOPY_VERSION);

  Action action;
  add_publish(app, action);
  add_follow(app, action);
  add_read(app, action);
  add_tail(app, action);
  add_fabric(app, action);
  add_load(app, action);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const std::vector<std::string> unknown = app.remaining();
    fmt::print(stderr, "canopy: {}\nHelp: canopy {}--help\n",
               app.get_subcommands().empty() && !unknown.empty() ? fmt::format("there is no command '{}'", printable(unknown.front()))
                                                                 : std::string(error.what()),
               app.get_subcommands().empty() ? "" : app.get_subcommands().front()->get_name() + " ");
    return exit_usage;
  }
  if (globals.endpoints.empty()) globals.endpoints = {"tcp://127.0.0.1:7700"};
  globals.timeout = *parse_duration(timeout);
  globals.out = terminal_of(STDOUT_FILENO);
  globals.err = terminal_of(STDERR_FILENO);
  return action(globals);
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_TIME, "");
  const int status = run(argc, argv);
  // A full disk behind stdout is a failure too.
  if (std::fflush(stdout) != 0 && status == exit_ok) return complain_usage("stdout cannot be written");
  return status;
}
