#include "base/name.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/limits.h"

namespace canopy {
namespace {

// Returns the code point at the front and removes it; -1 when malformed.
int64_t take_code_point(std::string_view& s) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t first = byte(0);
  int more = 0;
  uint32_t point = 0, least = 0;
  if (first < 0x80) {
    point = first;
  } else if (first >= 0xc2 && first <= 0xdf) {
    more = 1, point = first & 0x1fu, least = 0x80;
  } else if (first >= 0xe0 && first <= 0xef) {
    more = 2, point = first & 0x0fu, least = 0x800;
  } else if (first >= 0xf0 && first <= 0xf4) {
    more = 3, point = first & 0x07u, least = 0x10000;
  } else {
    return -1;
  }
  if (s.size() < static_cast<size_t>(more) + 1) return -1;
  for (int i = 1; i <= more; ++i) {
    const uint8_t b = byte(static_cast<size_t>(i));
    if ((b & 0xc0) != 0x80) return -1;
    point = point << 6 | (b & 0x3fu);
  }
  if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return -1;
  s.remove_prefix(static_cast<size_t>(more) + 1);
  return point;
}

// The front that is plain ASCII, eight bytes at a time: nearly everything.
size_t ascii_front(std::string_view bytes) {
  size_t n = 0;
  for (uint64_t word; bytes.size() - n >= sizeof word; n += sizeof word) {
    std::memcpy(&word, bytes.data() + n, sizeof word);
    if (word & 0x8080'8080'8080'8080) break;
  }
  while (n < bytes.size() && static_cast<uint8_t>(bytes[n]) < 0x80) ++n;
  return n;
}

bool printable_ascii(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return static_cast<uint8_t>(c - 0x20) < 0x5f; });
}

}  // namespace

bool valid_utf8(std::string_view bytes) {
  bytes.remove_prefix(ascii_front(bytes));
  while (!bytes.empty())
    if (take_code_point(bytes) < 0) return false;
  return true;
}

Result<void> check_name(std::string_view field, std::string_view name) {
  if (!name.empty() && name.size() <= limits::name_bytes_max && printable_ascii(name)) return {};
  const std::string f(field);
  if (name.empty()) return failure(Code::bad_request, f + " is empty: a name has 1 to 200 bytes");
  if (name.size() > limits::name_bytes_max)
    return failure(Code::bad_request,
                   f + " has " + std::to_string(name.size()) + " bytes: a name has 1 to 200");
  while (!name.empty()) {
    const int64_t point = take_code_point(name);
    if (point < 0) return failure(Code::bad_request, f + " is not UTF-8");
    if (point < 0x20 || (point >= 0x7f && point <= 0x9f))
      return failure(Code::bad_request, f + " has a control character: a name must have none");
  }
  return {};
}

}  // namespace canopy
