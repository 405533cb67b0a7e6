#include "text.h"

#include <doctest/doctest.h>

namespace canopy::console {

TEST_CASE("text: width is in columns, not in bytes") {
  CHECK(width_of("") == 0);
  CHECK(width_of("alice") == 5);
  CHECK(width_of("wörld") == 5);
  CHECK(width_of("日本") == 4);
  CHECK(width_of("e\u0301") == 1);
  CHECK(width_of("🌳") == 2);
  CHECK(width_of("├─") == 2);
  CHECK(width_of("\xff\xfe") == 2);
}

TEST_CASE("text: what is too wide is cut at a character, with a sign of it") {
  CHECK(fit("hello", 5) == "hello");
  CHECK(fit("hello", 4) == "hel…");
  CHECK(fit("日本語", 4) == "日…");
  CHECK(fit("日本語", 5) == "日本…");
  CHECK(fit("hello", 0).empty());
}

TEST_CASE("text: nothing that a terminal would obey passes") {
  CHECK(printable("a\nb\tc\r") == "a\\nb\\tc\\r");
  CHECK(printable("\x1b[31mred") == "\\x1b[31mred");
  CHECK(printable("caf\u00e9 日本") == "caf\u00e9 日本");
  CHECK(printable("\xc2\x9b" "5m") == "\\x9b5m");
  CHECK(printable("\xff") == "\\xff");
  CHECK(printable("a\u202eb") == "a\\u202eb");
  CHECK(printable(std::string_view("a\0b", 3)) == "a\\x00b");
}

TEST_CASE("text: numbers for people") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1000) == "1,000");
  CHECK(grouped(1234567) == "1,234,567");
  CHECK(bytes_text(1023) == "1023 B");
  CHECK(bytes_text(1536) == "1.5 KiB");
  CHECK(counted(1, "leaf", "leaves") == "1 leaf");
  CHECK(counted(2000, "leaf", "leaves") == "2,000 leaves");
  CHECK(duration_text(0.84) == "0.8 s");
  CHECK(duration_text(185) == "3 m 05 s");
  CHECK(duration_text(7620) == "2 h 07 m");
}

TEST_CASE("text: runs of numbers are written as ranges") {
  CHECK(ranges({}).empty());
  CHECK(ranges({4}) == "4");
  CHECK(ranges({0, 1, 2, 5, 7, 8}) == "0–2, 5, 7–8");
}

TEST_CASE("text: a mistyped word is near to one, or to none") {
  const std::vector<std::string> words{"publish", "follow", "followers", "read", "retract", "status", "map"};
  CHECK(nearest("pubish", words) == "publish");
  CHECK(nearest("pulbish", words) == "publish");
  CHECK(nearest("folow", words) == "follow");
  CHECK(nearest("retrat", words) == "retract");
  CHECK(nearest("stat", words) == "status");
  CHECK(nearest("pub", words) == "publish");
  CHECK(nearest("raed", words) == "read");
  CHECK(nearest("xyz", words).empty());
  CHECK(nearest("", words).empty());
  CHECK(nearest(std::string(100'000, 'a'), words).empty());
}

TEST_CASE("text: times of the command line") {
  using std::chrono::milliseconds;
  CHECK(parse_duration("500ms") == milliseconds(500));
  CHECK(parse_duration("1.5") == milliseconds(1500));
  CHECK(parse_duration("2m") == milliseconds(120'000));
  for (const char* wrong : {"", "x", "5 s", "-1s", "10d", "nan", "inf", "1e99s"}) CHECK_FALSE(parse_duration(wrong));
  using std::chrono::seconds;
  CHECK(parse_age("30d") == seconds(2'592'000));
  CHECK(parse_age("2w") == seconds(1'209'600));
  CHECK(parse_age("90s") == seconds(90));
  CHECK(parse_age("0") == seconds(0));
  for (const char* wrong : {"", "d", "30", "1.5d", "-1d", "30 d", "30D", "99999999999999d"}) CHECK_FALSE(parse_age(wrong));
  CHECK(age_text(seconds(2'592'000)) == "30 d");
  CHECK(age_text(seconds(43'200)) == "12 h");
  CHECK(age_text(seconds(90)) == "90 s");
  CHECK(parse_number("42") == 42u);
  CHECK_FALSE(parse_number("42x"));
  CHECK_FALSE(parse_number(""));
}

}  // namespace canopy::console
