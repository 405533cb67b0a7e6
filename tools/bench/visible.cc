#include "visible.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/hash.h"
#include "packer.h"
#include "stop.h"
#include "wire/message.h"

namespace canopy::bench {
namespace {

using namespace std::chrono_literals;
constexpr size_t entities_in_a_read = 1000;
constexpr auto patience = 60s;

}  // namespace

Watcher::Sent Watcher::publish() {
  Dealer& dealer = fabric_.dealer();
  Frames frames;
  frames.verb = "PUBLISH";
  Packer args(frames.args);
  const uint64_t number = messages_.published++;
  args.map(1), args.text("author"), args.text(graph_.author(messages_.author_of(number)));
  frames.body = messages_.body_of(number);
  frames.has_body = true;
  const auto tag = static_cast<uint32_t>(number);
  Sent sent{number, Clock::now()};
  dealer.send(tag, frames);
  for (;;) {
    uint32_t answered = 0;
    bool ok = false;
    std::string_view result;
    while (dealer.receive(answered, ok, result)) {
      if (answered != tag) continue;
      sent.acknowledged_ms = ms_since(sent.at);
      if (!ok) throw Stop("PUBLISH was refused");
      return sent;
    }
    stop_if_interrupted();
    if (Clock::now() - sent.at > patience) throw Stop("PUBLISH has no answer");
    dealer.wait(50ms);
  }
}

void Watcher::send_reads(const std::vector<uint32_t>& users) {
  for (size_t from = 0; from < users.size(); from += entities_in_a_read) {
    const size_t count = std::min(entities_in_a_read, users.size() - from);
    Frames frames;
    frames.verb = "READ";
    Packer args(frames.args);
    args.map(2), args.text("limit"), args.number(1);
    args.text("entities"), args.array(static_cast<uint32_t>(count));
    for (size_t i = 0; i < count; ++i) args.text(graph_.user(users[from + i]));
    fabric_.dealer().send(static_cast<uint32_t>(from), frames);
  }
}

double Watcher::visible_ms(const Sent& sent, const std::vector<uint32_t>& users) {
  std::vector<uint32_t> missing = users;
  double shown = 0;
  while (!missing.empty()) {
    send_reads(missing);
    std::vector<uint32_t> still;
    for (size_t answers = 0; answers < (missing.size() + entities_in_a_read - 1) / entities_in_a_read;) {
      uint32_t from = 0;
      bool ok = false;
      std::string_view result;
      if (!fabric_.dealer().receive(from, ok, result)) {
        stop_if_interrupted();
        if (Clock::now() - sent.at > patience) throw Stop(fmt::format("message {} is not in {} timelines", sent.number, missing.size()));
        fabric_.dealer().wait(50ms);
        continue;
      }
      if (from >= missing.size()) continue;  // not a READ's
      const double came = ms_since(sent.at);
      ++answers;
      const auto reply = wire::decode_reply("READ", ok ? "OK" : "ERR", result);
      if (!reply || !std::holds_alternative<wire::ReadResult>(*reply)) throw Stop("READ was refused");
      const auto& pages = std::get<wire::ReadResult>(*reply).pages;
      for (size_t i = 0; i < pages.size(); ++i) {
        const auto* page = std::get_if<wire::TimelinePage>(&pages[i]);
        const bool there = page && !page->entries.empty() &&
                           number_in(wire::decode_message(*page->entries[0].message)->body) >= sent.number;
        if (there) shown = came;
        else still.push_back(missing.at(from + i));
      }
    }
    missing = std::move(still);
  }
  return shown;
}

std::vector<uint32_t> one_in_each_bucket(const Graph& graph, size_t author, uint32_t bucket_count) {
  std::vector<uint32_t> last(bucket_count, UINT32_MAX);
  for (const uint32_t user : graph.followers[author]) last[bucket_of(graph.user(user), bucket_count).value()] = user;
  last.erase(std::remove(last.begin(), last.end(), UINT32_MAX), last.end());
  return last;
}

}  // namespace canopy::bench
