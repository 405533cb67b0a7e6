// What a call returns: a value, or why there is none.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace canopy::client {

// Codes 1 to 9 are the protocol's and come from the fabric. From 100 on the client speaks itself.
enum class Code : uint8_t {
  bad_request = 1,   // the message names the field and says what would be right
  unknown_verb = 2,  // the node is older than this client
  too_large = 3,
  not_found = 4,
  denied = 5,
  busy = 6,          // refused, nothing was done: wait `retry_after`, then ask again
  unavailable = 7,   // a part of the fabric that is needed is away; it may have been done
  timeout = 8,       // the node waited too long for another one; it may have been done
  internal = 9,
  unreachable = 100, // no endpoint could be connected to; nothing was sent
  no_answer = 101,   // sent, but no answer came in time; it may have been done
};

// Returns the protocol's spelling: "BAD_REQUEST", …; "UNREACHABLE" and "NO_ANSWER" for our own.
std::string_view name_of(Code code);

struct Error {
  Code code = Code::internal;
  std::string message = {};                   // one sentence for a person
  std::chrono::milliseconds retry_after{0};   // zero: waiting does not help

  // Returns whether the fabric gave this answer, rather than none having come.
  bool from_fabric() const { return code < Code::unreachable; }
};

// A T or an Error. Test it before use: the value of an error, or the error of a value, throws
// std::bad_variant_access, for that is a mistake in the program.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return held_.index() == 0; }
  T& value() & { return std::get<0>(held_); }
  const T& value() const& { return std::get<0>(held_); }
  T&& value() && { return std::get<0>(std::move(held_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(held_); }

 private:
  std::variant<T, Error> held_;
};

}  // namespace canopy::client
