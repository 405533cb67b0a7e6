// What may be an entity's name.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace canopy {

// Returns whether `bytes` is UTF-8 (RFC 3629: no overlong forms, no surrogates).
[[nodiscard]] bool valid_utf8(std::string_view bytes);

// A name is 1–200 bytes of UTF-8 without control characters (U+0000–U+001F, U+007F–U+009F).
[[nodiscard]] Result<void> check_name(std::string_view field, std::string_view name);

}  // namespace canopy
