// canopy load --publish FILE: messages, in batches, several at a time. Each has a key of this run
// and its line, so that a batch may be asked again without being published twice.
#include <algorithm>
#include <fmt/format.h>
#include <random>
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
using client::Message;
using client::PublishAnswer;

constexpr size_t batch_bytes_max = 1 << 20;  // of bodies; a request's arguments have a bound

struct Batch {
  std::vector<Message> messages;
  Clock::time_point again_at;
};

std::string run_key() {
  std::random_device device;
  return fmt::format("load-{:08x}{:08x}", device(), device());
}

class MessageLoad {
 public:
  MessageLoad(const Globals& globals, const LoadArgs& args, client::Client& client, LineFile& file)
      : globals_(globals), args_(args), client_(client), file_(file), pace_(args.rate), progress_(globals.err, args.quiet), key_(run_key()) {
    batch_messages_ = args.batch ? args.batch : args.rate > 0 ? std::clamp<size_t>(static_cast<size_t>(args.rate / 20), 1, 100) : 100;
  }

  int run() {
    while (!interrupted() && !gave_up_) {
      submit_due();
      if (in_flight_.empty() && resting_.empty() && ended_) break;
      if (in_flight_.empty()) nap(2ms);  // for the pace, or the end of a rest
      else if (auto done = client_.poll(pace_.allows() ? 50ms : 2ms)) on_answer(*done);
      show();
      if (Clock::now() - moved_ > args_.patience) gave_up_ = true;
    }
    progress_.clear();
    return report();
  }

 private:
  void submit_due() {
    while (in_flight_.size() < args_.in_flight && pace_.allows()) {
      Batch batch;
      if (!resting_.empty()) {  // in order: while some wait, no new ones go
        if (resting_.begin()->again_at > Clock::now()) return;
        batch = std::move(resting_.extract(resting_.begin()).value());
      } else if (!ended_) {
        batch = read_batch();
        if (batch.messages.empty()) continue;
      } else {
        return;
      }
      pace_.count(batch.messages.size());
      in_flight_.emplace(client_.submit(client::Publish{batch.messages}), std::move(batch));
    }
  }

  Batch read_batch() {
    Batch batch;
    std::string line;
    size_t bytes = 0;
    while (batch.messages.size() < batch_messages_ && bytes < batch_bytes_max) {
      if (!file_.next(line)) {
        ended_ = true;
        break;
      }
      auto parsed = parse_message_line(line);
      if (auto* message = std::get_if<Message>(&parsed)) {
        message->key = fmt::format("{}-{}", key_, file_.line_number());
        bytes += message->body.size();
        batch.messages.push_back(std::move(*message));
        ++messages_;
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
    Batch again;
    client::milliseconds after{250};
    if (!done.answer) {
      for (Message& message : batch.messages) on_error(std::move(message), done.answer.error(), again, after);
    } else {
      auto& results = std::get<PublishAnswer>(*done.answer).results;
      for (size_t i = 0; i < batch.messages.size() && i < results.size(); ++i) {
        if (results[i]) {
          ++published_;
          moved_ = Clock::now();
        } else {
          on_error(std::move(batch.messages[i]), results[i].error(), again, after);
        }
      }
    }
    if (again.messages.empty()) return note_.clear();
    again.again_at = Clock::now() + after;
    resting_.insert(std::move(again));
  }

  void on_error(Message message, const Error& error, Batch& again, client::milliseconds& after) {
    if (worth_another_try(error.code)) {
      note_ = "waiting: " + error.message;
      after = std::max(after, error.retry_after);
      again.messages.push_back(std::move(message));
      return;
    }
    moved_ = Clock::now();
    const size_t dash = message.key.rfind('-');
    failed_.add(fmt::format("line {}: {}", message.key.substr(dash + 1), reason_of(error)));
  }

  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }

  void show() {
    if (!progress_.due()) return;
    rate_.add(seconds(), published_);
    ProgressState state;
    state.done = published_;
    state.unit = "messages";
    state.rate = rate_.now();
    state.note = note_;
    const double read = ended_ ? 1 : file_.fraction();
    if (read >= 0 && messages_ > 0) {
      state.fraction = read * static_cast<double>(published_ + failed_.count()) / static_cast<double>(messages_);
      if (state.fraction > 0.005 && rate_.now() > 0)
        state.left_s = static_cast<double>(published_) / state.fraction * (1 - state.fraction) / rate_.now();
    }
    progress_.show(state);
  }

  int report() {
    const double took = seconds();
    const double rate = took > 0 ? static_cast<double>(published_) / took : 0;
    const uint64_t unsettled = messages_ - published_ - failed_.count();
    if (globals_.json) {
      say(json_object({{"messages", messages_}, {"published", published_}, {"unsettled", unsettled}, {"failed", failed_.count()},
                   {"bad_lines", bad_lines_.count()}, {"seconds", took}, {"messages_per_s", rate},
                   {"whole_file", ended_}, {"reasons", failed_.first()}, {"bad", bad_lines_.first()}}));
    } else {
      Table table({{"what"}, {"count", Align::right}});
      table.add({"messages", grouped(messages_)});
      table.add({"published", {grouped(published_), Style::good}});
      if (unsettled) table.add({"unsettled", {grouped(unsettled), Style::warn}});
      table.add({"failed", {grouped(failed_.count()), failed_.count() ? Style::bad : Style::plain}});
      if (bad_lines_.count()) table.add({"bad lines", {grouped(bad_lines_.count()), Style::bad}});
      say(table.render(globals_.out, false));
      say(fmt::format("{} messages/s, {}", grouped(static_cast<uint64_t>(rate)), duration_text(took)));
    }
    std::fflush(stdout);
    for (const std::string& reason : bad_lines_.first()) warn(globals_, reason);
    for (const std::string& reason : failed_.first()) warn(globals_, "failed: " + reason);
    if (file_.failed()) warn(globals_, "the file could not be read to its end");
    if (gave_up_) warn(globals_, fmt::format("gave up after {} without progress; {}",
                                             duration_text(std::chrono::duration<double>(args_.patience).count()), note_));
    if (interrupted()) warn(globals_, "interrupted; loading the file again would publish it again from its beginning");
    if (failed_.count() || unsettled || !ended_) return exit_refused;
    return bad_lines_.count() || file_.failed() ? exit_usage : exit_ok;
  }

  const Globals& globals_;
  const LoadArgs& args_;
  client::Client& client_;
  LineFile& file_;
  Pace pace_;
  Progress progress_;
  Rate rate_;
  std::string key_;

  struct Sooner {
    bool operator()(const Batch& a, const Batch& b) const { return a.again_at < b.again_at; }
  };
  std::map<client::Ticket, Batch> in_flight_;
  std::multiset<Batch, Sooner> resting_;
  size_t batch_messages_ = 100;
  uint64_t messages_ = 0, published_ = 0;
  Reasons failed_, bad_lines_;
  std::string note_;
  bool ended_ = false, gave_up_ = false;
  Clock::time_point begun_ = Clock::now(), moved_ = Clock::now();
};

}  // namespace

int load_messages(const Globals& globals, const LoadArgs& args) {
  LineFile file;
  if (const std::string error = file.open(args.file); !error.empty()) return complain_usage(error);
  client::Options options;
  options.in_flight_max = args.in_flight;
  return with_client(globals, [&](client::Client& client) {
    if (const auto info = client.ping(); !info && !info.error().from_fabric()) return complain(globals, info.error());
    return MessageLoad(globals, args, client, file).run();
  }, options);
}

}  // namespace canopy::console
