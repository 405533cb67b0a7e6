#include "base/name.h"

#include <doctest/doctest.h>

using namespace canopy;

TEST_CASE("name: one to 200 bytes of UTF-8 without control characters is a name") {
  for (const char* good : {"a", "alice", "#topic", "Zoë", "日本語", "a b", "😀"}) CHECK(check_name("entity", good));
  CHECK(check_name("entity", std::string(200, 'x')));
}

TEST_CASE("name: what is refused names the field") {
  const std::string bad[] = {"",        std::string(201, 'x'), "a\nb",         std::string("a\0b", 3), "\x7f",
                             "\xc2\x85", "\xff",                "\xc3",         "\xe2\x82",             "\xc0\xaf",
                             "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80"};
  for (const std::string& name : bad) {
    CAPTURE(name);
    const auto checked = check_name("author", name);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code == Code::bad_request);
    CHECK(checked.error().message.find("author") != std::string::npos);
  }
}
