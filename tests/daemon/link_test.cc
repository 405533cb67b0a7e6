#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "link/endpoint.h"
#include "link/feeds.h"
#include "link/packet.h"

using namespace canopy;
using namespace canopy::link;
using namespace std::string_view_literals;

TEST_CASE("endpoint: only loopback and Unix sockets are out of reach of other machines") {
  for (const char* text : {"tcp://127.0.0.1:1", "tcp://127.9.9.9:1", "tcp://localhost:1", "tcp://[::1]:65535", "tcp://[::ffff:127.0.0.1]:1", "ipc:///run/x"}) {
    CAPTURE(text);
    const auto endpoint = parse_endpoint(text);
    REQUIRE(endpoint);
    CHECK(endpoint->loopback());
  }
  for (const char* text : {"tcp://0.0.0.0:1", "tcp://*:*", "tcp://10.0.0.1:1", "tcp://[::]:1", "tcp://[fe80::1]:1", "tcp://n1.example:1"}) {
    CAPTURE(text);
    const auto endpoint = parse_endpoint(text);
    REQUIRE(endpoint);
    CHECK(!endpoint->loopback());
  }
  for (const char* text : {"", "tcp://", "tcp://:1", "tcp://h", "tcp://h:", "tcp://h:0", "tcp://h:65536", "tcp://h:1x", "tcp://[::1:1", "tcp://::1:1",
                           "inproc://x", "ipc://", "ipc://*", "h:1", "tcp://a b:1"}) {
    CAPTURE(text);
    CHECK(!parse_endpoint(text));
  }
  CHECK(!parse_peer_endpoint("tcp://*:1"));
  CHECK(!parse_peer_endpoint("tcp://0.0.0.0:1"));
  CHECK(!parse_peer_endpoint("tcp://127.0.0.1:*"));
}

TEST_CASE("packet: the way back ends with the first empty frame after the socket's own") {
  size_t route = 0;
  CHECK(split_packet({"id", "", "PING"}, false, route) == Packet::request);
  CHECK(route == 2);
  CHECK(split_packet({"id", "mine", "also", "", "PUBLISH", "{}", ""}, false, route) == Packet::request);
  CHECK(route == 4);
  CHECK(split_packet({"id", ""}, false, route) == Packet::request);  // an empty request is for the node to refuse
  CHECK(route == 2);
  CHECK(split_packet({"id"}, false, route) == Packet::bad_route);
  CHECK(route == 1);
  CHECK(split_packet({"id", "PING"}, false, route) == Packet::bad_route);
  CHECK(split_packet({"", "", "PING"}, false, route) == Packet::request);
  CHECK(route == 2);
}

TEST_CASE("packet: too many frames, or a long way back, are refused to the one who sent them") {
  size_t route = 0;
  std::vector<std::string_view> frames{"id", ""};
  frames.resize(2 + payload_frames_max, "x");
  CHECK(split_packet(frames, false, route) == Packet::request);
  CHECK(split_packet(frames, true, route) == Packet::too_long);
  frames.emplace_back("x");
  CHECK(split_packet(frames, false, route) == Packet::too_long);
  CHECK(route == 2);

  std::vector<std::string_view> wide(route_frames_max + 1, "x");
  wide.emplace_back("");
  CHECK(split_packet(wide, false, route) == Packet::bad_route);
  CHECK(route == 1);
  const std::string large(route_bytes_max, 'x');
  CHECK(split_packet({"id", large, "", "PING"}, false, route) == Packet::bad_route);
}

TEST_CASE("feeds: only complete topics count, each until its last subscriber has gone") {
  Feeds feeds(2);
  using Change = Feeds::Change;
  CHECK(feeds.change(""sv, true, {5, 1}) == Change::refused);
  CHECK(feeds.change("home/"sv, true, {5, 1}) == Change::refused);
  CHECK(feeds.change("home/alice"sv, true, {5, 1}) == Change::refused);
  CHECK(feeds.change("house/alice\0"sv, true, {5, 1}) == Change::refused);
  CHECK(feeds.change("home/alice\0"sv, true, {5, 1}) == Change::first);
  CHECK(feeds.change("home/alice\0"sv, true, {6, 2}) == Change::more);
  CHECK(feeds.change("home/alice\0"sv, false, {6, 2}) == Change::none);
  CHECK(feeds.change("home/alice\0"sv, false, {5, 1}) == Change::last);
  CHECK(feeds.change("home/alice\0"sv, false, {5, 1}) == Change::none);
  CHECK(feeds.size() == 0);
}

TEST_CASE("feeds: there is a bound, and room again when one ends") {
  Feeds feeds(2);
  using Change = Feeds::Change;
  CHECK(feeds.change("home/a\0"sv, true, {5, 1}) == Change::first);
  CHECK(feeds.change("home/b\0"sv, true, {5, 1}) == Change::first);
  CHECK(feeds.change("home/c\0"sv, true, {5, 1}) == Change::refused);
  CHECK(feeds.change("home/a\0"sv, true, {6, 2}) == Change::more);
  CHECK(feeds.change("home/c\0"sv, false, {5, 1}) == Change::none);
  CHECK(feeds.change("home/b\0"sv, false, {5, 1}) == Change::last);
  CHECK(feeds.change("home/c\0"sv, true, {5, 1}) == Change::first);
}

TEST_CASE("feeds: nobody ends what another has, and saying it twice counts once") {
  Feeds feeds(2);
  using Change = Feeds::Change;
  CHECK(feeds.change("home/a\0"sv, true, {5, 1}) == Change::first);
  CHECK(feeds.change("home/a\0"sv, false, {6, 2}) == Change::none);  // never had it
  CHECK(feeds.wanted(std::string("home/a\0"sv)));
  CHECK(feeds.change("home/a\0"sv, true, {5, 1}) == Change::none);   // again
  CHECK(feeds.change("home/a\0"sv, false, {}) == Change::last);      // died
  CHECK(feeds.size() == 0);
}

TEST_CASE("feeds: a descriptor that is used again, before and after the end of the one that had it is told") {
  Feeds feeds(2);
  using Change = Feeds::Change;
  CHECK(feeds.change("home/a\0"sv, true, {5, 1}) == Change::first);
  CHECK(feeds.change("home/a\0"sv, true, {5, 2}) == Change::more);
  CHECK(feeds.change("home/a\0"sv, false, {}) == Change::none);      // 1 has died
  CHECK(feeds.change("home/a\0"sv, true, {6, 3}) == Change::more);
  CHECK(feeds.change("home/a\0"sv, false, {}) == Change::none);      // 2 has died
  CHECK(feeds.change("home/a\0"sv, true, {5, 4}) == Change::more);
  CHECK(feeds.change("home/a\0"sv, false, {5, 4}) == Change::none);
  CHECK(feeds.change("home/a\0"sv, false, {6, 3}) == Change::last);
}
