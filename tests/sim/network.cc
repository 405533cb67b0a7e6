#include "sim/network.h"

#include <memory>

#include "base/hash.h"

namespace canopy::sim {
namespace {
constexpr size_t held_max = 1'000;  // of one way, like a high-water mark
const std::string scheme = "sim://";
}  // namespace

std::string link_endpoint(size_t machine) { return scheme + std::to_string(machine); }

void Network::send(size_t from, const std::string& endpoint, std::string bytes) {
  const size_t to = std::stoul(endpoint.substr(scheme.size()));
  ++counters_.sent;
  if (const auto at = cuts_.find({from, to}); at != cuts_.end()) {
    if (at->second.hold && at->second.held.size() < held_max) {
      ++counters_.held;
      at->second.held.push_back(std::move(bytes));
    } else {
      ++counters_.cut;
    }
    return;
  }
  if (random_.chance(faults_.drop_percent)) {
    ++counters_.dropped;
    return;
  }
  if (random_.chance(faults_.repeat_percent)) {
    ++counters_.repeated;
    carry(from, to, bytes);
  }
  carry(from, to, std::move(bytes));
}

void Network::carry(size_t from, size_t to, std::string bytes) {
  Duration delay{50 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(faults_.delay_max.us)))};
  if (random_.chance(faults_.late_percent)) {
    ++counters_.late;
    delay.us += static_cast<int64_t>(random_.below(static_cast<uint64_t>(faults_.late_max.us)));
  }
  schedule_.after(delay, [this, from, to, shared = std::make_shared<std::string>(std::move(bytes))] {
    trace_.add(schedule_.now(), "link", from, to, hash64(*shared));
    deliver_(to, *shared);
  });
}

void Network::cut(size_t from, size_t to, bool hold) { cuts_[{from, to}].hold = hold; }

void Network::open(size_t from, size_t to) {
  const auto at = cuts_.find({from, to});
  if (at == cuts_.end()) return;
  std::vector<std::string> held = std::move(at->second.held);
  cuts_.erase(at);
  for (std::string& bytes : held) carry(from, to, std::move(bytes));
}

void Network::forget(size_t from) {
  for (auto& [way, cut] : cuts_)
    if (way.first == from) cut.held.clear();
}

void Network::heal() {
  while (!cuts_.empty()) open(cuts_.begin()->first.first, cuts_.begin()->first.second);
  faults_ = LinkFaults();
}

}  // namespace canopy::sim
