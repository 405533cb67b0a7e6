#include "wire/array_reader.h"

#include "base/bytes.h"
#include "base/name.h"

namespace canopy::wire {

ArrayReader::ArrayReader(const ArrayReader* parent, std::string_view what, size_t index, Value array)
    : parent_(parent), what_(what), index_(index), at_(array) {
  if (array.is(Kind::array))
    left_ = array.size();
  else
    error_ = Error{Code::bad_request, path() + " is " + std::string(kind_name(array.kind())) + ": it must be a list", 0};
}

std::string ArrayReader::path() const {
  if (!parent_) return std::string(what_);
  return parent_->path() + "." + std::string(what_) + "[" + std::to_string(index_) + "]";
}

uint64_t ArrayReader::number(std::string_view what, uint64_t most) {
  const auto value = next_of(what, Kind::number);
  if (!value) return 0;
  if (value->number() <= most) return value->number();
  refuse(what, "is " + std::to_string(value->number()) + ": it must be at most " + std::to_string(most));
  return 0;
}

std::optional<uint64_t> ArrayReader::optional_number(std::string_view what, uint64_t most) {
  const auto value = next(what);
  if (!value || value->is(Kind::nil)) return std::nullopt;
  if (value->is(Kind::number) && value->number() <= most) return value->number();
  refuse(what, "is wrong: it must be null or a number up to " + std::to_string(most));
  return std::nullopt;
}

bool ArrayReader::boolean(std::string_view what) {
  const auto value = next_of(what, Kind::boolean);
  return value && value->boolean();
}

std::string ArrayReader::text(std::string_view what) {
  const auto value = next_of(what, Kind::text);
  if (!value) return {};
  if (!valid_utf8(value->string())) refuse(what, "is not UTF-8");
  return std::string(value->string());
}

std::string ArrayReader::name(std::string_view what) {
  const auto value = next_of(what, Kind::text);
  if (!value) return {};
  if (auto checked = check_name(what, value->string()); !checked) error_ = Error{Code::bad_request, path() + "." + checked.error().message, 0};
  return std::string(value->string());
}

std::string_view ArrayReader::bytes(std::string_view what) {
  const auto value = next_of(what, Kind::bytes);
  return value ? value->string() : std::string_view();
}

std::optional<std::string_view> ArrayReader::optional_bytes(std::string_view what) {
  const auto value = next(what);
  if (!value || value->is(Kind::nil)) return std::nullopt;
  if (value->is(Kind::bytes)) return value->string();
  refuse(what, "is " + std::string(kind_name(value->kind())) + ": it must be bytes or null");
  return std::nullopt;
}

std::vector<std::string> ArrayReader::texts(std::string_view what) {
  std::vector<std::string> out;
  const auto items = array(what);
  if (!items) return out;
  Value item = *items;
  for (size_t i = 0; i < items->size(); ++i) {
    item = i == 0 ? items->first() : item.next();
    if (!item.is(Kind::text) || !valid_utf8(item.string())) return refuse(what, "holds what is not text"), out;
    out.emplace_back(item.string());
  }
  return out;
}

std::vector<BucketId> ArrayReader::buckets(std::string_view what) {
  std::vector<BucketId> out;
  const std::string_view packed = bytes(what);
  if (packed.size() % 2 != 0) return refuse(what, "has an odd number of bytes: a bucket takes 2"), out;
  out.reserve(packed.size() / 2);
  for (Cursor cursor(packed); cursor.left() > 0;) out.emplace_back(cursor.be16());
  return out;
}

std::vector<MessageId> ArrayReader::ids(std::string_view what, size_t most) {
  std::vector<MessageId> out;
  const std::string_view packed = bytes(what);
  if (packed.size() % 8 != 0 || packed.size() / 8 > most)
    return refuse(what, "has " + std::to_string(packed.size()) + " bytes: an id takes 8, and there are at most " + std::to_string(most)), out;
  out.reserve(packed.size() / 8);
  for (Cursor cursor(packed); cursor.left() > 0;) out.emplace_back(cursor.be64());
  return out;
}

std::optional<Value> ArrayReader::array(std::string_view what) { return next_of(what, Kind::array); }

void ArrayReader::end() {
  if (left_ != 0) refuse("end", "is not there: " + std::to_string(left_) + " items too many");
}

void ArrayReader::refuse(std::string_view what, const std::string& why) {
  if (!error_) error_ = Error{Code::bad_request, path() + "." + std::string(what) + " " + why, 0};
}

std::optional<Value> ArrayReader::next(std::string_view what) {
  if (!ok()) return std::nullopt;
  if (left_ == 0) {
    refuse(what, "is missing");
    return std::nullopt;
  }
  at_ = started_ ? at_.next() : at_.first();
  started_ = true;
  --left_;
  return at_;
}

std::optional<Value> ArrayReader::next_of(std::string_view what, Kind kind) {
  const auto value = next(what);
  if (!value || value->is(kind)) return value;
  refuse(what, "is " + std::string(kind_name(value->kind())) + ": it must be " + std::string(kind_name(kind)));
  return std::nullopt;
}

}  // namespace canopy::wire
