// Writes a result or args, once for both encodings. Internal to wire/.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/types.h"
#include "wire/request.h"

namespace canopy::wire {

// Writes one value; a container is announced with how many follow, as msgpack needs it. In a map
// key() and a value take turns.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual void map(size_t pairs) = 0;
  virtual void array(size_t items) = 0;
  virtual void key(std::string_view name) = 0;
  virtual void null() = 0;
  virtual void boolean(bool v) = 0;
  virtual void number(uint64_t v) = 0;
  virtual void text(std::string_view v) = 0;  // JSON: what is not UTF-8 becomes U+FFFD
  virtual void id(MessageId v) = 0;           // JSON: text of digits
  // Key and value of bytes. JSON: `name` with text, or `name`_base64 when they are not UTF-8.
  virtual void bytes(std::string_view name, std::string_view v) = 0;
  virtual void raw(std::string_view v) = 0;   // a value of bytes. REQUIRES: msgpack

  void member(std::string_view name, std::string_view v) { key(name), text(v); }
  void member(std::string_view name, const std::string& v) { key(name), text(v); }
  void member(std::string_view name, const char* v) { key(name), text(v); }
  void member(std::string_view name, uint64_t v) { key(name), number(v); }
  void member(std::string_view name, bool v) = delete;  // flag(): no text turns into one by chance
  void flag(std::string_view name, bool v) { key(name), boolean(v); }
  void member(std::string_view name, MessageId v) { key(name), id(v); }
  void nothing(std::string_view name) { key(name), null(); }
};

// The writer appends to `out`, which must outlive it.
std::unique_ptr<Writer> make_writer(Encoding encoding, std::string& out);

}  // namespace canopy::wire
