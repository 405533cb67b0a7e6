// canopy import: an entity from the JSON lines of canopy export. Line after line, in batches, one at a
// time: what was sent comes again in its order, and replies find what they reply to.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "args.h"
#include "json.h"
#include "load.h"
#include "portable.h"
#include "text.h"

namespace canopy::console {
namespace {

using namespace std::chrono_literals;
using client::Client;
using client::Message;

constexpr size_t pairs_max = 1000;        // of one request
constexpr size_t messages_max = 100;
constexpr size_t batch_bytes_max = 1 << 20;  // of bodies

struct ImportArgs {
  std::string file = "-", as;
  std::chrono::milliseconds patience{120'000};
  bool quiet = false;
};

class Import {
 public:
  Import(const Globals& globals, const ImportArgs& args, Client& client, LineFile& file)
      : globals_(globals), args_(args), client_(client), file_(file), progress_(globals.err, args.quiet) {}

  int run() {
    std::string line;
    while (!stopped() && file_.next(line)) {
      if (const std::string wrong = take(parse_export_line(line)); !wrong.empty()) {
        progress_.clear();
        return complain_usage(fmt::format("line {}: {}", file_.line_number(), wrong));
      }
      show();
    }
    flush_pairs();
    flush_messages();
    progress_.clear();
    if (entity_.empty() && !interrupted()) return complain_usage("the file is empty");
    return report();
  }

 private:
  using Clock = std::chrono::steady_clock;

  // Returns why the file cannot be used at all, or "".
  std::string take(ExportLine line) {
    if (std::holds_alternative<Blank>(line)) return {};
    const auto* header = std::get_if<ExportHeader>(&line);
    if (header && !entity_.empty()) return "a second header; one entity at a time";
    if (const auto* bad = std::get_if<BadLine>(&line); bad && entity_.empty()) return bad->why;
    if (!header && entity_.empty()) return "not the header of an export";
    std::visit([this](auto& known) { on(known); }, line);
    ++lines_;
    return {};
  }

  void on(Blank&) {}
  void on(BadLine& line) { bad_lines_.add(fmt::format("line {}: {}", file_.line_number(), line.why)); }
  void on(ExportHeader& header) {
    entity_ = header.entity;
    as_ = args_.as.empty() ? entity_ : args_.as;
  }
  void on(ExportedFollow& follow) { add_pair({as_, renamed(follow.author)}); }
  void on(ExportedFollower& follower) { add_pair({renamed(follower.name), as_}); }
  void on(ExportEnd& end) {
    ended_ = true;
    if (end.lines != lines_) bad_lines_.add(fmt::format("line {}: {} lines were written, {} are here", file_.line_number(), end.lines, lines_));
  }
  void on(ExportedEntry& exported) {
    flush_pairs();  // who follows sees what is published next
    if (exported.timeline != "sent") {
      if (exported.entry.author != entity_) ++others_[exported.timeline];  // its own comes again by its mentions, topics, …
      return;
    }
    const client::Entry& entry = exported.entry;
    const bool full = messages_.size() >= messages_max || bytes_ + entry.body.size() > batch_bytes_max;
    if (full || (entry.reply_to && in_batch(entry.reply_to))) flush_messages();
    messages_.push_back(republish(entry, as_, known_));
    old_ids_.push_back(entry.id);
    bytes_ += entry.body.size();
    if (entry.reply_to && !messages_.back().reply_to) ++orphans_;
  }

  const std::string& renamed(const std::string& name) const { return name == entity_ ? as_ : name; }
  bool in_batch(client::MessageId id) const { return std::find(old_ids_.begin(), old_ids_.end(), id) != old_ids_.end(); }

  void add_pair(client::Pair pair) {
    flush_messages();
    pairs_.push_back(std::move(pair));
    if (pairs_.size() >= pairs_max) flush_pairs();
  }

  void flush_pairs() {
    if (pairs_.empty() || stopped()) return;
    const auto answer = patiently([&] { return client_.follow_all(pairs_); });
    if (!answer) {
      on_refused(answer.error(), pairs_.size());
    } else {
      follows_ += answer->active + answer->pending;
      pending_ += answer->pending;
      for (const auto& failed : answer->failed)
        failed_.add(fmt::format("{} follows {}: {}", pairs_[failed.index].follower, pairs_[failed.index].author, reason_of(failed.error)));
    }
    pairs_.clear();
  }

  void flush_messages() {
    // Those that the fabric could not take at once are asked again, with the same keys.
    while (!messages_.empty() && !stopped()) {
      auto answer = patiently([&] { return client_.publish_all(messages_); });
      if (!answer) {
        on_refused(answer.error(), messages_.size());
        break;
      }
      std::vector<Message> again;
      std::vector<client::MessageId> again_ids;
      client::milliseconds after{100};
      for (size_t i = 0; i < messages_.size() && i < answer->results.size(); ++i) {
        const auto& result = answer->results[i];
        if (result) {
          known_[old_ids_[i]] = result->id;
          ++published_;
          moved_ = Clock::now();
        } else if (worth_another_try(result.error().code)) {
          note_ = result.error().message;
          after = std::max(after, result.error().retry_after);
          again.push_back(std::move(messages_[i]));
          again_ids.push_back(old_ids_[i]);
        } else {
          failed_.add(fmt::format("message {}: {}", old_ids_[i], reason_of(result.error())));
        }
      }
      messages_ = std::move(again);
      old_ids_ = std::move(again_ids);
      if (messages_.empty()) break;
      if (Clock::now() - moved_ > args_.patience) gave_up_ = true;
      nap(after);
      show();
    }
    messages_.clear();
    old_ids_.clear();
    bytes_ = 0;
  }

  // Asks again while it helps, until the patience ends.
  template <class Ask>
  std::invoke_result_t<Ask> patiently(Ask ask) {
    for (;;) {
      auto answer = ask();
      if (answer) moved_ = Clock::now();
      if (answer || !worth_another_try(answer.error().code)) return answer;
      note_ = answer.error().message;
      if (interrupted() || Clock::now() - moved_ > args_.patience) return answer;
      nap(std::max<client::milliseconds>(answer.error().retry_after, 250ms));
      show();
    }
  }
  void on_refused(const client::Error& error, size_t count) {
    if (interrupted()) return;
    failed_.add(reason_of(error), count);
    if (worth_another_try(error.code)) gave_up_ = true;
  }

  bool stopped() const { return interrupted() || gave_up_; }

  void show() {
    if (!progress_.due()) return;
    rate_.add(seconds(), lines_);
    ProgressState state;
    state.fraction = file_.fraction();
    state.done = lines_;
    state.unit = "lines";
    state.rate = rate_.now();
    state.note = Clock::now() - moved_ > 1s ? note_ : "";
    progress_.show(state);
  }
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }

  uint64_t others() const {
    uint64_t all = 0;
    for (const auto& [timeline, count] : others_) all += count;
    return all;
  }

  int report() {
    say_counts();
    std::fflush(stdout);
    for (const std::string& reason : bad_lines_.first()) warn(globals_, reason);
    for (const std::string& reason : failed_.first()) warn(globals_, "failed: " + reason);
    warn_of_losses();
    if (file_.failed()) warn(globals_, "the file could not be read to its end");
    if (gave_up_)
      warn(globals_, fmt::format("gave up after {} without progress: {}",
                                 duration_text(std::chrono::duration<double>(args_.patience).count()), note_));
    if (interrupted())
      warn(globals_, "interrupted; importing the file again goes on");
    else if (!ended_ && !gave_up_)
      warn(globals_, "the file was cut short: its last line is missing");
    if (failed_.count() || stopped()) return exit_refused;
    return bad_lines_.count() || file_.failed() || !ended_ ? exit_usage : exit_ok;
  }

  void say_counts() const {
    if (globals_.json)
      return say(json_object({{"entity", entity_}, {"as", as_}, {"follows", follows_}, {"pending", pending_},
                              {"published", published_}, {"replies_to_nothing", orphans_}, {"not_restored", others()},
                              {"failed", failed_.count()}, {"bad_lines", bad_lines_.count()}, {"whole_file", ended_},
                              {"seconds", seconds()}, {"reasons", failed_.first()}, {"bad", bad_lines_.first()}}));
    Table table({{"what"}, {"count", Align::right}});
    table.add({"follows", {grouped(follows_), Style::good}});
    if (pending_) table.add({"of them pending", {grouped(pending_), Style::warn}});
    table.add({"published", {grouped(published_), Style::good}});
    table.add({"failed", {grouped(failed_.count()), failed_.count() ? Style::bad : Style::plain}});
    if (bad_lines_.count()) table.add({"bad lines", {grouped(bad_lines_.count()), Style::bad}});
    for (const auto& [timeline, count] : others_) table.add({"not restored: " + timeline, grouped(count)});
    say(table.render(globals_.out, false));
  }

  // What an import cannot bring back.
  void warn_of_losses() const {
    if (published_ && !globals_.json) remark(globals_, "what was published again has new ids and times");
    if (orphans_)
      warn(globals_, fmt::format("{} what is not in the file: without reply_to",
                                 counted(orphans_, "message replies to", "messages reply to")));
    if (others())
      warn(globals_, fmt::format("{} of other authors: only they can publish them again",
                                 counted(others(), "entry is a message", "entries are messages")));
  }

  const Globals& globals_;
  const ImportArgs& args_;
  Client& client_;
  LineFile& file_;
  Progress progress_;
  Rate rate_;
  std::string entity_, as_, note_;
  std::vector<client::Pair> pairs_;
  std::vector<Message> messages_;            // to be published next,
  std::vector<client::MessageId> old_ids_;   // and what they were called
  size_t bytes_ = 0;
  Republished known_;
  uint64_t lines_ = 0, follows_ = 0, pending_ = 0, published_ = 0, orphans_ = 0;
  std::map<std::string, uint64_t> others_;   // entries by timeline
  Reasons failed_, bad_lines_;
  bool ended_ = false, gave_up_ = false;
  Clock::time_point begun_ = Clock::now(), moved_ = begun_;
};

int run_import(const Globals& globals, const ImportArgs& args) {
  LineFile file;
  if (const std::string error = file.open(args.file); !error.empty()) return complain_usage(error);
  arm_interrupt();
  return with_client(globals, [&](Client& client) {
    if (const auto info = client.ping(); !info && !info.error().from_fabric()) return complain(globals, info.error());
    return Import(globals, args, client, file).run();
  });
}

}  // namespace

void add_import(CLI::App& app, Action& action) {
  auto args = std::make_shared<ImportArgs>();
  auto patience = std::make_shared<std::string>("2m");
  CLI::App* command = app.add_subcommand("import", "Make an entity from what canopy export wrote");
  command->add_option("FILE", args->file, "where from; '-' or nothing: stdin");
  command->add_option("--as", args->as, "under another name")->type_name("NAME");
  command->add_option("--patience", *patience, "give up after so long without progress")->type_name("TIME")->capture_default_str();
  command->add_flag("--quiet", args->quiet, "no progress");
  command->footer(R"(Examples:
  canopy import alice.jsonl
  zcat alice.jsonl.gz | canopy import --as alice2
  canopy export alice | canopy import -e tcp://10.0.0.2:7700

Makes its follows and its followers' follows, and publishes again what it sent, in order, with new ids
and times; a reply finds what it replies to when that is in the file. Messages in its other lists are
other authors': they are counted, and left to these.

Each message has a key of its old id: repeating an import publishes nothing twice, as long as the
fabric remembers the keys (an hour, or the newest 100,000).)");
  command->callback([=, &action] {
    action = [=](const Globals& globals) {
      const auto parsed = parse_duration(*patience);
      if (!parsed || parsed->count() <= 0) return complain_usage(fmt::format("--patience '{}': give a time like 30s or 5m", *patience));
      args->patience = *parsed;
      return run_import(globals, *args);
    };
  });
}

}  // namespace canopy::console
