#include "store/blob_cache.h"

#include <doctest/doctest.h>

namespace canopy::store {
namespace {

BodyRef ref_of(uint64_t id) { return {MessageId(id), 7}; }

}  // namespace

TEST_CASE("blob cache: what is used stays, what is not is let go, all within the bound") {
  BlobCache cache(200'000);
  const Blob body = make_blob(std::string(880, 'x'));  // 1,000 bytes each, as it counts
  for (uint64_t id = 1; id <= 1'000; ++id) {
    cache.put(ref_of(id), body);
    CHECK(cache.get(ref_of(1)) == body);
    CHECK(cache.get(ref_of(id)) == body);
  }
  size_t held = 0;
  for (uint64_t id = 2; id <= 1'000; ++id) held += cache.get(ref_of(id)) != nullptr;
  CHECK(held >= 100);
  CHECK(held <= 202);
  CHECK(cache.get(ref_of(2)) == nullptr);
}

TEST_CASE("blob cache: what is erased is not given, and one alone does not push out all others") {
  BlobCache cache(200'000);
  cache.put(ref_of(1), make_blob("one"));
  cache.put(ref_of(2), make_blob(std::string(50'000, 'x')));
  CHECK(cache.get(ref_of(2)) == nullptr);
  CHECK(*cache.get(ref_of(1)) == "one");
  CHECK(cache.get({MessageId(1), 8}) == nullptr);
  cache.erase(ref_of(1));
  CHECK(cache.get(ref_of(1)) == nullptr);
}

}  // namespace canopy::store
