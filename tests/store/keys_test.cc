#include "hosts.h"

namespace canopy::store {
namespace {

std::string delivery(uint16_t bucket, uint32_t leaf, Position at) {
  return KeyBuilder(BucketId(bucket), Table::delivery).add(LeafNo(leaf)).add(at);
}

}  // namespace

TEST_CASE("keys: they order as their fields do") {
  CHECK(delivery(1, 2, Position(3)) < delivery(1, 2, Position(4)));
  CHECK(delivery(1, 2, Position(0xff)) < delivery(1, 2, Position(0x100)));
  CHECK(delivery(1, 2, Position(0, Position::number_max)) < delivery(1, 2, Position(1, 0)));
  CHECK(delivery(1, 2, Position(9)) < delivery(1, 3, Position(1)));
  CHECK(delivery(1, 0xffffffff, Position(9)) < delivery(2, 0, Position(0)));
  CHECK(delivery(0xff, 0, Position(0)) < delivery(0x100, 0, Position(0)));
}

TEST_CASE("keys: letters are in the order of position, then index") {
  const auto letter = [](uint64_t position, uint32_t index) {
    return KeyBuilder(BucketId(1), Table::outbox).add(BucketId(9)).add(LetterNo{Position(position), index}).str();
  };
  CHECK(letter(1, 0xffffffff) < letter(2, 0));
  CHECK(letter(2, 0) < letter(2, 1));
  CHECK(letter(2, 1).size() == 2 + 1 + 2 + 8 + 4);
}

TEST_CASE("keys: the bytes of a key never change") {
  const std::string key = KeyBuilder(BucketId(0x0102), Table::stream).add(EntityNo(3)).add(StreamNo(4));
  CHECK(key == std::string("\x01\x02q\0\0\0\x03\0\0\0\0\0\0\0\x04", 15));
}

TEST_CASE("keys: after_prefix is the end of the range of a prefix") {
  CHECK(after_prefix("ab") == "ac");
  CHECK(after_prefix(std::string("a\xff\xff")) == "b");
  CHECK(after_prefix(std::string("\xff\xff")).empty());
  const std::string leaf = KeyBuilder(BucketId(1), Table::delivery).add(LeafNo(0xff));
  CHECK(delivery(1, 0xff, Position(Position::incarnation_max, Position::number_max)) < after_prefix(leaf));
  CHECK(after_prefix(leaf) <= delivery(1, 0x100, Position(0)));
}

}  // namespace canopy::store
