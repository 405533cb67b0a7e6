// canopy load --publish FILE: messages, in batches, several at a time. Each has a key of this run
// and its line, so that a batch may be asked again without being published twice.
#include <algorithm>
#include <fmt/format.h>

#include "graph.h"
#include "json.h"
#include "load_run.h"
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

// A batch is small where a slow pace is wanted.
size_t batch_size(const LoadArgs& args) {
  if (args.batch) return args.batch;
  return args.rate > 0 ? std::clamp<size_t>(static_cast<size_t>(args.rate / 20), 1, 100) : 100;
}

class MessageLoad final : public LoadRun<Batch> {
 public:
  MessageLoad(const Globals& globals, const LoadArgs& args, client::Client& client, LineFile& file)
      : LoadRun(globals, args, client, file, "messages"), key_(random_key("load")), batch_messages_(batch_size(args)) {}

 private:
  void submit_due() override {
    while (in_flight_.size() < args_.in_flight && pace_.allows()) {
      Batch batch;
      if (!resting_.empty()) {  // in order: while some wait, no new ones go
        if (!rested()) return;
        batch = take_rested();
      } else if (!ended_) {
        batch = read_batch();
        if (batch.messages.empty()) continue;
      } else {
        return;
      }
      const size_t messages = batch.messages.size();
      client::Publish request{batch.messages};
      submit(std::move(request), std::move(batch), messages);
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
        ++total_;
      } else if (const auto* bad = std::get_if<BadLine>(&parsed)) {
        add_bad_line(bad->why);
      }
    }
    return batch;
  }

  void on_answer(Batch batch, client::Completion& done) override {
    Batch again;
    client::milliseconds after{250};
    if (!done.answer) {
      for (Message& message : batch.messages) on_error(std::move(message), done.answer.error(), again, after);
    } else {
      auto& results = std::get<PublishAnswer>(*done.answer).results;
      for (size_t i = 0; i < batch.messages.size() && i < results.size(); ++i) {
        if (results[i]) {
          ++done_;
          moved_ = Clock::now();
        } else {
          on_error(std::move(batch.messages[i]), results[i].error(), again, after);
        }
      }
    }
    if (again.messages.empty()) return note_.clear();
    rest(std::move(again), after);
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

  int report() override {
    if (globals_.json) {
      say(json_object({{"messages", total_}, {"published", done_}, {"unsettled", unsettled()}, {"failed", failed_.count()},
                   {"bad_lines", bad_lines_.count()}, {"seconds", seconds()}, {"messages_per_s", rate()},
                   {"whole_file", ended_}, {"reasons", failed_.first()}, {"bad", bad_lines_.first()}}));
    } else {
      Table table({{"what"}, {"count", Align::right}});
      table.add({"messages", grouped(total_)});
      table.add({"published", {grouped(done_), Style::good}});
      if (unsettled()) table.add({"unsettled", {grouped(unsettled()), Style::warn}});
      table.add({"failed", {grouped(failed_.count()), failed_.count() ? Style::bad : Style::plain}});
      if (bad_lines_.count()) table.add({"bad lines", {grouped(bad_lines_.count()), Style::bad}});
      say(table.render(globals_.out, false));
      say(fmt::format("{} messages/s, {}", grouped(static_cast<uint64_t>(rate())), duration_text(seconds())));
    }
    warn_all(note_, "loading the file again would publish it again from its beginning");
    if (failed_.count() || unsettled() || !ended_) return exit_refused;
    return bad_lines_.count() || file_.failed() ? exit_usage : exit_ok;
  }

  const std::string key_;
  const size_t batch_messages_;
};

}  // namespace

int load_messages(const Globals& globals, const LoadArgs& args) { return start_load<MessageLoad>(globals, args); }

}  // namespace canopy::console
