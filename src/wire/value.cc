#include "wire/value.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "wire/text.h"

namespace canopy::wire {

Value Document::root() const {
  ASSERT(!nodes_.empty());
  return {this, 0};
}

bool Builder::nil() { return add(Document::Node()); }

bool Builder::boolean(bool v) {
  Document::Node node;
  node.kind = Kind::boolean;
  node.number = v ? 1 : 0;
  return add(node);
}

bool Builder::number(uint64_t v) {
  Document::Node node;
  node.kind = Kind::number;
  node.number = v;
  return add(node);
}

bool Builder::negative(int64_t v) {
  if (v >= 0) return number(static_cast<uint64_t>(v));  // msgpack may write 5 as a signed number
  Document::Node node;
  node.kind = Kind::negative;
  node.negative = v;
  return add(node);
}

bool Builder::real(double v) {
  Document::Node node;
  node.kind = Kind::real;
  node.real = v;
  return add(node);
}

bool Builder::text(std::string_view v) { return add_string(Kind::text, v); }

bool Builder::text_copy(std::string v) {
  document_.decoded_.push_front(std::move(v));
  return text(document_.decoded_.front());
}

bool Builder::bytes(std::string_view v) { return add_string(Kind::bytes, v); }

bool Builder::open(Kind kind, uint64_t announced) {
  if (open_.size() >= limits_.depth_max)
    return refuse("is nested deeper than " + std::to_string(limits_.depth_max));
  if (announced > limits_.values_max - std::min(limits_.values_max, document_.nodes_.size()))
    return refuse("has more than " + std::to_string(limits_.values_max) + " values");
  Document::Node node;
  node.kind = kind;
  if (!add(node)) return false;
  open_.push_back({static_cast<uint32_t>(document_.nodes_.size() - 1), 0});
  return true;
}

bool Builder::close() {
  ASSERT(!open_.empty());
  const Open closed = open_.back();
  open_.pop_back();
  Document::Node& node = document_.nodes_[closed.index];
  node.end = static_cast<uint32_t>(document_.nodes_.size());
  if (node.kind == Kind::array) {
    node.size = closed.children;
    return true;
  }
  ASSERT(closed.children % 2 == 0);
  node.size = closed.children / 2;
  return keys_differ(closed.index);
}

bool Builder::refuse(std::string why) {
  if (error_.empty()) error_ = std::move(why);
  return false;
}

bool Builder::add_string(Kind kind, std::string_view v) {
  Document::Node node;
  node.kind = kind;
  node.size = static_cast<uint32_t>(v.size());
  node.data = v.data();
  return add(node);
}

bool Builder::add(Document::Node node) {
  if (document_.nodes_.size() >= limits_.values_max)
    return refuse("has more than " + std::to_string(limits_.values_max) + " values");
  if (!open_.empty()) {
    Open& in = open_.back();
    const bool key = document_.nodes_[in.index].kind == Kind::map && in.children % 2 == 0;
    if (key && node.kind != Kind::text)
      return refuse("has a map key that is " + std::string(kind_name(node.kind)) + ": it must be text");
    ++in.children;
  }
  node.end = static_cast<uint32_t>(document_.nodes_.size() + 1);
  document_.nodes_.push_back(node);
  return true;
}

// Sorts, because a hostile map may have as many keys as a text has values.
bool Builder::keys_differ(uint32_t map) {
  const uint32_t pairs = document_.nodes_[map].size;
  if (pairs < 2) return true;
  Value key = Value(&document_, map).first();
  if (pairs == 2 && key.string() != key.next().next().string()) return true;
  std::vector<std::string_view> keys;
  keys.reserve(pairs);
  for (uint32_t i = 0; i < pairs; ++i) {
    keys.push_back(key.string());
    if (i + 1 < pairs) key = key.next().next();
  }
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice == keys.end()) return true;
  return refuse("has the field " + quoted(*twice) + " twice");
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::nil: return "null";
    case Kind::boolean: return "a boolean";
    case Kind::number: return "a number";
    case Kind::negative: return "a negative number";
    case Kind::real: return "a fraction";
    case Kind::text: return "text";
    case Kind::bytes: return "bytes";
    case Kind::array: return "a list";
    case Kind::map: return "a map";
  }
  return "unknown";
}

}  // namespace canopy::wire
