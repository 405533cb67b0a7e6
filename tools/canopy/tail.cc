// canopy tail: a timeline as it grows. Each READ asks for what comes after the last entry shown and
// waits for it, so nothing is lost and nothing comes twice, whatever happens to the connection.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <thread>

#include "args.h"
#include "entries.h"
#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

using namespace std::chrono_literals;
using client::Page;
using client::Result;

constexpr client::milliseconds long_poll = 20s;
constexpr client::milliseconds look_round = 500ms;  // so late a signal may be seen that came between two waits

struct TailArgs {
  std::string entity, timeline = "home";
  uint32_t lines = 10;
  std::optional<uint64_t> after;
  uint64_t count = 0;
};

class Tail {
 public:
  Tail(const Globals& globals, const TailArgs& args, client::Client& client)
      : globals_(globals), args_(args), client_(client), last_(args.after.value_or(0)) {
    parse_timeline(args.timeline, timeline_);
  }

  int run() {
    if (!args_.after) {
      std::optional<Result<Page>> first = ask({args_.entity, timeline_, std::max(args_.lines, 1u), {}, {}, 0ms, false, {}});
      if (!first) return exit_ok;
      if (!*first) return complain(globals_, first->error());
      begin(std::move(**first));
    }
    while (!interrupted() && !enough()) {
      std::optional<Result<Page>> page = ask({args_.entity, timeline_, 1000, {}, last_, long_poll, false, {}});
      if (!page) break;
      if (!*page) {
        if (!worth_waiting(page->error())) return complain(globals_, page->error());
        rest(page->error());
        continue;
      }
      if (resting_) warn(globals_, "going on");
      resting_ = false;
      show(**page);
    }
    return exit_ok;
  }

 private:
  // Returns none when a signal came first.
  std::optional<Result<Page>> ask(client::Read read) {
    client_.submit(std::move(read));
    while (!interrupted()) {
      std::optional<client::Completion> done = client_.poll(look_round);
      if (!done) continue;
      if (!done->answer) return Result<Page>(done->answer.error());
      return Result<Page>(std::get<Page>(std::move(*done->answer)));
    }
    return std::nullopt;
  }

  void begin(Page page) {
    if (page.entries.empty()) return;
    last_ = page.entries.front().position;
    if (args_.lines == 0) return;
    std::reverse(page.entries.begin(), page.entries.end());
    page.truncated = false;  // older than what was asked for
    show(page);
  }

  void show(const Page& page) {
    if (page.truncated) warn(globals_, "entries have left this timeline before they could be shown");
    for (const client::Entry& entry : page.entries) {
      last_ = std::max(last_, entry.position);
      say(globals_.json ? json_of(entry) : entry_line(entry, globals_.out));
      ++shown_;
      if (enough()) break;
    }
    std::fflush(stdout);
  }

  bool enough() const { return args_.count > 0 && shown_ >= args_.count; }

  static bool worth_waiting(const client::Error& error) {
    using client::Code;
    return error.code == Code::busy || error.code == Code::unavailable || error.code == Code::timeout ||
           error.code == Code::unreachable || error.code == Code::no_answer;
  }

  void rest(const client::Error& error) {
    if (!resting_) warn(globals_, error.from_fabric() ? fmt::format("{}; waiting", error.message) : "no answer from the fabric; waiting for it");
    resting_ = true;
    const auto until = std::chrono::steady_clock::now() + std::max(error.retry_after, 500ms);
    while (!interrupted() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(50ms);
  }

  const Globals& globals_;
  const TailArgs& args_;
  client::Client& client_;
  client::Timeline timeline_ = client::Timeline::home;
  client::Position last_;
  uint64_t shown_ = 0;
  bool resting_ = false;
};

}  // namespace

void add_tail(CLI::App& app, Action& action) {
  auto args = std::make_shared<TailArgs>();
  CLI::App* command = app.add_subcommand("tail", "Show a timeline as it grows, oldest first, until Ctrl-C");
  command->add_option("ENTITY", args->entity, "whose")->required();
  command->add_option("--timeline", args->timeline, timelines_help)
      ->check(CLI::IsMember(timeline_names()))
      ->capture_default_str();
  auto* lines = command->add_option("-n,--lines", args->lines, "how many earlier entries to begin with")
                    ->check(CLI::Range(0u, 1000u))
                    ->capture_default_str();
  command->add_option("--after", args->after, "begin after this position; 0: at the oldest")->excludes(lines);
  command->add_option("--count", args->count, "end after so many entries; 0 goes on");
  command->footer(R"(Examples:
  canopy tail bob
  canopy tail '#news' --timeline topic -n 0
  canopy tail bob --timeline mentions
  canopy tail bob --json --after 0 | while read -r entry; do …; done

Complete: what was published while the connection was away comes when it is back.)");
  command->callback([args, &action] {
    action = [args](const Globals& globals) {
      arm_interrupt();
      return with_client(globals, [&](client::Client& client) { return Tail(globals, *args, client).run(); });
    };
  });
}

}  // namespace canopy::console
