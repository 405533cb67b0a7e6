#include "base/result.h"

#include <array>
#include <utility>

namespace canopy {
namespace {
constexpr std::array<std::pair<Code, std::string_view>, 9> names{{
    {Code::bad_request, "BAD_REQUEST"},
    {Code::unknown_verb, "UNKNOWN_VERB"},
    {Code::too_large, "TOO_LARGE"},
    {Code::not_found, "NOT_FOUND"},
    {Code::denied, "DENIED"},
    {Code::busy, "BUSY"},
    {Code::unavailable, "UNAVAILABLE"},
    {Code::timeout, "TIMEOUT"},
    {Code::internal, "INTERNAL"},
}};
}  // namespace

std::string_view code_name(Code code) {
  for (const auto& [c, name] : names)
    if (c == code) return name;
  return "INTERNAL";
}

bool parse_code(std::string_view name, Code& code) {
  for (const auto& [c, n] : names) {
    if (n == name) {
      code = c;
      return true;
    }
  }
  return false;
}
}  // namespace canopy
