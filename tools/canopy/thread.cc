// canopy thread, retract: a message, and what came of it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "args.h"
#include "json.h"
#include "text.h"
#include "thread_picture.h"

namespace canopy::console {
namespace {

using client::Client;
using client::Thread;

constexpr size_t shown_max = 1000;  // messages of one picture

struct ThreadArgs {
  uint64_t id = 0;
  uint32_t limit = 50, depth = 4;
  client::Position after = 0;
};

// Asks for the replies to the replies, level by level, the requests of a level side by side.
class Conversation {
 public:
  Conversation(Client& client, const ThreadArgs& args) : client_(client), args_(args) {}

  // Returns the error that ends the command. A reply that went meanwhile stands without replies.
  std::optional<client::Error> fill(ThreadNode& top) {
    std::vector<ThreadNode*> level = below(top);
    for (uint32_t depth = 1; depth < args_.depth && !level.empty() && asked_all_; ++depth) {
      if (auto error = ask(level)) return error;
      std::vector<ThreadNode*> next;
      for (ThreadNode* node : level)
        for (ThreadNode* reply : below(*node)) next.push_back(reply);
      level = std::move(next);
    }
    asked_all_ = asked_all_ && level.empty();
    return std::nullopt;
  }
  // Whether every message in the picture was asked for its replies.
  bool asked_all() const { return asked_all_; }

  static ThreadNode node_of(Thread thread) {
    ThreadNode node{std::move(thread.message), {}, thread.next.value_or(0)};
    for (client::Entry& reply : thread.replies) node.replies.push_back({std::move(reply), {}, 0});
    return node;
  }

 private:
  static std::vector<ThreadNode*> below(ThreadNode& node) {
    std::vector<ThreadNode*> nodes;
    for (ThreadNode& reply : node.replies) nodes.push_back(&reply);
    return nodes;
  }

  std::optional<client::Error> ask(const std::vector<ThreadNode*>& level) {
    std::map<client::Ticket, ThreadNode*> asked;
    for (ThreadNode* node : level) {
      if (shown_ + asked.size() >= shown_max) {
        asked_all_ = false;
        break;
      }
      asked.emplace(client_.submit(client::GetThread{node->entry.id, args_.limit, 0}), node);
    }
    std::optional<client::Error> failed;
    while (client_.pending() > 0) {
      auto done = client_.poll(std::chrono::seconds(1));
      if (!done) continue;
      if (done->answer) {
        *asked.at(done->ticket) = node_of(std::get<Thread>(std::move(*done->answer)));
        shown_ += asked.at(done->ticket)->replies.size();
      } else if (done->answer.error().code != client::Code::not_found) {
        failed = done->answer.error();
      }
    }
    return failed;
  }

  Client& client_;
  const ThreadArgs& args_;
  size_t shown_ = 0;
  bool asked_all_ = true;
};

int run_thread(const Globals& globals, const ThreadArgs& args) {
  return with_client(globals, [&](Client& client) {
    auto thread = client.thread(args.id, args.limit, args.after);
    if (!thread) return complain(globals, thread.error());
    if (globals.json) {
      say(json_of(*thread));
      return exit_ok;
    }
    const std::optional<client::Entry> parent = std::move(thread->parent);
    ThreadNode top = Conversation::node_of(std::move(*thread));
    Conversation conversation(client, args);
    if (const auto error = conversation.fill(top)) return complain(globals, *error);
    say(thread_picture(top, parent ? &*parent : nullptr, globals.out));
    if (!conversation.asked_all()) remark(globals, "the lowest lines may have replies of their own: --depth, or thread of one of them");
    return exit_ok;
  });
}

int run_retract(const Globals& globals, const std::string& author, uint64_t id) {
  return with_client(globals, [&](Client& client) {
    const auto retracted = client.retract(author, id);
    if (!retracted) return complain(globals, retracted.error());
    say(globals.json ? json_object({{"retracted", true}}) : fmt::format("{} is retracted", id));
    return exit_ok;
  });
}

}  // namespace

void add_thread(CLI::App& app, Action& action) {
  auto args = std::make_shared<ThreadArgs>();
  CLI::App* thread = app.add_subcommand("thread", "Draw a conversation: a message, what it replies to, the replies");
  thread->add_option("ID", args->id, "the message's id, as publish printed it")->required();
  thread->add_option("-n,--limit", args->limit, "how many replies to each message at most")->check(CLI::Range(1u, 1000u))->capture_default_str();
  thread->add_option("--after", args->after, "go on after this position of the replies");
  thread->add_option("--depth", args->depth, "levels of replies")->check(CLI::Range(1u, 100u))->capture_default_str();
  thread->footer(R"(Examples:
  canopy thread 29374283745298374
  canopy thread 29374283745298374 --depth 1 -n 1000
  canopy thread 29374283745298374 --json | jq -r '.replies[].author'

With --json it is one level: the message, its parent and a page of the replies, oldest first.)");
  thread->callback([args, &action] { action = [args](const Globals& globals) { return run_thread(globals, *args); }; });

  auto author = std::make_shared<std::string>();
  auto id = std::make_shared<uint64_t>(0);
  CLI::App* retract = app.add_subcommand("retract", "Take a message back, out of every list that it reached");
  retract->add_option("AUTHOR", *author, "who said it; nobody else can take it back")->required();
  retract->add_option("ID", *id, "the message's id, as publish printed it")->required();
  retract->footer(R"(Example:
  canopy retract alice 29374283745298374

The author's own list lacks it at once, the others' when the retraction has arrived there.)");
  retract->callback([=, &action] { action = [=](const Globals& globals) { return run_retract(globals, *author, *id); }; });
}

}  // namespace canopy::console
