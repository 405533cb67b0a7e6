// The numbers of the items of a link frame. Internal to wire/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>

#include "base/limits.h"
#include "wire/frame.h"

namespace canopy::wire {

// They travel: never to change.
enum class ItemKind : uint8_t {
  hello = 1,
  map_offer = 2,
  map_accept = 3,
  frame_ack = 4,
  forward = 5,
  forward_reply = 6,
  stream_letter = 7,
  channel_letter = 8,
  channel_ack = 9,
  tail = 10,
  have = 11,
  fetch = 12,
  fetched = 13,
  check = 14,
  checked = 15,
};
static_assert(std::variant_size_v<LinkItem> == 15, "each item of a frame has a number");

constexpr uint32_t frame_version = 2;           // the first item of a frame; never to change
constexpr size_t route_depth_max = 16;          // parts inside parts
constexpr size_t frame_bytes_max = 128u << 20;
constexpr size_t frame_values_max = 1u << 20;   // a frame near its target size has far fewer
constexpr size_t frame_items_max = 1u << 16;
constexpr size_t frame_nesting_max = 4 + 2 * (route_depth_max + 1);
static_assert(frame_bytes_max >= limits::reply_bytes_max + 2 * limits::frame_bytes_target,
              "a frame must hold the largest reply");
static_assert(frame_bytes_max >= 16 * limits::args_bytes_max + limits::body_bytes_max,
              "a frame must hold the largest request");

// A stream item's flags: 1 for `shared`, the hops above it.
constexpr uint64_t item_flags_max = 2 * UINT8_MAX + 1;
inline uint64_t item_flags(const StreamItem& item) { return (item.shared ? 1u : 0u) | uint64_t{item.hops} << 1; }

}  // namespace canopy::wire
