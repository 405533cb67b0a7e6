#include "link/packet.h"

#include "base/assert.h"

namespace canopy::link {

Packet split_packet(const std::vector<std::string_view>& frames, bool cut, size_t& route_frames) {
  ASSERT(!frames.empty());
  size_t bytes = frames[0].size();
  for (size_t i = 1; i < frames.size(); ++i) {
    bytes += frames[i].size();
    if (i >= route_frames_max || bytes > route_bytes_max) {
      route_frames = 1;
      return Packet::bad_route;
    }
    if (!frames[i].empty()) continue;
    route_frames = i + 1;
    return cut || frames.size() - route_frames > payload_frames_max ? Packet::too_long : Packet::request;
  }
  route_frames = 1;
  return Packet::bad_route;
}

}  // namespace canopy::link
