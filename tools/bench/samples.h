// Measured times, and what is said of them. Pure.
#pragma once

#include <cstddef>
#include <vector>

namespace canopy::bench {

// Keeps every value (4 bytes each), so that percentiles are exact.
class Samples {
 public:
  void add(double value) { values_.push_back(static_cast<float>(value)), sorted_ = false; }
  void add(const Samples& other);
  size_t count() const { return values_.size(); }
  // Returns the smallest value that at least `share` (0 to 1) of all values do not exceed; 0 of none.
  double at(double share) const;
  double median() const { return at(0.5); }
  double max() const { return at(1); }
  double mean() const;

 private:
  mutable std::vector<float> values_;
  mutable bool sorted_ = false;
};

}  // namespace canopy::bench
