// canopy load FILE: a follow graph, in batches, several at a time. A batch comes back for as long as
// some of it is pending, or the fabric is busy; follows may be repeated.
#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "graph.h"
#include "json.h"
#include "load_run.h"
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

class FollowLoad final : public LoadRun<Batch> {
 public:
  FollowLoad(const Globals& globals, const LoadArgs& args, client::Client& client, LineFile& file)
      : LoadRun(globals, args, client, file, "follows"), batch_pairs_(args.batch ? args.batch : 1000) {}

 private:
  void submit_due() override {
    while (in_flight_.size() < args_.in_flight && pace_.allows() && !interrupted()) {
      Batch batch;
      if (rested()) {
        batch = take_rested();
      } else if (!ended_ && in_flight_.size() + resting_.size() < batches_open_max) {
        batch = read_batch();
        if (batch.pairs.empty()) continue;  // the end: the loop's condition or the next round sees it
      } else {
        return;
      }
      const size_t pairs = batch.pairs.size();
      client::Follow request{batch.pairs, client::milliseconds{1000}};
      submit(std::move(request), std::move(batch), pairs);
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
        ++total_;
      } else if (const auto* bad = std::get_if<BadLine>(&parsed)) {
        add_bad_line(bad->why);
      }
    }
    return batch;
  }

  void on_answer(Batch batch, client::Completion& done) override {
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
    done_ -= batch.active;
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
    done_ += answer.active - batch.active;
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

  int report() override {
    const uint64_t pending = unsettled();
    const bool whole = ended_ && pending == 0;
    if (globals_.json) {
      say(json_object({{"edges", total_}, {"active", done_}, {"pending", pending}, {"failed", failed_.count()},
                   {"bad_lines", bad_lines_.count()}, {"seconds", seconds()}, {"follows_per_s", rate()},
                   {"whole_file", ended_}, {"reasons", failed_.first()}, {"bad", bad_lines_.first()}}));
    } else {
      Table table({{"what"}, {"count", Align::right}});
      table.add({"edges", grouped(total_)});
      table.add({"active", {grouped(done_), Style::good}});
      table.add({"pending", {grouped(pending), pending ? Style::warn : Style::plain}});
      table.add({"failed", {grouped(failed_.count()), failed_.count() ? Style::bad : Style::plain}});
      if (bad_lines_.count()) table.add({"bad lines", {grouped(bad_lines_.count()), Style::bad}});
      say(table.render(globals_.out, false));
      say(fmt::format("{} follows/s, {}", grouped(static_cast<uint64_t>(rate())), duration_text(seconds())));
    }
    warn_all(note_.empty() ? "pending follows become active by themselves" : note_, "load the file again to complete it");
    if (failed_.count() || !whole) return answered_ || interrupted() ? exit_refused : exit_unreachable;
    return bad_lines_.count() || file_.failed() ? exit_usage : exit_ok;
  }

  const size_t batch_pairs_;
};

}  // namespace

int load_follows(const Globals& globals, const LoadArgs& args) { return start_load<FollowLoad>(globals, args); }

}  // namespace canopy::console
