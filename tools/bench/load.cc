// Stage: the follow graph, in batches of pairs. A batch goes again while the fabric is busy or some of it is pending:
// follows may be repeated.
#include <fmt/format.h>

#include "packer.h"
#include "stages.h"
#include "stop.h"

namespace canopy::bench {
namespace {

using namespace std::chrono_literals;

class Follows final : public Source {
 public:
  Follows(const Graph& graph, size_t batch) : graph_(graph), batch_(batch) {}
  uint64_t done() const { return done_; }

  Next next(Frames& frames) override {
    pairs_.clear();
    uint32_t count = 0;
    Packer pairs(pairs_);
    while (count < batch_ && author_ < graph_.authors()) {
      const auto& followers = graph_.followers[author_];
      if (at_ == followers.size()) {
        ++author_, at_ = 0;
        continue;
      }
      if (at_ == 0) name_ = graph_.author(author_);
      pairs.array(2);
      pairs.text(graph_.user(followers[at_++]));
      pairs.text(name_);
      ++count;
    }
    if (count == 0) return Next::end;
    frames.verb = "FOLLOW";
    Packer args(frames.args);
    args.map(2);
    args.text("wait_ms"), args.number(5000);
    args.text("pairs"), args.array(count);
    frames.args += pairs_;
    frames.about = {count};
    return Next::request;
  }

  std::optional<std::chrono::milliseconds> on_reply(Frames& frames, bool ok, std::string_view result) override {
    const auto reply = wire::decode_reply(frames.verb, ok ? "OK" : "ERR", result);
    if (!reply) throw Stop("FOLLOW: " + reply.error().message);
    if (const auto* error = std::get_if<Error>(&*reply)) return again(*error);
    for (const auto& state : std::get<wire::FollowResult>(*reply).states) {
      if (const auto* error = std::get_if<Error>(&state)) return again(*error);
      if (std::get<wire::FollowState>(state) == wire::FollowState::pending) return 100ms;
    }
    done_ += frames.about.at(0);
    return std::nullopt;
  }

 private:
  static std::chrono::milliseconds again(const Error& error) {
    if (error.code != Code::busy && error.code != Code::unavailable && error.code != Code::timeout)
      throw Stop(fmt::format("FOLLOW: {}: {}", code_name(error.code), error.message));
    return std::chrono::milliseconds(std::max(20u, error.retry_after_ms));
  }

  const Graph& graph_;
  const size_t batch_;
  size_t author_ = 0, at_ = 0;
  std::string name_, pairs_;
  uint64_t done_ = 0;
};

}  // namespace

LoadResult load_follows(const Bench& bench, Fabric& fabric, const Graph& graph, size_t batch) {
  Follows follows(graph, batch);
  Bar bar(bench, "follows", graph.edges());
  Driver driver(fabric.endpoints());
  const auto begin = Clock::now();
  // A batch of 5,000 is some 50 requests' work: few in flight keep the nodes busy, and memory in bounds.
  const DriverResult result = driver.run(follows, {.in_flight = 8, .tick = [&] { bar.show(follows.done()); }, .patience = 120s});
  if (follows.done() != graph.edges()) throw Stop("not all follows were made");
  return {seconds_since(begin), result.again};
}

}  // namespace canopy::bench
