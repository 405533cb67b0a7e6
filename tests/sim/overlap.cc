// Of the workload: READs of one home, from all nodes, before and after a publish by whom it follows. A READ that comes
// after the publish was answered finds a fetch on its way that was sent before.
#include "sim/workload.h"

namespace canopy::sim {

void Workload::next_overlap() {
  if (!running_ || scenario_.overlap_every == Duration{}) return;
  const auto twice_mean = static_cast<uint64_t>(2 * scenario_.overlap_every.us);
  schedule_.after(Duration{static_cast<int64_t>(overlap_random_.below(twice_mean))}, [this] {
    if (running_) overlap();
    next_overlap();
  });
}

void Workload::overlap() {
  const auto [reader, author] = any_pair(Pair::State::yes);
  for (const auto& machine : machines_) read_home(reader, *machine);
  // As long as the fetch may be on its way: to the root and back.
  const auto way = static_cast<uint64_t>(2 * scenario_.links.delay_max.us);
  for (int i = 0; i < 3; ++i)
    schedule_.after(Duration{static_cast<int64_t>(overlap_random_.below(way))}, [this, reader, author] {
      if (!running_) return;
      try_publish(model_.new_publish(author, false), 1, [this, reader] {
        for (const auto& machine : machines_) read_home(reader, *machine);
      });
    });
}

void Workload::read_home(Entity entity, Machine& machine) {
  wire::Read request;
  request.entities = {model_.name(entity)};
  request.limit = 1'000;
  clients_.ask(machine, std::move(request), [this, entity, sent = schedule_.now()](const Outcome& outcome) {
    const auto* result = std::get_if<wire::ReadResult>(&outcome.reply);
    const auto* page = result ? std::get_if<wire::TimelinePage>(&result->pages.at(0)) : nullptr;
    if (page) checker_.check_exact(entity, checker_.check_page(wire::Timeline::home, entity, *page, false, sent), *page, sent);
  });
}

}  // namespace canopy::sim
