// How the messages of a leaf come into the homes of its followers, and which way costs least. Every way
// shows the same home at every read: a mode is a matter of cost only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace canopy::leaf {

enum class Mode : uint8_t {
  append = 0,  // a delivery is written to each follower's timeline that is in memory
  merge = 1,   // a delivery is one row; a follower's timeline takes it in when it is read
  lazy = 2,    // the root sends no letters; before a follower's home is read the leaf fetches them
};
constexpr std::array<std::string_view, 3> mode_names{"append", "merge", "lazy"};
inline std::string_view mode_name(Mode mode) { return mode_names[static_cast<size_t>(mode)]; }

// What each way costs here, in nanoseconds. The defaults were measured by `canopy tune` on the machine of
// tools/bench/README.md.
struct Costs {
  uint32_t append = 7;        // a delivery is written to one timeline in memory
  uint32_t deliver = 75;      // a message comes to one leaf: its part of the letter, a row
  uint32_t look = 350;        // a read asks one merged leaf whether there is something new
  uint32_t merge = 30;        // a read takes one row in
  uint32_t fetch = 50'000;    // a leaf fetches a window of messages from its root (messages_a_fetch)
  friend bool operator==(const Costs&, const Costs&) = default;
};

struct ModeOptions {
  std::optional<Mode> forced;  // nothing: decided for each leaf from what is measured
  uint64_t shuffle = 0;        // of tests: leaves change their mode by chance, this is its seed. 0: they do not
  Costs costs;
  int32_t look_every = 65'536; // how much comes of a leaf between two looks at it (costs.h): less in tests
};

}  // namespace canopy::leaf
