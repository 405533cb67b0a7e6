#include "leaf/leaves.h"

#include <doctest/doctest.h>

#include "store/keys.h"
#include "store/mem_backend.h"
#include "store/store.h"

using namespace canopy;
using store::KeyBuilder;
using store::Table;

TEST_CASE("leaves: one slice erases the deliveries of many retired leaves, and no more than it may") {
  const BucketId bucket(3);
  store::MemBackend backend;
  const auto store = std::move(store::Store::open(backend, {}).value());
  const BodyRef ref{MessageId(1), 1};
  store::Writes writes;
  Position position(1, 1);
  for (uint32_t leaf = 1; leaf <= 10; ++leaf) {
    writes.put(KeyBuilder(bucket, Table::retired).add(LeafNo(leaf)), "");
    for (int i = 0; i < 3; ++i) {
      position = position.next();
      writes.put(KeyBuilder(bucket, Table::delivery).add(LeafNo(leaf)).add(position), leaf::encode_delivery({StreamNo(1, 1), ref, false}));
      writes.ref(ref, make_blob("body"));
    }
  }
  store->apply(bucket, position, writes);

  const auto slice = [&](size_t most, size_t& erased) {
    writes.clear();
    const bool more = leaf::erase_retired(bucket, *store, most, writes, erased = 0);
    position = position.next();
    if (!writes.empty()) store->apply(bucket, position, writes);
    return more;
  };
  size_t erased = 0;
  CHECK(slice(20, erased));
  CHECK(erased == 20);
  CHECK(store->body_references(ref) == 10);
  CHECK(slice(20, erased));
  CHECK(erased == 10);
  CHECK(store->body_references(ref) == 0);
  CHECK_FALSE(slice(20, erased));
  CHECK(erased == 0);
}
