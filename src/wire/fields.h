// Reads the named fields of one map and keeps the first thing that was wrong, so that a decoder
// takes all its fields and asks once, at the end. Internal to wire/.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "wire/request.h"
#include "wire/value.h"

namespace canopy::wire {

constexpr uint64_t position_max = (uint64_t{1} << 53) - 1;

class Fields {
 public:
  // `owner` stands in messages ("READ"); `prefix` before a field's name ("messages[3].").
  // REQUIRES: `map` is a map. A field that is null counts as not given.
  Fields(std::string_view owner, std::string prefix, Value map, Encoding encoding)
      : owner_(owner), prefix_(std::move(prefix)), map_(map), encoding_(encoding) {}

  // Refuses every field that is not among `known`, and tells them.
  void only(std::initializer_list<std::string_view> known);

  std::optional<Value> find(std::string_view field) const;
  bool given(std::string_view field) const { return find(field).has_value(); }
  std::optional<Value> require(std::string_view field, std::string_view what);

  // Each gives a harmless value once something was wrong.
  std::string name(std::string_view field);  // required
  std::string any_text(std::string_view field);  // required; UTF-8
  std::string text(std::string_view field, size_t bytes_min, size_t bytes_max);  // "" when not given; no control characters
  uint64_t number(std::string_view field, uint64_t fallback, uint64_t least, uint64_t most);
  uint64_t need_number(std::string_view field, uint64_t most = UINT64_MAX);
  bool boolean(std::string_view field, bool fallback);
  bool need_boolean(std::string_view field);
  std::optional<Position> position(std::string_view field);
  MessageId id(std::string_view field);  // required
  // JSON: text, or base64 in `field`_base64. Msgpack: bytes or text.
  std::optional<std::string> bytes(std::string_view field, size_t bytes_max);
  std::optional<Value> list(std::string_view field, size_t items_max);  // null when not given
  std::vector<std::string> names(std::string_view field, size_t items_max);

  void refuse(std::string_view field, const std::string& why, Code code = Code::bad_request);
  void refuse_all(Error error);
  bool ok() const { return !error_; }
  tl::unexpected<Error> error() const { return tl::unexpected<Error>(*error_); }
  std::string path(std::string_view field) const { return prefix_ + std::string(field); }
  std::string_view owner() const { return owner_; }
  Encoding encoding() const { return encoding_; }

 private:
  std::string_view owner_;
  std::string prefix_;
  Value map_;
  Encoding encoding_;
  std::optional<Error> error_;
};

// Returns what `field` must be and is not: "limit is text: it must be a number".
std::string wrong_kind(Value value, std::string_view wanted);

}  // namespace canopy::wire
