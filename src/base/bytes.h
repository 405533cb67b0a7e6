// Packed records: big-endian where order matters (keys), little-endian where it does not.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace canopy {

// A body or an encoded message: shared by every list, letter and reply in RAM, and never changed.
using Blob = std::shared_ptr<const std::string>;
inline Blob make_blob(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

inline void put_u8(std::string& out, uint8_t v) { out.push_back(static_cast<char>(v)); }
// Whole words, because keys and records are made of them: a loop over bytes showed in profiles.
static_assert(std::endian::native == std::endian::little || std::endian::native == std::endian::big);
inline uint16_t to_be(uint16_t v) { return std::endian::native == std::endian::little ? __builtin_bswap16(v) : v; }
inline uint32_t to_be(uint32_t v) { return std::endian::native == std::endian::little ? __builtin_bswap32(v) : v; }
inline uint64_t to_be(uint64_t v) { return std::endian::native == std::endian::little ? __builtin_bswap64(v) : v; }
template <class Word>
void put_word(std::string& out, Word v) {
  const Word big = to_be(v);
  out.append(reinterpret_cast<const char*>(&big), sizeof big);
}
inline void put_be16(std::string& out, uint16_t v) { put_word(out, v); }
inline void put_be32(std::string& out, uint32_t v) { put_word(out, v); }
inline void put_be64(std::string& out, uint64_t v) { put_word(out, v); }
// Base-128, least significant group first; at most 10 bytes.
inline void put_varint(std::string& out, uint64_t v) {
  while (v >= 0x80) {
    out.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out.push_back(static_cast<char>(v));
}
// Writes behind a place where there is room for 10 bytes; returns what is behind it. For what is packed by the
// million: a string checks its room for each byte.
inline char* write_varint(char* out, uint64_t v) {
  while (v >= 0x80) {
    *out++ = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  *out++ = static_cast<char>(v);
  return out;
}
inline void put_string(std::string& out, std::string_view s) {
  put_varint(out, s.size());
  out.append(s);
}

// Reads a packed record from the front. A read past the end gives zeros and makes ok() false for
// good, so that a decoder checks once, at its end.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}
  uint8_t u8() { return take(1) ? static_cast<uint8_t>(bytes_[at_ - 1]) : uint8_t{0}; }
  uint16_t be16() { return word<uint16_t>(); }
  uint32_t be32() { return word<uint32_t>(); }
  uint64_t be64() { return word<uint64_t>(); }
  uint64_t varint() {
    if (ok_ && at_ < bytes_.size() && !(bytes_[at_] & 0x80)) return static_cast<uint8_t>(bytes_[at_++]);  // most are short
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t b = u8();
      v |= static_cast<uint64_t>(b & 0x7f) << shift;
      if (!(b & 0x80)) return v;
    }
    ok_ = false;
    return 0;
  }
  // Valid as long as the bytes that the cursor reads.
  std::string_view string() {
    const uint64_t n = varint();
    if (!ok_ || n > left()) {
      ok_ = false;
      return {};
    }
    at_ += static_cast<size_t>(n);
    return bytes_.substr(at_ - static_cast<size_t>(n), static_cast<size_t>(n));
  }
  // For a decoder that finds what cannot be.
  void fail() { ok_ = false; }
  std::string_view rest() { return bytes_.substr(at_); }
  size_t left() const { return bytes_.size() - at_; }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && left() == 0; }

 private:
  template <class Word>
  Word word() {
    if (!take(sizeof(Word))) return 0;
    Word v;
    std::memcpy(&v, bytes_.data() + at_ - sizeof v, sizeof v);
    return to_be(v);
  }
  bool take(size_t n) {
    if (!ok_ || left() < n) {
      ok_ = false;
      return false;
    }
    at_ += n;
    return true;
  }
  std::string_view bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace canopy
