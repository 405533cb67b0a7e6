// What may stand in an endpoint setting, and in an endpoint that a peer names. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace canopy::link {

struct Endpoint {
  bool ipc = false;
  std::string host;  // of tcp; without the brackets of IPv6; "*": every interface
  std::string port;  // of tcp; "*": any free one
  std::string path;  // of ipc

  bool every_interface() const { return host == "*" || host == "0.0.0.0" || host == "::"; }
  bool loopback() const;  // only this machine can reach it: 127.0.0.0/8, ::1, localhost, ipc
};

// Returns the parts of tcp://HOST:PORT (HOST in brackets when it is IPv6) or ipc://PATH. The other
// transports of ZeroMQ are refused: inproc:// would lead into this process.
[[nodiscard]] Result<Endpoint> parse_endpoint(std::string_view text);

// The same for an endpoint to connect to: neither host nor port may be "*".
[[nodiscard]] Result<Endpoint> parse_peer_endpoint(std::string_view text);

}  // namespace canopy::link
