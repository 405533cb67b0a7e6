#include <doctest/doctest.h>

#include "../../tools/bench/samples.h"

using canopy::bench::Samples;

TEST_CASE("bench: a percentile is the smallest value that so many do not exceed") {
  Samples samples;
  CHECK(samples.at(0.5) == 0);
  for (int value = 100; value >= 1; --value) samples.add(value);
  CHECK(samples.median() == 50);
  CHECK(samples.at(0.99) == 99);
  CHECK(samples.at(0) == 1);
  CHECK(samples.max() == 100);
  CHECK(samples.mean() == doctest::Approx(50.5));
  samples.add(1000);  // after it was sorted
  CHECK(samples.max() == 1000);
  CHECK(samples.count() == 101);
}
