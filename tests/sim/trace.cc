#include "sim/trace.h"

#include <algorithm>

#include "base/hash.h"

namespace canopy::sim {

void Trace::add(Instant at, const char* what, uint64_t a, uint64_t b, uint64_t c) {
  const auto mix = [this](uint64_t v) { hash_ = (hash_ ^ v) * 0x9e3779b97f4a7c15 ^ hash_ >> 29; };
  mix(static_cast<uint64_t>(at.us));
  for (const char* p = what; *p != 0; ++p) mix(static_cast<uint64_t>(*p));
  mix(a), mix(b), mix(c);
  last_at_ = at;
  Line& line = ring_[lines_++ % ring_.size()];
  line = {at, what, a, b, c};
  if (live_) print(live_, line);
}

void Trace::print(std::FILE* out, const Line& line) {
  std::fprintf(out, "%11.6f  %-28s %llu %llu %llu\n", static_cast<double>(line.at.us) / 1e6, line.what,
               static_cast<unsigned long long>(line.a), static_cast<unsigned long long>(line.b),
               static_cast<unsigned long long>(line.c));
}

void Trace::print_last(std::FILE* out, uint64_t lines) const {
  lines = std::min<uint64_t>({lines, lines_, ring_.size()});
  for (uint64_t i = lines_ - lines; i < lines_; ++i) print(out, ring_[i % ring_.size()]);
}

}  // namespace canopy::sim
