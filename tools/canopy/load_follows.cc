// canopy load FILE: a follow graph, in batches, several at a time. A batch comes back for as long as
// some of it is pending, or the fabric is busy; follows may be repeated.
#include <algorithm>
#include <deque>
#include <fmt/format.h>
#include <set>

#include "graph.h"
#include "json.h"
#include "load.h"
#include "text.h"

namespace canopy::console {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using client::Error;
using client::FollowAnswer;

constexpr size_t batches_open_max = 200;           // unsettled, so that memory has a bound
constexpr client::milliseconds pending_again{500}; // after so long a pending batch is asked again

struct Batch {
  std::vector<client::Pair> pairs;
  uint64_t active = 0;        // of `pairs`, at the last answer
  Clock::time_point again_at; // while it rests
};

class FollowLoad {
 public:
  FollowLoad(const Globals& globals, const LoadArgs& args, client::Client& client, LineFile& file)
      : globals_(globals), args_(args), client_(client), file_(file), pace_(args.rate), progress_(globals.err, args.quiet) {
    batch_pairs_ = args.batch ? args.batch : 1000;
  }

  int run() {
    while (!interrupted() && !gave_up_) {
      submit_due();
      if (in_flight_.empty() && resting_.empty() && ended_) break;
      if (in_flight_.empty()) nap(5ms);  // for the pace, or the end of a rest
      else if (auto done = client_.poll(pace_.allows() ? 50ms : 5ms)) on_answer(*done);
      show();
      if (Clock::now() - moved_ > args_.patience) gave_up_ = true;
    }
    progress_.clear();
    return report();
  }

 private:
  void submit_due() {
    while (in_flight_.size() < args_.in_flight && pace_.allows() && !interrupted()) {
      Batch batch;
      if (!resting_.empty() && resting_.begin()->again_at <= Clock::now()) {
        batch = std::move(resting_.extract(resting_.begin()).value());
      } else if (!ended_ && in_flight_.size() + resting_.size() < batches_open_max) {
        batch = read_batch();
        if (batch.pairs.empty()) continue;  // the end: the loop's condition or the next round sees it
      } else {
        return;
      }
      pace_.count(batch.pairs.size());
      in_flight_.emplace(client_.submit(client::Follow{batch.pairs, client::milliseconds{1000}}), std::move(batch));
    }
  }

  Batch read_batch() {
    Batch batch;
    std::string line;
    while (batch.pairs.size() < batch_pairs_) {
      if (!file_.next(line)) {
        ended_ = true;
        break;
      }
      auto parsed = parse_graph_line(line);
      if (auto* pair = std::get_if<client::Pair>(&parsed)) {
        batch.pairs.push_back(std::move(*pair));
        ++edges_;
      } else if (const auto* bad = std::get_if<BadLine>(&parsed)) {
        bad_lines_.add(fmt::format("line {}: {}", file_.line_number(), bad->why));
      }
    }
    return batch;
  }

  void on_answer(client::Completion& done) {
    auto at = in_flight_.find(done.ticket);
    if (at == in_flight_.end()) return;
    Batch batch = std::move(at->second);
    in_flight_.erase(at);
    answered_ = answered_ || done.answer || done.answer.error().from_fabric();
    if (!done.answer) return on_error(std::move(batch), done.answer.error());
    on_follow(std::move(batch), std::get<FollowAnswer>(*done.answer));
  }

  void on_error(Batch batch, const Error& error) {
    if (worth_another_try(error.code)) {
      note_ = fmt::format("waiting: {}", error.message);
      return rest(std::move(batch), std::max<client::milliseconds>(error.retry_after, 250ms));
    }
    moved_ = Clock::now();
    failed_.add(reason_of(error), batch.pairs.size());
    active_ -= batch.active;
  }

  void on_follow(Batch batch, const FollowAnswer& answer) {
    std::set<size_t> gone;  // failed for good
    size_t again = 0;
    client::milliseconds after = 0ms;
    for (const client::FailedPair& failed : answer.failed) {
      if (failed.index >= batch.pairs.size()) continue;
      if (worth_another_try(failed.error.code)) {
        ++again;
        after = std::max(after, failed.error.retry_after);
        continue;
      }
      const client::Pair& pair = batch.pairs[failed.index];
      failed_.add(fmt::format("{} → {}: {}", pair.follower, pair.author, reason_of(failed.error)));
      gone.insert(failed.index);
    }
    if (answer.active > batch.active || !gone.empty()) moved_ = Clock::now();
    active_ += answer.active - batch.active;
    batch.active = answer.active;
    if (answer.pending == 0 && again == 0) {
      note_.clear();
      return;
    }
    if (again > 0) note_ = "waiting: a part of the fabric is busy";
    if (!gone.empty()) drop(batch.pairs, gone);
    rest(std::move(batch), std::max(after, pending_again));
  }

  static void drop(std::vector<client::Pair>& pairs, const std::set<size_t>& gone) {
    std::vector<client::Pair> kept;
    for (size_t i = 0; i < pairs.size(); ++i)
      if (!gone.count(i)) kept.push_back(std::move(pairs[i]));
    pairs = std::move(kept);
  }

  void rest(Batch batch, client::milliseconds time) {
    batch.again_at = Clock::now() + time;
    resting_.insert(std::move(batch));
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }
  uint64_t pending() const { return edges_ - active_ - failed_.count(); }

  void show() {
    if (!progress_.due()) return;
    rate_.add(seconds(), active_);
    ProgressState state;
    state.done = active_;
    state.unit = "follows";
    state.rate = rate_.now();
    state.note = note_;
    // What is read but not settled is not done.
    const double read = ended_ ? 1 : file_.fraction();
    if (read >= 0 && edges_ > 0) {
      state.fraction = read * static_cast<double>(active_ + failed_.count()) / static_cast<double>(edges_);
      if (state.fraction > 0.005 && rate_.now() > 0)
        state.left_s = static_cast<double>(active_) / state.fraction * (1 - state.fraction) / rate_.now();
    }
    progress_.show(state);
  }

  int report() {
    const double took = seconds();
    const double rate = took > 0 ? static_cast<double>(active_) / took : 0;
    const bool whole = ended_ && pending() == 0;
    if (globals_.json) {
      say(json_object({{"edges", edges_}, {"active", active_}, {"pending", pending()}, {"failed", failed_.count()},
                   {"bad_lines", bad_lines_.count()}, {"seconds", took}, {"follows_per_s", rate},
                   {"whole_file", ended_}, {"reasons", failed_.first()}, {"bad", bad_lines_.first()}}));
    } else {
      Table table({{"what"}, {"count", Align::right}});
      table.add({"edges", grouped(edges_)});
      table.add({"active", {grouped(active_), Style::good}});
      table.add({"pending", {grouped(pending()), pending() ? Style::warn : Style::plain}});
      table.add({"failed", {grouped(failed_.count()), failed_.count() ? Style::bad : Style::plain}});
      if (bad_lines_.count()) table.add({"bad lines", {grouped(bad_lines_.count()), Style::bad}});
      say(table.render(globals_.out, false));
      say(fmt::format("{} follows/s, {}", grouped(static_cast<uint64_t>(rate)), duration_text(took)));
    }
    std::fflush(stdout);
    for (const std::string& reason : bad_lines_.first()) warn(globals_, reason);
    for (const std::string& reason : failed_.first()) warn(globals_, "failed: " + reason);
    if (file_.failed()) warn(globals_, "the file could not be read to its end");
    if (!whole && gave_up_) warn(globals_, fmt::format("gave up after {} without progress; {}",
                                                       duration_text(std::chrono::duration<double>(args_.patience).count()),
                                                       note_.empty() ? "pending follows become active by themselves" : note_));
    if (!whole && interrupted()) warn(globals_, "interrupted; load the file again to complete it");
    if (failed_.count() || !whole) return answered_ || interrupted() ? exit_refused : exit_unreachable;
    return bad_lines_.count() || file_.failed() ? exit_usage : exit_ok;
  }

  const Globals& globals_;
  const LoadArgs& args_;
  client::Client& client_;
  LineFile& file_;
  Pace pace_;
  Progress progress_;
  Rate rate_;

  struct Sooner {
    bool operator()(const Batch& a, const Batch& b) const { return a.again_at < b.again_at; }
  };
  std::map<client::Ticket, Batch> in_flight_;
  std::multiset<Batch, Sooner> resting_;
  size_t batch_pairs_ = 1000;
  uint64_t edges_ = 0, active_ = 0;
  Reasons failed_, bad_lines_;
  std::string note_;
  bool ended_ = false, gave_up_ = false, answered_ = false;
  Clock::time_point begun_ = Clock::now(), moved_ = Clock::now();
};

}  // namespace

int load_follows(const Globals& globals, const LoadArgs& args) {
  LineFile file;
  if (const std::string error = file.open(args.file); !error.empty()) return complain_usage(error);
  client::Options options;
  options.in_flight_max = args.in_flight;
  return with_client(globals, [&](client::Client& client) {
    // Whether anybody is there is better known before a long wait.
    if (const auto info = client.ping(); !info && !info.error().from_fabric()) return complain(globals, info.error());
    return FollowLoad(globals, args, client, file).run();
  }, options);
}

}  // namespace canopy::console
