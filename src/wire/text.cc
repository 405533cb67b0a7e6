#include "wire/text.h"

#include <array>
#include <cstdint>

#include "base/name.h"

namespace canopy::wire {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view digits = "0123456789abcdef";

constexpr std::array<int8_t, 256> reverse_alphabet() {
  std::array<int8_t, 256> reverse{};
  reverse.fill(-1);
  for (size_t i = 0; i < alphabet.size(); ++i)
    reverse[static_cast<uint8_t>(alphabet[i])] = static_cast<int8_t>(i);
  return reverse;
}

}  // namespace

std::string quoted(std::string_view bytes) {
  std::string out = "'";  // not "'" + …: gcc 12 sees an overlapping copy there
  out += escaped(bytes, 64);
  out += "'";
  return out;
}

std::string escaped(std::string_view bytes, size_t shown_max) {
  const bool cut = bytes.size() > shown_max;
  if (cut) {
    bytes = bytes.substr(0, shown_max);
    // Not in the middle of a character: that would not be UTF-8 any more.
    size_t whole = bytes.size();
    while (whole + 3 > shown_max && !valid_utf8(bytes.substr(0, whole))) --whole;
    if (valid_utf8(bytes.substr(0, whole))) bytes = bytes.substr(0, whole);
  }
  const bool utf8 = valid_utf8(bytes);
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint8_t b = static_cast<uint8_t>(bytes[i]);
    // U+0080–U+009F, control characters too, are c2 80 to c2 9f.
    const bool control = utf8 && b == 0xc2 && static_cast<uint8_t>(bytes[i + 1]) < 0xa0;
    if (b >= 0x20 && b != 0x7f && (b < 0x80 || utf8) && !control) {
      out.push_back(bytes[i]);
      continue;
    }
    for (size_t k = 0; k < (control ? 2u : 1u); ++k) {
      const uint8_t shown = static_cast<uint8_t>(bytes[i + k]);
      out += "\\x";
      out.push_back(digits[shown >> 4]);
      out.push_back(digits[shown & 15]);
    }
    if (control) ++i;
  }
  return cut ? out + "…" : out;
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = bytes.size() - i < 3 ? bytes.size() - i : 3;
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < n ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out.push_back(k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=');
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  static constexpr std::array<int8_t, 256> reverse = reverse_alphabet();
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; ++k) {
      const bool pad = i + k >= text.size() - padding;
      const int8_t value = pad ? int8_t{0} : reverse[static_cast<uint8_t>(text[i + k])];
      if (value < 0) return std::nullopt;
      bits = bits << 6 | static_cast<uint32_t>(value);
    }
    for (int shift = 16; shift >= 0; shift -= 8) out.push_back(static_cast<char>(bits >> shift));
  }
  out.resize(out.size() - padding);
  return out;
}

}  // namespace canopy::wire
