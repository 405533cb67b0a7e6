// The Writer of msgpack. It is written here and not by the library, and in a header, because a page of a
// timeline is hundreds of small values: an encoder that knows which writer it has gets stores without calls.
// Internal to wire/.
#pragma once

#include <cstring>

#include "base/bytes.h"
#include "wire/writer.h"

namespace canopy::wire {

// What it appends to is always just what was written, unless expect() was called: then from the writer's end on.
class MsgpackWriter final : public Writer {
 public:
  explicit MsgpackWriter(std::string& out) : out_(out), used_(out.size()) { look(); }
  ~MsgpackWriter() override { out_.resize(used_); }
  MsgpackWriter(const MsgpackWriter&) = delete;
  MsgpackWriter& operator=(const MsgpackWriter&) = delete;

  // So much will be written, about: one allocation instead of several.
  void expect(size_t bytes) {
    if (used_ + bytes <= room_) return;
    out_.resize(used_ + bytes);
    look();
  }

  void map(size_t pairs) override { head(pairs, 0x80, 15, 0, 0xde, 0xdf); }
  void array(size_t items) override { head(items, 0x90, 15, 0, 0xdc, 0xdd); }
  void key(std::string_view name) override { text(name); }
  void null() override { byte(0xc0); }
  void boolean(bool v) override { byte(v ? 0xc3 : 0xc2); }
  void number(uint64_t v) override {
    if (v < 0x80) byte(static_cast<uint8_t>(v));
    else if (v <= 0xff) typed(0xcc, static_cast<uint8_t>(v));
    else if (v <= 0xffff) typed(0xcd, static_cast<uint16_t>(v));
    else if (v <= 0xffff'ffff) typed(0xce, static_cast<uint32_t>(v));
    else typed(0xcf, v);
  }
  void text(std::string_view v) override {
    head(v.size(), 0xa0, 31, 0xd9, 0xda, 0xdb);
    append(v);
  }
  void id(MessageId v) override { number(v.packed()); }
  void bytes(std::string_view name, std::string_view v) override {
    key(name);
    raw(v);
  }
  void raw(std::string_view v) override {
    head(v.size(), 0, -1, 0xc4, 0xc5, 0xc6);
    append(v);
  }

 private:
  // Returns where the next `bytes` go.
  char* take(size_t bytes) {
    if (used_ + bytes > room_) expect(bytes);
    used_ += bytes;
    return to_ + used_ - bytes;
  }
  void look() {
    to_ = out_.data();
    room_ = out_.size();
  }
  void byte(unsigned v) { *take(1) = static_cast<char>(v); }
  template <class Number>
  void typed(unsigned type, Number v) {
    const Number bytes_in_order = big(v);
    char* at = take(1 + sizeof v);
    *at = static_cast<char>(type);
    std::memcpy(at + 1, &bytes_in_order, sizeof v);
  }
  static uint8_t big(uint8_t v) { return v; }
  template <class Number>
  static Number big(Number v) { return to_be(v); }

  // A length: in the type itself up to `fixed_max`, in 8 bits if there is a type for that, 16 or 32.
  void head(size_t n, unsigned fixed, int fixed_max, unsigned in8, unsigned in16, unsigned in32) {
    if (fixed_max >= 0 && n <= static_cast<size_t>(fixed_max)) byte(fixed | static_cast<unsigned>(n));
    else if (in8 != 0 && n <= 0xff) typed(in8, static_cast<uint8_t>(n));
    else if (n <= 0xffff) typed(in16, static_cast<uint16_t>(n));
    else typed(in32, static_cast<uint32_t>(n));
  }
  void append(std::string_view v) {
    if (!v.empty()) std::memcpy(take(v.size()), v.data(), v.size());
  }

  std::string& out_;
  char* to_ = nullptr;   // its bytes
  size_t room_ = 0;      // how many they are
  size_t used_;          // how many are written
};

}  // namespace canopy::wire
