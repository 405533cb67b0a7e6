// The only reader of msgpack. Its parser calls a visitor and allocates nothing for what is merely
// announced; `unpack`, which does (dd ff ff ff ff: 2^32 objects up front), is not used at all.
#include <exception>
#include <msgpack.hpp>

#include "wire/text.h"
#include "wire/value.h"

namespace canopy::wire {
namespace {

struct Visitor : msgpack::null_visitor {
  explicit Visitor(Builder& builder) : builder_(builder) {}
  bool visit_nil() { return builder_.nil(); }
  bool visit_boolean(bool v) { return builder_.boolean(v); }
  bool visit_positive_integer(uint64_t v) { return builder_.number(v); }
  bool visit_negative_integer(int64_t v) { return builder_.negative(v); }
  bool visit_float32(float v) { return builder_.real(static_cast<double>(v)); }
  bool visit_float64(double v) { return builder_.real(v); }
  bool visit_str(const char* v, uint32_t size) { return builder_.text({v, size}); }
  bool visit_bin(const char* v, uint32_t size) { return builder_.bytes({v, size}); }
  bool visit_ext(const char*, uint32_t) { return builder_.refuse("has an extension type: there are none"); }
  bool start_array(uint32_t items) { return builder_.open(Kind::array, items); }
  bool end_array() { return builder_.close(); }
  bool start_map(uint32_t pairs) { return builder_.open(Kind::map, uint64_t{pairs} * 2); }
  bool end_map() { return builder_.close(); }
  void parse_error(size_t, size_t at) {
    builder_.refuse("is not msgpack: a byte that means nothing after byte " + std::to_string(at));
  }
  void insufficient_bytes(size_t, size_t) { builder_.refuse("ends in the middle of a value"); }

 private:
  Builder& builder_;
};

}  // namespace

Result<void> parse_msgpack(std::string_view what, std::string_view input, const ParseLimits& limits, Document& document) {
  const auto refused = [&](const std::string& why) {
    return failure(Code::bad_request, std::string(what) + " " + why);
  };
  if (input.size() > limits.bytes_max)
    return failure(Code::too_large, std::string(what) + " has " + std::to_string(input.size()) +
                                        " bytes: it must be at most " + std::to_string(limits.bytes_max));
  Builder builder(document, limits);
  Visitor visitor(builder);
  size_t end = 0;
  bool parsed = false;
  try {
    parsed = msgpack::parse(input.data(), input.size(), end, visitor);
  } catch (const std::exception& e) {  // bad_alloc, or what a later msgpack throws
    return refused(std::string("cannot be read: ") + e.what());
  }
  if (!builder.error().empty()) return refused(builder.error());
  if (!parsed) return refused("is not msgpack");
  if (end != input.size())
    return refused("goes on after its value: " + std::to_string(input.size() - end) + " bytes too many");
  return {};
}

}  // namespace canopy::wire
