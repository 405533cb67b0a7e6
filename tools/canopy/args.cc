#include "args.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <random>
#include <sys/ioctl.h>
#include <unistd.h>

#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

volatile std::sig_atomic_t interrupt_seen = 0;

void on_interrupt(int signal) {
  interrupt_seen = 1;
  std::signal(signal, SIG_DFL);
}

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value && *value;
}

std::string hint_for(const client::Error& error) {
  if (error.code == client::Code::unreachable) return "is canopyd running there? Another node: --endpoint, or CANOPY_ENDPOINT";
  if (error.code == client::Code::no_answer) return "a longer wait: --timeout";
  if (error.retry_after.count() > 0)
    return fmt::format("try again in {}", duration_text(static_cast<double>(error.retry_after.count()) / 1000));
  return {};
}

}  // namespace

Terminal terminal_of(int fd) {
  Terminal terminal;
  terminal.tty = isatty(fd) == 1;
  const char* term = std::getenv("TERM");
  terminal.colour = terminal.tty && !is_set("NO_COLOR") && !(term && std::strcmp(term, "dumb") == 0);
  winsize size{};
  if (terminal.tty && ioctl(fd, TIOCGWINSZ, &size) == 0) terminal.width = size.ws_col;
  return terminal;
}

int with_client(const Globals& globals, const std::function<int(client::Client&)>& run, client::Options options) {
  options.endpoints = globals.endpoints;
  options.timeout = globals.timeout;
  client::Result<client::Client> client = client::Client::connect(std::move(options));
  if (!client) return complain_usage(client.error().message);
  return run(*client);
}

int complain(const Globals& globals, const client::Error& error) {
  std::fflush(stdout);
  if (globals.json) {
    fmt::print(stderr, "{}\n", json_of(error));
  } else {
    const std::string hint = hint_for(error);
    fmt::print(stderr, "{} {}{}\n", paint(globals.err, Style::bad, "canopy:"),
               error.from_fabric() ? fmt::format("{}: {}", name_of(error.code), printable(error.message))
                                   : printable(error.message),
               hint.empty() ? "" : fmt::format(" ({})", hint));
  }
  return error.from_fabric() ? exit_refused : exit_unreachable;
}

std::string random_key(const std::string& what) {
  std::random_device device;
  return fmt::format("{}-{:08x}{:08x}", what, device(), device());
}

int complain_usage(const std::string& message) {
  std::fflush(stdout);
  fmt::print(stderr, "canopy: {}\n", printable(message));
  return exit_usage;
}

void warn(const Globals& globals, const std::string& message) {
  std::fflush(stdout);
  fmt::print(stderr, "{} {}\n", paint(globals.err, Style::warn, "canopy:"), printable(message));
}

void remark(const Globals& globals, const std::string& message) {
  if (!globals.err.tty) return;
  std::fflush(stdout);
  fmt::print(stderr, "{}\n", paint(globals.err, Style::dim, printable(message)));
}

void say(const std::string& text) {
  fmt::print("{}{}", text, !text.empty() && text.back() == '\n' ? "" : "\n");
}

void arm_interrupt() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;  // without SA_RESTART: a wait ends at once
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return interrupt_seen != 0; }

}  // namespace canopy::console
