// canopy publish
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <iostream>
#include <iterator>
#include <unistd.h>

#include "args.h"
#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

constexpr size_t body_bytes_max = 16u << 20;  // no fabric takes more

struct PublishArgs {
  std::string author, body = "-", type, key;
  uint64_t reply_to = 0;
  std::vector<std::string> mentions, topics, to;
};

// Returns false when stdin holds more than a body may.
bool read_body(std::string& body) {
  char buffer[65536];
  body.clear();
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) {
    body.append(buffer, n);
    if (body.size() > body_bytes_max) return false;
  }
  return true;
}

int run_publish(const Globals& globals, PublishArgs args) {
  if (args.body == "-") {
    if (isatty(STDIN_FILENO)) fmt::print(stderr, "canopy: reading the body from the terminal; end it with Ctrl-D\n");
    if (!read_body(args.body)) return complain_usage("the body is longer than 16 MiB, which no fabric takes");
  }
  return with_client(globals, [&](client::Client& client) {
    // With a key of its own it is asked again after a lost connection, and published once all the same.
    const std::string key = args.key.empty() ? random_key("console") : args.key;
    const auto published = client.publish(
        {args.author, args.body, args.type, key, args.reply_to, args.mentions, args.topics, args.to});
    if (!published) {
      const int status = complain(globals, published.error());
      const auto code = published.error().code;
      const bool unknown = code == client::Code::unavailable || code == client::Code::timeout || code == client::Code::no_answer;
      if (unknown && args.key.empty()) warn(globals, fmt::format("it may be published all the same: ask again with --key {}", key));
      return status;
    }
    if (globals.json)
      say(json_of(*published));
    else
      say(fmt::format("{}  {}", published->id, paint(globals.out, Style::dim, local_time(published->time_ms))));
    return exit_ok;
  });
}

}  // namespace

void add_publish(CLI::App& app, Action& action) {
  auto args = std::make_shared<PublishArgs>();
  CLI::App* command = app.add_subcommand("publish", "Publish a message; prints its id when it is settled");
  command->add_option("AUTHOR", args->author, "who says it")->required();
  command->add_option("BODY", args->body, "what is said; '-' or nothing reads stdin, to its end");
  command->add_option("--type", args->type, "what kind of body it is, for its readers");
  command->add_option("--key", args->key, "a repeat with the same author and key publishes nothing new");
  command->add_option("--reply-to", args->reply_to, "the message that it replies to")->type_name("ID");
  // One name to an option: the next word may be the author's.
  const auto names = [&](const char* option, std::vector<std::string>& into, const char* about) {
    command->add_option(option, into, about)->type_name("NAME")->allow_extra_args(false)->take_all();
  };
  names("--mention", args->mentions, "whom it names; several: repeat it");
  names("--topic", args->topics, "what it is about, '#' may be left out; several: repeat it");
  names("--to", args->to, "whose home gets it, followed or not; several: repeat it");
  command->footer(R"(Examples:
  canopy publish alice "hello"
  canopy publish alice "ready, @bob?" --mention bob --topic release
  canopy publish bob "almost" --reply-to 29374283745298374
  canopy publish desk "open the door" --to door-7
  canopy publish alice --type image/png --key holiday-1 < picture.png
  date | canopy publish '#clock' -)");
  command->callback([args, &action] { action = [args](const Globals& globals) { return run_publish(globals, *args); }; });
}

}  // namespace canopy::console
