// What every command shares: the global options, the terminal, how it ends.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "canopy/client.h"
#include "table.h"

namespace CLI {
class App;
}

namespace canopy::console {

// Exit statuses.
constexpr int exit_ok = 0;
constexpr int exit_refused = 1;      // the fabric answered with an error
constexpr int exit_usage = 2;        // the command line, or a file that it names, is wrong
constexpr int exit_unreachable = 3;  // no answer from any node

struct Globals {
  std::vector<std::string> endpoints;
  bool json = false;
  std::chrono::milliseconds timeout{10'000};
  Terminal out, err;
};

// What the command line asked for; set while it is parsed, run after it.
using Action = std::function<int(const Globals&)>;

// Each adds its commands to the console.
void add_publish(CLI::App& app, Action& action);  // publish
void add_follow(CLI::App& app, Action& action);   // follow unfollow followers following
void add_read(CLI::App& app, Action& action);     // read get
void add_tail(CLI::App& app, Action& action);     // tail
void add_thread(CLI::App& app, Action& action);   // thread retract
void add_lists(CLI::App& app, Action& action);    // mark retain
void add_entity(CLI::App& app, Action& action);   // alias forward delete
void add_export(CLI::App& app, Action& action);   // export
void add_import(CLI::App& app, Action& action);   // import
void add_fabric(CLI::App& app, Action& action);   // lookup map nodes tree status
void add_load(CLI::App& app, Action& action);     // load
void add_recover(CLI::App& app, Action& action);  // recover
void add_tune(CLI::App& app, Action& action);     // tune

// Returns the terminal behind a stream: colours only on a terminal, without NO_COLOR and TERM=dumb.
Terminal terminal_of(int fd);

// Connects and runs; or says why not and returns the exit status.
int with_client(const Globals& globals, const std::function<int(client::Client&)>& run,
                client::Options options = {});

// Says on stderr what went wrong and what to do about it; returns the exit status.
int complain(const Globals& globals, const client::Error& error);
int complain_usage(const std::string& message);

// Returns a PUBLISH key that nobody has used: "<what>-" and 16 hexadecimal digits.
std::string random_key(const std::string& what);
void warn(const Globals& globals, const std::string& message);  // on stderr; the command goes on
void remark(const Globals& globals, const std::string& message);  // on stderr, when that is a terminal: not an answer

// Writes one line, or a text with its line end, to stdout.
void say(const std::string& text);

// Ctrl-C asks a command to end by itself, once it was armed; a second one ends the process.
void arm_interrupt();
bool interrupted();

}  // namespace canopy::console
