#include "samples.h"

#include <algorithm>
#include <cmath>

namespace canopy::bench {

void Samples::add(const Samples& other) {
  values_.insert(values_.end(), other.values_.begin(), other.values_.end());
  sorted_ = false;
}

double Samples::at(double share) const {
  if (values_.empty()) return 0;
  if (!sorted_) std::sort(values_.begin(), values_.end());
  sorted_ = true;
  const double rank = std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(values_.size()));
  return static_cast<double>(values_[static_cast<size_t>(std::max(rank, 1.0)) - 1]);
}

double Samples::mean() const {
  double sum = 0;
  for (const float value : values_) sum += static_cast<double>(value);
  return values_.empty() ? 0 : sum / static_cast<double>(values_.size());
}

}  // namespace canopy::bench
