// canopy load: the run that its two kinds share. Batches go out, some at a time; what the fabric was too
// busy for rests and goes again.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "load.h"
#include "text.h"

namespace canopy::console {

// Batch has a member `again_at`.
template <class Batch>
class LoadRun {
 public:
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;

  int run() {
    using namespace std::chrono_literals;
    while (!interrupted() && !gave_up_) {
      submit_due();
      if (in_flight_.empty() && resting_.empty() && ended_) break;
      if (in_flight_.empty()) nap(2ms);  // for the pace, or the end of a rest
      else if (auto done = client_.poll(pace_.allows() ? 50ms : 2ms)) take(*done);
      show();
      if (Clock::now() - moved_ > args_.patience) gave_up_ = true;
    }
    progress_.clear();
    return report();
  }

 protected:
  using Clock = std::chrono::steady_clock;

  LoadRun(const Globals& globals, const LoadArgs& args, client::Client& client, LineFile& file, std::string unit)
      : globals_(globals), args_(args), client_(client), file_(file), unit_(std::move(unit)), pace_(args.rate),
        progress_(globals.err, args.quiet) {}
  ~LoadRun() = default;

  virtual void submit_due() = 0;
  virtual void on_answer(Batch batch, client::Completion& done) = 0;
  virtual int report() = 0;

  template <class Request>
  void submit(Request request, Batch batch, size_t items) {
    pace_.count(items);
    in_flight_.emplace(client_.submit(std::move(request)), std::move(batch));
  }
  void rest(Batch batch, client::milliseconds time) {
    batch.again_at = Clock::now() + time;
    resting_.insert(std::move(batch));
  }
  bool rested() const { return !resting_.empty() && resting_.begin()->again_at <= Clock::now(); }
  Batch take_rested() { return std::move(resting_.extract(resting_.begin()).value()); }
  void add_bad_line(const std::string& why) { bad_lines_.add(fmt::format("line {}: {}", file_.line_number(), why)); }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }
  double rate() const { return seconds() > 0 ? static_cast<double>(done_) / seconds() : 0; }
  uint64_t unsettled() const { return total_ - done_ - failed_.count(); }

  // What both say below their tables.
  void warn_all(const std::string& when_given_up, const std::string& when_interrupted) {
    std::fflush(stdout);
    for (const std::string& reason : bad_lines_.first()) warn(globals_, reason);
    for (const std::string& reason : failed_.first()) warn(globals_, "failed: " + reason);
    if (file_.failed()) warn(globals_, "the file could not be read to its end");
    if (gave_up_)
      warn(globals_, fmt::format("gave up after {} without progress; {}",
                                 duration_text(std::chrono::duration<double>(args_.patience).count()), when_given_up));
    if (interrupted()) warn(globals_, "interrupted; " + when_interrupted);
  }

  const Globals& globals_;
  const LoadArgs& args_;
  client::Client& client_;
  LineFile& file_;
  const std::string unit_;              // "follows", "messages"
  Pace pace_;
  uint64_t total_ = 0, done_ = 0;       // items read; items that are as they should be
  Reasons failed_, bad_lines_;
  std::string note_;                    // why it waits
  bool ended_ = false, gave_up_ = false, answered_ = false;
  Clock::time_point moved_ = Clock::now();

  struct Sooner {
    bool operator()(const Batch& a, const Batch& b) const { return a.again_at < b.again_at; }
  };
  std::map<client::Ticket, Batch> in_flight_;
  std::multiset<Batch, Sooner> resting_;

 private:
  void take(client::Completion& done) {
    auto at = in_flight_.find(done.ticket);
    if (at == in_flight_.end()) return;
    Batch batch = std::move(at->second);
    in_flight_.erase(at);
    answered_ = answered_ || done.answer || done.answer.error().from_fabric();
    on_answer(std::move(batch), done);
  }

  void show() {
    if (!progress_.due()) return;
    rate_.add(seconds(), done_);
    ProgressState state;
    state.done = done_;
    state.unit = unit_;
    state.rate = rate_.now();
    state.note = note_;
    // What is read but not settled is not done.
    const double read = ended_ ? 1 : file_.fraction();
    if (read >= 0 && total_ > 0) {
      state.fraction = read * static_cast<double>(done_ + failed_.count()) / static_cast<double>(total_);
      if (state.fraction > 0.005 && rate_.now() > 0)
        state.left_s = static_cast<double>(done_) / state.fraction * (1 - state.fraction) / rate_.now();
    }
    progress_.show(state);
  }

  Progress progress_;
  Rate rate_;
  Clock::time_point begun_ = Clock::now();
};

// Opens the file, asks whether anybody is there (better known before a long wait), and runs.
template <class Run>
int start_load(const Globals& globals, const LoadArgs& args) {
  LineFile file;
  if (const std::string error = file.open(args.file); !error.empty()) return complain_usage(error);
  client::Options options;
  options.in_flight_max = args.in_flight;
  return with_client(globals, [&](client::Client& client) {
    if (const auto info = client.ping(); !info && !info.error().from_fabric()) return complain(globals, info.error());
    return Run(globals, args, client, file).run();
  }, options);
}

}  // namespace canopy::console
