#include "base/bytes.h"

#include <doctest/doctest.h>

using namespace canopy;

TEST_CASE("bytes: what was put comes back in order, and nothing is left") {
  std::string record;
  put_u8(record, 7);
  put_be16(record, 0xabcd);
  put_be32(record, 0xdeadbeef);
  put_be64(record, 0x0123456789abcdef);
  for (const uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{300}, UINT64_MAX}) put_varint(record, v);
  put_string(record, "leaf");
  Cursor in(record);
  CHECK(in.u8() == 7);
  CHECK(in.be16() == 0xabcd);
  CHECK(in.be32() == 0xdeadbeef);
  CHECK(in.be64() == 0x0123456789abcdef);
  for (const uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{300}, UINT64_MAX}) CHECK(in.varint() == v);
  CHECK(in.string() == "leaf");
  CHECK(in.done());
}

TEST_CASE("bytes: a record cut anywhere is not ok and reads past the end give nothing") {
  std::string record;
  put_be64(record, 1);
  put_varint(record, 300);
  put_string(record, "abc");
  for (size_t n = 0; n < record.size(); ++n) {
    CAPTURE(n);
    Cursor in(std::string_view(record).substr(0, n));
    in.be64();
    in.varint();
    in.string();
    CHECK_FALSE(in.ok());
    CHECK_FALSE(in.done());
    CHECK(in.be32() == 0);
  }
}

TEST_CASE("bytes: a varint without an end is refused") {
  const std::string endless(11, '\xff');
  Cursor in(endless);
  in.varint();
  CHECK_FALSE(in.ok());
}
