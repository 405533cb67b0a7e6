// Base64 as in RFC 4648, with padding. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace canopy::console {

std::string base64(std::string_view bytes);
// Returns none for what base64() does not make.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace canopy::console
