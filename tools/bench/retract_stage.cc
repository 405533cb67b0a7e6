// Stage: retractions, many in flight.
#include <fmt/format.h>

#include "packer.h"
#include "stages.h"
#include "stop.h"

namespace canopy::bench {
namespace {

class Retracts final : public Source {
 public:
  Retracts(const Graph& graph, const Messages& messages, uint64_t from, const std::vector<MessageId>& ids)
      : messages_(messages), ids_(ids), next_(from) {
    for (size_t i = 0; i < messages.authors; ++i) names_.push_back(graph.author(i));
  }
  uint64_t done() const { return done_; }

  Next next(Frames& frames) override {
    if (next_ == messages_.published) return Next::end;
    frames.verb = "RETRACT";
    Packer args(frames.args);
    args.map(2);
    args.text("author"), args.text(names_[messages_.author_of(next_)]);
    args.text("id"), args.number(ids_.at(next_).packed());
    ++next_;
    return Next::request;
  }

  std::optional<std::chrono::milliseconds> on_reply(Frames& frames, bool ok, std::string_view result) override {
    if (ok) {
      ++done_;
      return std::nullopt;
    }
    const auto reply = wire::decode_reply(frames.verb, "ERR", result);
    const auto* error = reply ? std::get_if<Error>(&*reply) : nullptr;
    if (!error) throw Stop("RETRACT: an answer that cannot be read");
    if (error->code != Code::busy) throw Stop(fmt::format("RETRACT: {}: {}", code_name(error->code), error->message));
    return std::chrono::milliseconds(std::max(1u, error->retry_after_ms));
  }

 private:
  const Messages& messages_;
  const std::vector<MessageId>& ids_;
  uint64_t next_, done_ = 0;
  std::vector<std::string> names_;
};

}  // namespace

RetractResult retract(const Bench& bench, Fabric& fabric, const Graph& graph, Messages& messages, uint64_t from,
                      const std::vector<MessageId>& ids, size_t in_flight) {
  Retracts source(graph, messages, from, ids);
  Bar bar(bench, "retractions", messages.published - from);
  Driver driver(fabric.endpoints());
  const auto begin = Clock::now();
  DriverResult result = driver.run(source, {.in_flight = in_flight, .tick = [&] { bar.show(source.done()); }});
  messages.published = from;
  return {seconds_since(begin), std::move(result.ms)};
}

}  // namespace canopy::bench
