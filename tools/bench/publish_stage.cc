// Stage: messages, many in flight, singly or in batches.
#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "lag.h"
#include "packer.h"
#include "stages.h"
#include "stop.h"

namespace canopy::bench {
namespace {

constexpr size_t number_digits = 16;

class Publishes final : public Source {
 public:
  Publishes(const Graph& graph, const Messages& messages, const PublishPlan& plan, Lag* lag)
      : messages_(messages), plan_(plan), lag_(lag), first_(messages.published), next_(messages.published), end_(messages.published + plan.most),
        until_(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(plan.seconds))),
        filler_(messages.body_of(0)) {
    for (size_t i = 0; i < messages.authors; ++i) names_.push_back(graph.author(i));
  }
  uint64_t done() const { return done_; }
  uint64_t next_number() const { return next_; }

  Next next(Frames& frames) override {
    if (next_ == end_ || (plan_.seconds > 0 && Clock::now() >= until_)) return Next::end;
    if (plan_.rate > 0 && static_cast<double>(next_ - first_) > plan_.rate * seconds_since(begin_)) return Next::later;
    if (lag_ && next_ > lag_->shown() + plan_.ahead) return Next::later;
    const uint64_t count = std::min<uint64_t>(plan_.batch, end_ - next_);
    for (uint64_t i = 0; i < count; ++i) frames.about.push_back(next_++);
    encode(frames);
    return Next::request;
  }

  std::optional<std::chrono::milliseconds> on_reply(Frames& frames, bool ok, std::string_view result) override {
    // Nearly always all is well. A failed message has a `code` in its result; decoding says whether it really has.
    static constexpr std::string_view code_key = "\xa4" "code";
    if (ok && !plan_.ids && memmem(result.data(), result.size(), code_key.data(), code_key.size()) == nullptr) {
      done_ += frames.about.size();
      return std::nullopt;
    }
    const auto reply = wire::decode_reply(frames.verb, ok ? "OK" : "ERR", result);
    if (!reply) throw Stop("PUBLISH: " + reply.error().message);
    if (const auto* error = std::get_if<Error>(&*reply)) return again(*error);
    const auto& results = std::get<wire::PublishResult>(*reply).results;
    std::optional<std::chrono::milliseconds> rest;
    std::vector<uint64_t> failed;
    for (size_t i = 0; i < results.size() && i < frames.about.size(); ++i) {
      const auto* error = std::get_if<Error>(&results[i]);
      if (!error) {
        if (plan_.ids) take_id(frames.about[i], std::get<wire::Published>(results[i]).id);
        continue;
      }
      rest = again(*error);
      failed.push_back(frames.about[i]);
    }
    done_ += frames.about.size() - failed.size();
    if (!rest) return std::nullopt;
    frames.about = std::move(failed);
    encode(frames);
    return rest;
  }

 private:
  void take_id(uint64_t number, MessageId id) {
    if (plan_.ids->size() <= number) plan_.ids->resize(number + 1);
    (*plan_.ids)[number] = id;
  }

  // BUSY says that nothing was done: only that may go again, or messages would be there twice.
  static std::chrono::milliseconds again(const Error& error) {
    if (error.code != Code::busy) throw Stop(fmt::format("PUBLISH: {}: {}", code_name(error.code), error.message));
    return std::chrono::milliseconds(std::max(1u, error.retry_after_ms));
  }

  void encode(Frames& frames) {
    frames.verb = "PUBLISH";
    frames.args.clear(), frames.body.clear();
    Packer args(frames.args);
    if (plan_.batch == 1) {
      args.map(1);
      args.text("author"), args.text(names_[messages_.author_of(frames.about[0])]);
      write_number(frames.about[0]);
      frames.body = filler_;
      frames.has_body = true;
      return;
    }
    args.map(1);
    args.text("messages"), args.array(static_cast<uint32_t>(frames.about.size()));
    for (const uint64_t number : frames.about) {
      args.map(2);
      args.text("author"), args.text(names_[messages_.author_of(number)]);
      write_number(number);
      args.text("body"), args.bytes(filler_);
    }
  }

  void write_number(uint64_t number) {
    for (size_t i = number_digits; i-- > 0; number >>= 4) filler_[i] = "0123456789abcdef"[number & 15];
  }

  const Messages& messages_;
  const PublishPlan& plan_;
  Lag* const lag_;
  const uint64_t first_;
  const Clock::time_point begin_ = Clock::now();
  uint64_t next_, end_, done_ = 0;
  const Clock::time_point until_;
  std::string filler_;
  std::vector<std::string> names_;
};

}  // namespace

uint64_t Messages::of_author(size_t author, uint64_t end) const {
  uint64_t count = 0;
  for (const uint32_t first : turns_of(static_cast<uint32_t>(author))) count += (end + round() - 1 - first) / round();
  return count;
}

std::vector<uint32_t> Messages::turns_of(uint32_t author) const {
  if (turns.empty()) return {author};
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < turns.size(); ++i)
    if (turns[i] == author) all.push_back(i);
  return all;
}

std::string Messages::body_of(uint64_t number) const {
  std::string text = fmt::format("{:016x}", number);
  for (size_t i = text.size(); i < body; ++i) text.push_back(static_cast<char>('a' + i % 26));
  return text;
}

std::optional<uint64_t> number_in(std::string_view body) {
  if (body.size() < number_digits) return std::nullopt;
  uint64_t number = 0;
  for (const char c : body.substr(0, number_digits)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    number = number << 4 | static_cast<uint64_t>(digit);
  }
  return number;
}

PublishResult publish(const Bench& bench, Fabric& fabric, const Graph& graph, Messages& messages, const PublishPlan& plan) {
  std::optional<Lag> lag;
  if (plan.ahead > 0) lag.emplace(fabric, graph, messages);
  Publishes source(graph, messages, plan, lag ? &*lag : nullptr);
  Bar bar(bench, "messages", plan.seconds > 0 ? 0 : plan.most);
  Driver driver(fabric.endpoints());
  const auto begin = Clock::now();
  DriverResult result = driver.run(source, {.in_flight = plan.in_flight, .tick = [&] { bar.show(source.done()); }});
  PublishResult told{source.next_number() - messages.published, seconds_since(begin), std::move(result.ms), result.again};
  if (source.done() != told.messages) throw Stop("not all messages were published");
  messages.published = source.next_number();
  return told;
}

}  // namespace canopy::bench
