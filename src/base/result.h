// Result<T>: what a function returns that can refuse its input. Named once here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace canopy {

// The codes of the client protocol. The numbers travel between nodes: never to change.
enum class Code : uint8_t {
  bad_request = 1,
  unknown_verb = 2,
  too_large = 3,
  not_found = 4,
  denied = 5,
  busy = 6,
  unavailable = 7,
  timeout = 8,
  internal = 9,
};

std::string_view code_name(Code code);                 // "BAD_REQUEST", …
bool parse_code(std::string_view name, Code& code);    // the inverse; false: no such code

struct Error {
  Code code = Code::internal;
  std::string message;           // names the field and what would be right
  uint32_t retry_after_ms = 0;   // 0: waiting does not help
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> failure(Code code, std::string message, uint32_t retry_after_ms = 0) {
  return tl::unexpected<Error>(Error{code, std::move(message), retry_after_ms});
}

}  // namespace canopy

// Returns the error of `expression` from the enclosing function, else goes on.
#define TRY(expression)                                                   \
  do {                                                                    \
    if (auto result_of_try = (expression); !result_of_try)                \
      return tl::unexpected<::canopy::Error>(std::move(result_of_try.error())); \
  } while (false)
