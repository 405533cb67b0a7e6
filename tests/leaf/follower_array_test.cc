#include <doctest/doctest.h>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "leaf/follower_array.h"

namespace canopy::leaf {
namespace {

std::vector<uint32_t> all(const FollowerArray& array) { return {array.begin(), array.end()}; }

}  // namespace

TEST_CASE("follower array: it is as a sorted set, few of them or many") {
  Random random(3);
  FollowerArray array;
  std::set<uint32_t> model;
  for (int i = 0; i < 3000; ++i) {
    const auto follower = static_cast<uint32_t>(random.below(i < 1500 ? 8 : 300));
    if (model.erase(follower) > 0) {
      array.erase(follower);
    } else {
      array.insert(follower);
      model.insert(follower);
    }
    CHECK(array.contains(follower) == model.contains(follower));
    CHECK(all(array) == std::vector<uint32_t>(model.begin(), model.end()));
    CHECK(array.empty() == model.empty());
  }
}

TEST_CASE("follower array: a few need no memory of their own") {
  for (size_t n = 0; n < 12; ++n) {
    std::vector<uint32_t> numbers;
    for (size_t i = 0; i < n; ++i) numbers.push_back(static_cast<uint32_t>(10 * i));
    FollowerArray array(numbers), other;
    CHECK(all(array) == numbers);
    CHECK(array.bytes() == (n <= 4 ? 0 : 4 * n));
    other.insert(7);
    other = std::move(array);
    CHECK(all(other) == numbers);
    other.clear();
    CHECK((other.empty() && other.bytes() == 0));
  }
}

}  // namespace canopy::leaf
