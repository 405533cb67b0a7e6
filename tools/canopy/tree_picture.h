// A follower tree as a picture of box characters. Pure.
#pragma once

#include <string>

#include "canopy/message.h"
#include "table.h"

namespace canopy::console {

// Of a reflector's many leaves or branches only the first are drawn and the rest is summed up in one
// line, unless `all`.
std::string tree_picture(const client::Tree& tree, const Terminal& terminal, bool all);

}  // namespace canopy::console
