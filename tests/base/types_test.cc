#include "base/types.h"

#include <doctest/doctest.h>

#include "base/hash.h"

using namespace canopy;

TEST_CASE("types: a position orders by incarnation first and fits 53 bits") {
  CHECK(Position(1, Position::number_max) < Position(2, 0));
  CHECK(Position(2, 5).incarnation() == 2);
  CHECK(Position(2, 5).number() == 5);
  CHECK(Position(Position::incarnation_max, Position::number_max).packed() < uint64_t{1} << 53);
}

TEST_CASE("types: a message id grows when the clock stands still or goes back") {
  const BucketId bucket(4095);
  MessageId last;
  for (const uint64_t ms : {uint64_t{1'700'000'000'000}, uint64_t{1'700'000'000'000}, uint64_t{1'600'000'000'000}}) {
    const MessageId next = MessageId::after(last, ms, bucket);
    CHECK(next > last);
    CHECK(next.bucket() == bucket);
    last = next;
  }
  CHECK(last.time_ms() == 1'700'000'000'000);
}

TEST_CASE("types: a thousand ids in one millisecond are a thousand, a few milliseconds ahead") {
  MessageId last;
  for (int i = 0; i < 1000; ++i) {
    const MessageId next = MessageId::after(last, 1'700'000'000'000, BucketId(1));
    CHECK(next > last);
    last = next;
  }
  CHECK(last.time_ms() <= 1'700'000'000'004);
}

TEST_CASE("types: the bucket of a name never changes") {
  // XXH3_64bits of "alice" with seed 0; a change would lose every stored entity.
  CHECK(hash64("") == 0x2d06800538d394c2);
  CHECK(bucket_of("alice", 256).value() == (hash64("alice") & 255));
}
