#include "bench.h"

#include <fmt/format.h>

namespace canopy::bench {

void Bench::step(const std::string& what) const {
  if (options.quiet) return;
  fmt::print(stderr, "{}\n", console::paint(err, console::Style::dim, what));
}

Bar::Bar(const Bench& bench, std::string unit, uint64_t total)
    : progress_(bench.err, bench.options.quiet || !bench.err.tty), unit_(std::move(unit)), total_(total), begin_(std::chrono::steady_clock::now()) {}

void Bar::show(uint64_t done) {
  if (!progress_.due()) return;
  rate_.add(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(), done);
  console::ProgressState state;
  state.done = done;
  state.unit = unit_;
  state.rate = rate_.now();
  if (total_ > 0) {
    state.fraction = static_cast<double>(done) / static_cast<double>(total_);
    if (rate_.now() > 0) state.left_s = static_cast<double>(total_ - std::min(done, total_)) / rate_.now();
  }
  progress_.show(state);
}

}  // namespace canopy::bench
