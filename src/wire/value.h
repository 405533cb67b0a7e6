// What a hostile msgpack or JSON text becomes before anything looks at it: one flat list of values.
// Both encodings end here, so that each verb has one reader. Internal to wire/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"

namespace canopy::wire {

enum class Kind : uint8_t { nil, boolean, number, negative, real, text, bytes, array, map };

struct ParseLimits {
  size_t bytes_max = limits::args_bytes_max;
  size_t values_max = 1u << 18;  // each takes 24 bytes here, and at least one in the input
  size_t depth_max = limits::depth_max;
};

class Value;

// Owns the values of one text, in preorder: a container stands before what is in it. A map holds
// keys and values in turn; its keys are text and differ. Msgpack's texts are views into the input.
class Document {
 public:
  struct Node {
    Kind kind = Kind::nil;
    uint32_t size = 0;  // bytes of a text, values of an array, pairs of a map
    uint32_t end = 0;   // the index after the last value inside
    union {
      uint64_t number;
      int64_t negative;
      double real;
      const char* data;
    };
    Node() : number(0) {}
  };
  static_assert(sizeof(Node) == 24, "limits of parsing count 24 bytes for a value");

  // Valid as long as the document, and in msgpack as long as the input. REQUIRES: it was parsed.
  Value root() const;

 private:
  friend class Value;
  friend class Builder;
  std::vector<Node> nodes_;
  std::forward_list<std::string> decoded_;  // JSON's texts, which stay where they are; nothing while empty
};

// Fills a document from what a parser sees, within bounds. Each call returns whether to go on;
// after false error() says why.
class Builder {
 public:
  Builder(Document& document, const ParseLimits& limits) : document_(document), limits_(limits) {
    document_.nodes_.reserve(nodes_at_first);
    open_.reserve(open_at_first);
  }
  bool nil();
  bool boolean(bool v);
  bool number(uint64_t v);
  bool negative(int64_t v);  // also takes one that is not
  bool real(double v);
  bool text(std::string_view v);   // the bytes must outlive the document
  bool text_copy(std::string v);
  bool bytes(std::string_view v);
  // `announced`: how many values will follow at least; what cannot fit is refused before it comes.
  bool open(Kind kind, uint64_t announced);
  bool close();
  bool refuse(std::string why);
  const std::string& error() const { return error_; }

 private:
  static constexpr size_t nodes_at_first = 12, open_at_first = 4;  // enough for most requests
  struct Open {
    uint32_t index;
    uint32_t children;
  };
  bool add(Document::Node node);
  bool add_string(Kind kind, std::string_view v);
  bool keys_differ(uint32_t map);
  Document& document_;
  ParseLimits limits_;
  std::vector<Open> open_;
  std::string error_;
};

// One value of a document: a cursor, cheap to copy.
class Value {
 public:
  Value(const Document* document, uint32_t index) : document_(document), index_(index) {}
  Kind kind() const { return node().kind; }
  bool is(Kind kind) const { return node().kind == kind; }
  // REQUIRES (each): the kind that the name says.
  bool boolean() const { return node().number != 0; }
  uint64_t number() const { return node().number; }
  std::string_view string() const { return {node().data, node().size}; }  // text or bytes
  size_t size() const { return node().size; }                            // of a container
  // The first value inside a container and the one beside this, whatever is inside this. In a map
  // keys and values take turns. REQUIRES: there is one.
  Value first() const { return {document_, index_ + 1}; }
  Value next() const { return {document_, node().end}; }

 private:
  const Document::Node& node() const { return document_->nodes_[index_]; }
  const Document* document_;
  uint32_t index_;
};

std::string_view kind_name(Kind kind);  // "a number", "text", …

// Each refuses what is longer, deeper or more than the limits, what does not end where the input
// ends, and repeated map keys; msgpack also extension types and keys that are not text, JSON also
// what is not UTF-8. `what` names the input in the error: "args", "result".
[[nodiscard]] Result<void> parse_msgpack(std::string_view what, std::string_view input, const ParseLimits& limits,
                                         Document& document);
[[nodiscard]] Result<void> parse_json(std::string_view what, std::string_view input, const ParseLimits& limits,
                                      Document& document);

}  // namespace canopy::wire
