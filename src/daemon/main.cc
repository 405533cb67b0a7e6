// canopyd: one node of a fabric.
//
// Exit status: 0 after SIGTERM or SIGINT; 1 when the machine fails; 2 when a person has to act: a wrong
// setting or option, stores that are not trusted after a power cut.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "base/planted.h"
#include "daemon/daemon.h"
#include "daemon/log.h"

namespace {

using namespace canopy;
using namespace canopy::daemon;

int failed(const Error& error) {
  std::fprintf(stderr, "canopyd: %s\n", error.message.c_str());
  return error.code == Code::bad_request ? 2 : 1;
}

int run(int argc, char** argv) {
  std::string config;
  std::vector<std::string> overrides;
  bool check_only = false;
  CLI::App app("A node of a Canopy fabric. Without --config it is a fabric of its own, on the default settings.", "canopyd");
  app.add_option("--config", config, "read the settings from this TOML file")->type_name("FILE");
  app.add_option("--set", overrides, "override a setting, such as log.level=debug; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--check-config", check_only, "check the settings, say what is wrong with them, and do no more");
  app.set_version_flag("--version", "canopyd " CANOPY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::fprintf(stderr, "canopyd: %s; see canopyd --help\n", error.what());
    return 2;
  }

  auto settings = load_settings(config, overrides, surroundings());
  if (!settings) return failed(settings.error());
  if (check_only) return 0;
  log::start(settings->log.level);
  const Signals signals;
  auto daemon = Daemon::open({std::move(*settings), config, overrides}, signals);
  if (!daemon) {
    log::err("{}", daemon.error().message);
    return daemon.error().code == Code::bad_request ? 2 : 1;
  }
  return (*daemon)->run();
}

}  // namespace

int main(int argc, char** argv) {
#ifdef CANOPY_PLANTED_BUGS
  if (const char* bug = std::getenv("CANOPY_PLANT")) canopy::plant(bug);  // for tests/process
#endif
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "canopyd: %s\n", error.what());
    return 1;
  }
}
