// Seeded chance, the same on every machine (no std::*_distribution).
#pragma once

#include <cstdint>

namespace canopy {

// splitmix64 (Steele, Lea, Flood 2014): small, fast, good enough for back-off and simulation.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // Returns a number in [0, n). REQUIRES: n > 0. The bias of the remainder is below 2^-32 for small n.
  uint64_t below(uint64_t n) { return next() % n; }
  bool chance(uint64_t percent) { return below(100) < percent; }

 private:
  uint64_t state_;
};

}  // namespace canopy
