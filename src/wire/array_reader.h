// Reads an array item by item, as fields.h reads a map: keeps the first thing that was wrong, to be
// asked for at the end. Internal to wire/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "wire/value.h"

namespace canopy::wire {

class ArrayReader {
 public:
  // `what` stands before the names in errors, and must outlive the reader.
  ArrayReader(std::string_view what, Value array) : ArrayReader(nullptr, what, 0, array) {}

  // Each takes the next item; a harmless value once something was wrong. Views as long as the input.
  uint64_t number(std::string_view what, uint64_t most = UINT64_MAX);
  std::optional<uint64_t> optional_number(std::string_view what, uint64_t most);
  bool boolean(std::string_view what);
  std::string text(std::string_view what);        // UTF-8
  std::string name(std::string_view what);        // as check_name has it
  std::string_view bytes(std::string_view what);
  std::optional<std::string_view> optional_bytes(std::string_view what);
  std::vector<std::string> texts(std::string_view what);
  std::vector<BucketId> buckets(std::string_view what);  // packed, 2 bytes each
  std::vector<MessageId> ids(std::string_view what, size_t most);  // packed, 8 bytes each
  std::optional<Value> array(std::string_view what);
  BucketId bucket(std::string_view what) { return BucketId(static_cast<uint16_t>(number(what, UINT16_MAX))); }

  // Calls f(ArrayReader&) for each array in an array; each must be read to its end.
  template <class F>
  void each(std::string_view what, F f) {
    const auto items = array(what);
    if (!items) return;
    Value item = *items;
    for (size_t i = 0; i < items->size() && ok(); ++i) {
      item = i == 0 ? items->first() : item.next();
      ArrayReader inner(this, what, i, item);
      f(inner);
      inner.end();
      take_error(inner);
    }
  }

  // The same for one array.
  template <class F>
  void one(std::string_view what, F f) {
    const auto value = next(what);
    if (!value) return;
    ArrayReader inner(this, what, 0, *value);
    f(inner);
    inner.end();
    take_error(inner);
  }

  void end();      // nothing may be left
  void skip_rest() { left_ = 0; }
  void refuse(std::string_view what, const std::string& why);
  void take_error(const ArrayReader& inner) {
    if (!error_ && inner.error_) error_ = inner.error_;
  }
  bool ok() const { return !error_; }
  tl::unexpected<Error> error() const { return tl::unexpected<Error>(*error_); }

 private:
  ArrayReader(const ArrayReader* parent, std::string_view what, size_t index, Value array);
  std::string path() const;  // made only for an error
  std::optional<Value> next(std::string_view what);
  std::optional<Value> next_of(std::string_view what, Kind kind);
  const ArrayReader* parent_;
  std::string_view what_;
  size_t index_;
  Value at_;
  size_t left_ = 0;
  bool started_ = false;
  std::optional<Error> error_;
};

}  // namespace canopy::wire
