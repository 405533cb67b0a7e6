#include "bucket/dead.h"

#include <doctest/doctest.h>

#include "base/limits.h"
#include "store/keys.h"
#include "store/mem_backend.h"
#include "store/store.h"

using namespace canopy;
using store::KeyBuilder;
using store::Table;

TEST_CASE("dead: the newest so many ids are remembered, also when one step adds several") {
  const BucketId here(3);
  store::MemBackend backend;
  const auto store = std::move(store::Store::open(backend, {}).value());
  bucket::Dead dead(here);
  dead.open(*store);
  Position position(1, 0);
  uint64_t last = 0;
  const auto add = [&](size_t many) {
    store::Writes writes;
    for (size_t i = 0; i < many; ++i) {
      position = position.next();
      dead.add(MessageId(++last), position, *store, writes);
    }
    store->apply(here, position, writes);
    REQUIRE(store->commit());
  };
  const auto rows = [&](Table table) {
    size_t n = 0;
    const std::string prefix = KeyBuilder(here, table);
    store->scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view) { return ++n > 0; });
    return n;
  };
  CHECK_FALSE(dead.has(MessageId(1), *store));
  while (last < limits::dead_ids_max) add(10'000);
  CHECK(dead.has(MessageId(1), *store));
  for (int turn = 0; turn < 3; ++turn) {
    add(100);
    CHECK(rows(Table::dead) == limits::dead_ids_max);
    CHECK(rows(Table::dead_age) == limits::dead_ids_max);
  }
  CHECK_FALSE(dead.has(MessageId(300), *store));
  CHECK(dead.has(MessageId(301), *store));
  CHECK(dead.has(MessageId(last), *store));

  dead.open(*store);  // as after a restart
  add(2);
  CHECK(rows(Table::dead) == limits::dead_ids_max);
  CHECK_FALSE(dead.has(MessageId(302), *store));
}
