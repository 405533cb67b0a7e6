// ASSERT: our own bugs, in every build. Someone's input is a Result, the machine's failure an exit.
#pragma once

namespace canopy {
[[noreturn]] void assert_failed(const char* what, const char* file, int line);
}

#define ASSERT(condition) \
  (static_cast<bool>(condition) ? void(0) : ::canopy::assert_failed(#condition, __FILE__, __LINE__))
