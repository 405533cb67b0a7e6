#include "progress.h"

#include <doctest/doctest.h>

#include "text.h"

namespace canopy::console {

TEST_CASE("progress: a bar on a terminal, plain words elsewhere") {
  ProgressState state;
  state.fraction = 0.5;
  state.done = 12345;
  state.unit = "follows";
  state.rate = 2500;
  state.left_s = 5;
  CHECK(progress_line(state, {}) == " 50 %  12,345 follows  2,500/s  5.0 s left");
  CHECK(progress_line(state, {true, false, 80}) == "▕████████████            ▏  50 %  12,345 follows  2,500/s  5.0 s left");
}

TEST_CASE("progress: the bar is as wide at every fraction") {
  for (int percent = 0; percent <= 100; ++percent) {
    ProgressState state;
    state.fraction = percent / 100.0;
    state.unit = "x";
    CHECK(width_of(progress_line(state, {true, false, 80})) == 26 + 1 + 7 + 3 + 2 + 3);
  }
}

TEST_CASE("progress: what is not known is not said") {
  ProgressState state;
  state.done = 7;
  state.unit = "messages";
  state.note = "waiting: busy";
  CHECK(progress_line(state, {}) == "7 messages  0/s  (waiting: busy)");
}

TEST_CASE("progress: a rate follows the last seconds") {
  Rate rate;
  rate.add(1, 1000);
  CHECK(rate.now() == doctest::Approx(1000));
  for (int second = 2; second < 30; ++second) rate.add(second, 1000 + static_cast<uint64_t>(second - 1) * 100);
  CHECK(rate.now() == doctest::Approx(100).epsilon(0.05));
}

}  // namespace canopy::console
