// Writes msgpack of known shape straight into a string: the load must cost less than what it measures.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace canopy::bench {

class Packer {
 public:
  explicit Packer(std::string& out) : out_(out) {}
  void map(uint32_t pairs) { byte(static_cast<uint8_t>(0x80 | pairs)); }  // REQUIRES: at most 15
  void array(uint32_t items) { items < 16 ? byte(static_cast<uint8_t>(0x90 | items)) : (byte(0xdd), be(items, 4)); }
  void text(std::string_view v) { v.size() < 32 ? byte(static_cast<uint8_t>(0xa0 | v.size())) : (byte(0xdb), be(v.size(), 4)), out_ += v; }
  void bytes(std::string_view v) { byte(0xc6), be(v.size(), 4), out_ += v; }
  void number(uint64_t v) { v < 128 ? byte(static_cast<uint8_t>(v)) : (byte(0xcf), be(v, 8)); }

 private:
  void byte(uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void be(uint64_t v, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) byte(static_cast<uint8_t>(v >> shift));
  }
  std::string& out_;
};

}  // namespace canopy::bench
