// canopy, the console: one command per question to a fabric.
#include <CLI/CLI.hpp>
#include <algorithm>
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
  canopy read bob --timeline mentions   … and what names him
  canopy status                      how the node is

Each command has its own: canopy help COMMAND

Exit status: 0 done, 1 refused by the fabric, 2 bad usage, 3 no node could be reached.)";

std::string duration_check(const std::string& text) {
  const auto parsed = parse_duration(text);
  if (!parsed || parsed->count() <= 0) return "'" + text + "' is not a time like 500ms, 10s or 2m";
  return {};
}

int complain_unknown(const CLI::App& app, const std::string& command) {
  std::vector<std::string> names;
  for (const CLI::App* known : app.get_subcommands({})) names.push_back(known->get_name());
  const std::string meant = nearest(command, names);
  fmt::print(stderr, "canopy: there is no command '{}'{}\nHelp: canopy --help\n", printable(command),
             meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
  return exit_usage;
}

void add_help(CLI::App& app, Action& action) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("help", "What a command does, with examples");
  command->add_option("COMMAND", *name, "which; nothing: all of them");
  command->footer("Examples:\n  canopy help\n  canopy help publish");
  command->callback([&app, name, &action] {
    action = [&app, name](const Globals&) {
      // Not app.help(): that would be the help of the command that was parsed, this one.
      const std::vector<const CLI::App*> commands = static_cast<const CLI::App&>(app).get_subcommands({});
      const auto named = std::find_if(commands.begin(), commands.end(), [&](const CLI::App* other) { return other->get_name() == *name; });
      if (!name->empty() && named == commands.end()) return complain_unknown(app, *name);
      const CLI::App* about = name->empty() ? &app : *named;
      say(app.get_formatter()->make_help(about, about == &app ? "canopy" : "canopy " + *name, CLI::AppFormatMode::Normal));
      return exit_ok;
    };
  });
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
  add_thread(app, action);
  add_lists(app, action);
  add_entity(app, action);
  add_fabric(app, action);
  add_load(app, action);
  add_export(app, action);
  add_import(app, action);
  add_recover(app, action);
  add_tune(app, action);
  add_help(app, action);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const std::vector<std::string> unknown = app.remaining();
    if (app.get_subcommands().empty() && !unknown.empty()) return complain_unknown(app, unknown.front());
    fmt::print(stderr, "canopy: {}\nHelp: canopy {}--help\n", error.what(),
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
