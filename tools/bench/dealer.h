// One DEALER to one node, and requests in the protocol's frames (include/canopy/PROTOCOL.md, 2).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <zmq.hpp>

#include "wire/reply.h"
#include "wire/request.h"

namespace canopy::bench {

// A request as frames, and what it is about for who made it. Kept until it is answered: it may have to go again.
struct Frames {
  std::string_view verb;        // of static storage
  std::string args;             // msgpack
  std::string body;             // the third frame of a single PUBLISH
  bool has_body = false;
  uint32_t node = 0;            // the endpoint to use, modulo their number
  std::vector<uint64_t> about;  // the caller's

  void clear() { args.clear(), body.clear(), has_body = false, about.clear(); }
};

class Dealer {
 public:
  explicit Dealer(const std::string& endpoint);

  void send(uint32_t tag, const Frames& frames);
  // Returns whether a reply was there. The views are valid until the next call.
  bool receive(uint32_t& tag, bool& ok, std::string_view& result);
  // Waits for a reply. Returns false after `most`.
  bool wait(std::chrono::milliseconds most);
  void* handle() { return socket_.handle(); }

  // One request and its answer, whatever it is; replies to other requests are dropped meanwhile.
  // Throws Stop after `patience`.
  wire::Reply call(const wire::Request& request, std::chrono::milliseconds patience = std::chrono::seconds(70));

 private:
  zmq::socket_t socket_;
  zmq::message_t status_, result_;
  uint32_t calls_ = 0;
};

// The context of all sockets of this process.
zmq::context_t& context();

Frames frames_of(const wire::Request& request);

}  // namespace canopy::bench
