#include "lag.h"

#include <algorithm>

#include "wire/message.h"

namespace canopy::bench {
namespace {

using namespace std::chrono_literals;
constexpr uint32_t homes = 32;
constexpr auto pause = 10ms;  // between READs: some 3,000 homes a second

}  // namespace

Lag::Lag(Fabric& fabric, const Graph& graph, const Messages& messages)
    : dealer_(fabric.endpoints().front()), next_(Clock::now()), shown_(messages.published) {
  wire::Read read;
  read.batch = true;
  read.limit = 1;
  const auto& followers = *std::max_element(graph.followers.begin(), graph.followers.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  const size_t count = std::min<size_t>(homes, followers.size());
  for (size_t i = 0; i < count; ++i) read.entities.push_back(graph.user(followers[i * followers.size() / count]));
  read_ = frames_of(read);
}

uint64_t Lag::shown() {
  uint32_t tag = 0;
  bool ok = false;
  std::string_view result;
  while (waiting_ && dealer_.receive(tag, ok, result)) {
    if (tag != asked_) continue;
    waiting_ = false;
    next_ = Clock::now() + pause;
    if (ok) take(result);
  }
  if (!waiting_ && Clock::now() >= next_) {
    dealer_.send(++asked_, read_);
    waiting_ = true;
  }
  return shown_;
}

void Lag::take(std::string_view result) {
  const auto reply = wire::decode_reply("READ", "OK", result);
  const auto* found = reply ? std::get_if<wire::ReadResult>(&*reply) : nullptr;
  if (!found) return;
  uint64_t slowest = UINT64_MAX;
  for (const auto& page : found->pages) {
    const auto* entries = std::get_if<wire::TimelinePage>(&page);
    if (!entries || entries->entries.empty()) return;
    const auto message = wire::decode_message(*entries->entries.front().message);
    const auto number = message ? number_in(message->body) : std::nullopt;
    if (!number) return;
    slowest = std::min(slowest, *number);
  }
  if (slowest != UINT64_MAX) shown_ = std::max(shown_, slowest);
}

}  // namespace canopy::bench
