// How a client's packet is taken apart, apart from the socket that it came from. Pure.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace canopy::link {

constexpr size_t route_frames_max = 16;     // the ROUTER's own frame, the client's, the empty one
constexpr size_t payload_frames_max = 16;   // verb, args, body; the rest only to be refused politely
constexpr size_t packet_frames_max = route_frames_max + payload_frames_max;
constexpr size_t route_bytes_max = 4096;    // kept as long as the request is on its way

enum class Packet { request, bad_route, too_long };

// Splits the frames of a packet from a ROUTER: the route ends with the first empty frame after the
// ROUTER's own. `cut` says that frames after the given ones were dropped.
// Sets `route_frames` to how many frames lead a reply back (at least 1).
// REQUIRES: frames is not empty.
[[nodiscard]] Packet split_packet(const std::vector<std::string_view>& frames, bool cut, size_t& route_frames);

}  // namespace canopy::link
