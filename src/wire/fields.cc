#include "wire/fields.h"

#include <algorithm>

#include "base/name.h"
#include "wire/text.h"

namespace canopy::wire {
namespace {

bool has_control_character(std::string_view utf8) {
  for (size_t i = 0; i < utf8.size(); ++i) {
    const uint8_t b = static_cast<uint8_t>(utf8[i]);
    if (b < 0x20 || b == 0x7f) return true;
    if (b == 0xc2 && static_cast<uint8_t>(utf8[i + 1]) < 0xa0) return true;
  }
  return false;
}

}  // namespace

std::string wrong_kind(Value value, std::string_view wanted) {
  return "is " + std::string(kind_name(value.kind())) + ": it must be " + std::string(wanted);
}

void Fields::only(std::initializer_list<std::string_view> known) {
  Value key = map_;
  for (size_t i = 0; i < map_.size(); ++i) {
    key = i == 0 ? map_.first() : key.next().next();
    if (std::find(known.begin(), known.end(), key.string()) != known.end()) continue;
    std::string message = "unknown field " + quoted(prefix_ + std::string(key.string())) + " in " + std::string(owner_);
    if (known.size() == 0) {
      message += ": it takes none";
    } else {
      message += ": known are ";
      for (const std::string_view field : known) {
        if (field != *known.begin()) message += ", ";
        message += field;
      }
    }
    return refuse_all({Code::bad_request, std::move(message), 0});
  }
}

std::optional<Value> Fields::find(std::string_view field) const {
  Value key = map_;
  for (size_t i = 0; i < map_.size(); ++i) {
    key = i == 0 ? map_.first() : key.next().next();
    if (key.string() != field) continue;
    const Value value = key.next();
    return value.is(Kind::nil) ? std::nullopt : std::optional<Value>(value);
  }
  return std::nullopt;
}

std::optional<Value> Fields::require(std::string_view field, std::string_view what) {
  const auto value = find(field);
  if (!value) refuse(field, "is missing: " + std::string(owner_) + " needs " + std::string(what));
  return value;
}

std::string Fields::name(std::string_view field) {
  const auto value = require(field, "a name");
  if (!value) return {};
  if (!value->is(Kind::text)) {
    refuse(field, wrong_kind(*value, "a name"));
    return {};
  }
  if (auto checked = check_name(path(field), value->string()); !checked) {
    refuse_all(checked.error());
    return {};
  }
  return std::string(value->string());
}

std::string Fields::any_text(std::string_view field) {
  const auto value = require(field, "text");
  if (!value) return {};
  if (value->is(Kind::text) && valid_utf8(value->string())) return std::string(value->string());
  refuse(field, value->is(Kind::text) ? "is not UTF-8" : wrong_kind(*value, "text"));
  return {};
}

std::string Fields::text(std::string_view field, size_t bytes_min, size_t bytes_max) {
  const auto value = find(field);
  if (!value) return {};
  const auto range = [&] { return std::to_string(bytes_min) + " to " + std::to_string(bytes_max) + " bytes"; };
  if (!value->is(Kind::text)) {
    refuse(field, wrong_kind(*value, "text of " + range()));
    return {};
  }
  const std::string_view text = value->string();
  if (text.size() < bytes_min || text.size() > bytes_max)
    refuse(field, "has " + std::to_string(text.size()) + " bytes: it must have " + range());
  else if (!valid_utf8(text))
    refuse(field, "is not UTF-8");
  else if (has_control_character(text))
    refuse(field, "has a control character: it must have none");
  return std::string(text);
}

uint64_t Fields::number(std::string_view field, uint64_t fallback, uint64_t least, uint64_t most) {
  const auto value = find(field);
  if (!value) return fallback;
  if (value->is(Kind::number) && value->number() >= least && value->number() <= most) return value->number();
  const std::string range = most == UINT64_MAX ? "a whole number from " + std::to_string(least)
                                               : std::to_string(least) + " to " + std::to_string(most);
  if (value->is(Kind::number))
    refuse(field, "is " + std::to_string(value->number()) + ": it must be " + range);
  else
    refuse(field, wrong_kind(*value, range));
  return fallback;
}

uint64_t Fields::need_number(std::string_view field, uint64_t most) {
  return require(field, "a number") ? number(field, 0, 0, most) : 0;
}

bool Fields::boolean(std::string_view field, bool fallback) {
  const auto value = find(field);
  if (!value) return fallback;
  if (value->is(Kind::boolean)) return value->boolean();
  refuse(field, wrong_kind(*value, "true or false"));
  return fallback;
}

bool Fields::need_boolean(std::string_view field) {
  return require(field, "true or false") && boolean(field, false);
}

std::optional<Position> Fields::position(std::string_view field) {
  if (!given(field)) return std::nullopt;
  return Position(number(field, 0, 0, position_max));
}

MessageId Fields::id(std::string_view field) {
  const auto value = require(field, "a message id");
  if (!value) return {};
  if (value->is(Kind::number)) return MessageId(value->number());
  if (encoding_ == Encoding::msgpack) {
    refuse(field, wrong_kind(*value, "a message id, a whole number of 64 bits"));
    return {};
  }
  if (!value->is(Kind::text)) {
    refuse(field, wrong_kind(*value, "a message id, text of decimal digits"));
    return {};
  }
  uint64_t id = 0;
  bool fits = !value->string().empty();
  for (const char c : value->string()) {
    const uint64_t digit = static_cast<uint64_t>(c) - '0';
    fits = fits && c >= '0' && c <= '9' && !__builtin_mul_overflow(id, uint64_t{10}, &id) &&
           !__builtin_add_overflow(id, digit, &id);
  }
  if (!fits) refuse(field, "is " + quoted(value->string()) + ": it must be a message id, decimal digits of 64 bits");
  return MessageId(fits ? id : 0);
}

std::optional<std::string> Fields::bytes(std::string_view field, size_t bytes_max) {
  const std::string base64_field = std::string(field) + "_base64";
  const auto plain = find(field);
  const auto base64 = encoding_ == Encoding::json ? find(base64_field) : std::nullopt;
  if (plain && base64) {
    refuse(field, "is given twice: as " + std::string(field) + " and as " + base64_field);
    return std::nullopt;
  }
  std::optional<std::string> bytes;
  if (plain) {
    if (!plain->is(Kind::text) && !plain->is(Kind::bytes)) {
      refuse(field, wrong_kind(*plain, encoding_ == Encoding::json ? "text (or " + base64_field + ")" : "bytes"));
      return std::nullopt;
    }
    bytes = std::string(plain->string());
  } else if (base64) {
    if (!base64->is(Kind::text)) {
      refuse(base64_field, wrong_kind(*base64, "text in base64"));
      return std::nullopt;
    }
    bytes = base64_decode(base64->string());
    if (!bytes) refuse(base64_field, "is not base64");
  }
  if (bytes && bytes->size() > bytes_max) {
    refuse(field, "has " + std::to_string(bytes->size()) + " bytes: it must have at most " + std::to_string(bytes_max),
           Code::too_large);
    return std::nullopt;
  }
  return bytes;
}

std::optional<Value> Fields::list(std::string_view field, size_t items_max) {
  const auto value = find(field);
  if (!value) return std::nullopt;
  if (value->is(Kind::array) && value->size() <= items_max) return value;
  const std::string wanted = "a list of at most " + std::to_string(items_max);
  if (value->is(Kind::array))
    refuse(field, "has " + std::to_string(value->size()) + " items: it must be " + wanted, Code::too_large);
  else
    refuse(field, wrong_kind(*value, wanted));
  return std::nullopt;
}

std::vector<std::string> Fields::names(std::string_view field, size_t items_max) {
  std::vector<std::string> names;
  const auto items = list(field, items_max);
  if (!items) return names;
  names.reserve(items->size());
  Value item = *items;
  for (size_t i = 0; i < items->size(); ++i) {
    item = i == 0 ? items->first() : item.next();
    const std::string which = std::string(field) + "[" + std::to_string(i) + "]";
    if (!item.is(Kind::text)) {
      refuse(which, wrong_kind(item, "a name"));
      return names;
    }
    if (auto checked = check_name(path(which), item.string()); !checked) {
      refuse_all(checked.error());
      return names;
    }
    names.emplace_back(item.string());
  }
  return names;
}

void Fields::refuse(std::string_view field, const std::string& why, Code code) {
  refuse_all({code, path(field) + " " + why, 0});
}

void Fields::refuse_all(Error error) {
  if (!error_) error_ = std::move(error);
}

}  // namespace canopy::wire
