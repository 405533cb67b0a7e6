// Bytes in places that take only text: error messages and JSON. Internal to wire/.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace canopy::wire {

// Returns `bytes` in quotes for an error message: UTF-8 as it is, everything else as \xNN, cut
// after about 64 bytes. What a client sent comes back to it, and into no terminal as it came.
std::string quoted(std::string_view bytes);
std::string escaped(std::string_view bytes, size_t shown_max);  // the same without the quotes

// RFC 4648, with padding.
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace canopy::wire
