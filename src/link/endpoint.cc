#include "link/endpoint.h"

#include <arpa/inet.h>

#include <algorithm>

namespace canopy::link {
namespace {

constexpr size_t ipc_path_bytes_max = 107;  // sockaddr_un.sun_path without its zero; unix(7)

tl::unexpected<Error> refused() {
  return failure(Code::bad_request, "want tcp://HOST:PORT or ipc://PATH, such as \"tcp://127.0.0.1:7700\"");
}

bool valid_port(std::string_view port) {
  if (port == "*") return true;
  if (port.empty() || port.size() > 5 || !std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return false;
  const int number = std::stoi(std::string(port));
  return number >= 1 && number <= 65535;
}

bool valid_host(const std::string& host, bool bracketed) {
  if (bracketed) {
    in6_addr address{};
    return inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;
  }
  if (host == "*") return true;
  return !host.empty() && host.size() <= 255 && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
  });
}

}  // namespace

bool Endpoint::loopback() const {
  if (ipc || host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, host.c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint endpoint;
  if (text.find('\0') != std::string_view::npos) return refused();
  if (text.starts_with("ipc://")) {
    endpoint.ipc = true;
    endpoint.path = text.substr(6);
    if (endpoint.path.empty() || endpoint.path == "*") return refused();
    if (endpoint.path.size() > ipc_path_bytes_max)
      return failure(Code::bad_request, "the path is longer than the 107 bytes that a Unix socket may have");
    return endpoint;
  }
  if (!text.starts_with("tcp://")) return refused();
  text.remove_prefix(6);
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refused();
  std::string_view host = text.substr(0, colon);
  endpoint.port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  endpoint.host = host;
  if (!valid_host(endpoint.host, bracketed)) return refused();
  if (!valid_port(endpoint.port)) return failure(Code::bad_request, "want a port from 1 to 65535, or * for any free one");
  return endpoint;
}

Result<Endpoint> parse_peer_endpoint(std::string_view text) {
  auto endpoint = parse_endpoint(text);
  if (endpoint && (endpoint->every_interface() || endpoint->port == "*"))
    return failure(Code::bad_request, "want an address that others can connect to, not every interface or any port");
  return endpoint;
}

}  // namespace canopy::link
