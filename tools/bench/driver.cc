#include "driver.h"

#include <algorithm>

#include "stop.h"

namespace canopy::bench {

using namespace std::chrono_literals;

Driver::Driver(const std::vector<std::string>& endpoints) {
  for (const std::string& endpoint : endpoints) dealers_.push_back(std::make_unique<Dealer>(endpoint));
}

void Driver::send(uint32_t slot) {
  Slot& it = slots_[slot];
  it.sent = Clock::now();
  it.in_flight = true;
  ++in_flight_;
  dealers_[it.frames.node % dealers_.size()]->send(slot, it.frames);
}

bool Driver::take(Dealer& dealer, Source& source, DriverResult& result) {
  uint32_t tag = 0;
  bool ok = false;
  std::string_view bytes;
  if (!dealer.receive(tag, ok, bytes)) return false;
  if (tag >= slots_.size() || !slots_[tag].in_flight) return true;  // of a run that was given up
  Slot& slot = slots_[tag];
  slot.in_flight = false;
  --in_flight_;
  result.ms.add(ms_since(slot.sent));
  if (const auto rest = source.on_reply(slot.frames, ok, bytes)) {
    ++result.again;
    resting_.push({Clock::now() + *rest, tag});
  } else {
    ++result.requests;
    free_.push_back(tag);
  }
  return true;
}

void Driver::wait(std::chrono::milliseconds most) {
  std::vector<zmq::pollitem_t> items;
  for (const auto& dealer : dealers_) items.push_back({dealer->handle(), 0, ZMQ_POLLIN, 0});
  try {
    zmq::poll(items, most);
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) throw;
  }
}

DriverResult Driver::run(Source& source, const DriverOptions& options) {
  DriverResult result;
  bool ended = false;
  auto moved = Clock::now();
  slots_.resize(std::max(slots_.size(), options.in_flight));
  free_.clear();
  for (uint32_t slot = 0; slot < options.in_flight; ++slot) free_.push_back(slot);
  uint32_t node = 0;  // by turns
  for (;;) {
    stop_if_interrupted();
    while (!resting_.empty() && resting_.top().until <= Clock::now()) {
      send(resting_.top().slot);
      resting_.pop();
    }
    bool held = false;
    while (!ended && !held && !free_.empty()) {
      Frames& frames = slots_[free_.back()].frames;
      frames.clear();
      frames.node = node++;
      const Next next = source.next(frames);
      ended = next == Next::end, held = next == Next::later;
      if (next != Next::request) break;
      const uint32_t slot = free_.back();
      free_.pop_back();
      send(slot);
    }
    if (ended && in_flight_ == 0 && resting_.empty()) return result;
    wait(held ? 1ms : resting_.empty() ? 50ms : 2ms);
    for (const auto& dealer : dealers_)
      for (int taken = 0; taken < 256 && take(*dealer, source, result); ++taken) moved = Clock::now();
    options.tick();
    if (in_flight_ > 0 && Clock::now() - moved > options.patience)
      throw Stop("no reply within " + std::to_string(options.patience.count()) + " s");
  }
}

}  // namespace canopy::bench
