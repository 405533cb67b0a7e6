#include "base/number_map.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>

namespace canopy {

TEST_CASE("number map: does what a map does, with numbers that ascend and some that stay") {
  std::mt19937_64 random(7);
  NumberMap<std::string> map;
  std::map<uint64_t, std::string> model;
  uint64_t last = 0;
  for (int i = 0; i < 20'000; ++i) {
    const bool add = model.empty() || random() % 100 < (i % 4000 < 2000 ? 60u : 40u);
    if (add) {
      last += 1 + random() % 3;
      map.add(last) = model[last] = std::to_string(last);
    } else {
      auto gone = model.lower_bound(random() % (last + 1));
      if (gone == model.end()) --gone;
      map.erase(gone->first);
      model.erase(gone);
    }
    const uint64_t any = random() % (last + 2);
    const std::string* found = map.find(any);
    REQUIRE((found != nullptr) == model.contains(any));
    if (found) REQUIRE(*found == model[any]);
    REQUIRE(map.size() == model.size());
  }
  std::map<uint64_t, std::string> seen;
  map.each([&](uint64_t number, const std::string& value) { seen[number] = value; });
  CHECK(seen == model);
  for (const auto& [number, value] : model) REQUIRE(map.at(number) == value);
}

TEST_CASE("number map: a value stays where it is while others come, and is gone when it is erased") {
  NumberMap<std::shared_ptr<int>> map;
  const auto kept = std::make_shared<int>(1);
  std::shared_ptr<int>* const first = &(map.add(1) = kept);
  for (uint64_t number = 2; number < 10'000; ++number) map.add(number);
  CHECK(map.find(1) == first);
  CHECK(kept.use_count() == 2);
  map.erase(1);
  CHECK(kept.use_count() == 1);
  CHECK(map.find(1) == nullptr);
  CHECK(map.find(0) == nullptr);
}

}  // namespace canopy
