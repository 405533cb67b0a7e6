#include "daemon/queue.h"

#include <doctest/doctest.h>

#include <memory>
#include <thread>
#include <vector>

using namespace canopy;
using namespace canopy::daemon;

TEST_CASE("queue: everything put arrives in order, whoever sleeps when") {
  constexpr int items = 100'000;
  Queue<std::unique_ptr<int>> there, back;
  Bell there_bell, back_bell;
  // Answers each number; both sides sleep whenever they find nothing, so a lost wake-up would hang.
  std::thread echo([&] {
    std::vector<std::vector<std::unique_ptr<int>>> runs;
    for (int got = 0; got < items;) {
      if (!there.take(runs)) {
        there_bell.doze();
        if (there.empty()) there_bell.wait(Duration::of_s(60));
        there_bell.awake();
        continue;
      }
      for (auto& run : runs) {
        got += static_cast<int>(run.size());
        back.put(run);
      }
      runs.clear();
      back_bell.ring();
    }
  });
  std::vector<std::unique_ptr<int>> run;
  std::vector<std::vector<std::unique_ptr<int>>> runs;
  int sent = 0, received = 0;
  bool in_order = true;
  while (received < items) {
    while (sent < items && sent - received < 100 && run.size() < 7) run.push_back(std::make_unique<int>(sent++));
    if (!run.empty()) {
      there.put(run);
      there_bell.ring();
    }
    if (back.take(runs)) {
      for (const auto& answered : runs)
        for (const auto& item : answered) in_order = in_order && *item == received++;
      runs.clear();
    } else if (sent == items || sent - received >= 100) {
      back_bell.doze();
      if (back.empty()) back_bell.wait(Duration::of_s(60));
      back_bell.awake();
    }
  }
  echo.join();
  CHECK(in_order);
  CHECK(there.empty());
  CHECK(back.empty());
}

TEST_CASE("bell: a ring before the sleep is not lost when the sleeper looks again") {
  Bell bell;
  bell.ring();  // nobody sleeps: nothing to see
  bell.doze();
  bell.ring();
  bell.wait(Duration::of_s(60));
  bell.awake();
}
