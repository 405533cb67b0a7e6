// All ZeroMQ sockets of a node: the front's ROUTER, PULL and XPUB, the links' ROUTER, and a DEALER for
// each peer. It moves frames and knows nothing of what they say, but for two things: which frames of
// a request are its way back, and which topics of the live feeds are complete.
//
// One thread makes it, uses it and ends it. No exception of ZeroMQ leaves it. It promises nothing
// about what it sends: a full or vanished peer loses the packet, and a counter tells.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "wire/reply.h"

namespace canopy::link {

struct SocketOptions {
  std::string client, feed, ingest, link;  // endpoints to bind; "": off
  size_t request_frame_bytes_max = 0;      // of one frame from a client
};

// What the sockets have received; called from Sockets::receive(). Views are valid during the call.
class Receiver {
 public:
  virtual ~Receiver() = default;
  virtual void on_client(std::vector<std::string> route, const std::vector<std::string_view>& frames) = 0;
  virtual void on_ingest(const std::vector<std::string_view>& frames) = 0;
  virtual void on_feed_subscription(std::string_view topic, bool on) = 0;  // the first on, the last off
  virtual void on_link(std::string_view bytes) = 0;
};

struct Counters {
  uint64_t requests = 0, replies = 0, replies_refused = 0;
  uint64_t replies_full = 0;       // the client reads too slowly
  uint64_t replies_gone = 0;       // the client has left
  uint64_t ingested = 0, ingest_refused = 0;
  uint64_t link_in = 0, link_in_bytes = 0, link_in_refused = 0;
  uint64_t link_out = 0, link_out_bytes = 0;
  uint64_t link_full = 0;          // no connection just now, or a full queue
  uint64_t feed_out = 0, feed_topics_refused = 0;
  uint64_t errors = 0;             // of ZeroMQ itself
};

class Sockets {
 public:
  // Binds what is not "". An error names the setting, the endpoint and the reason.
  static Result<std::unique_ptr<Sockets>> bind(const SocketOptions& options);
  virtual ~Sockets() = default;    // gives what is still queued a second to leave

  // The endpoints as bound: a port of "*" is the one that was taken. "" where off.
  struct Bound {
    std::string client, feed, ingest, link;
  };
  virtual const Bound& bound() const = 0;

  // Waits until there is something to receive, one of `fds` is readable, or `timeout` is over.
  // Without `ingest` the PULL socket is left alone, here and below, which holds its senders back.
  virtual void wait(Duration timeout, std::span<const int> fds, bool ingest) = 0;

  // Receives a bounded burst from each socket; after a wait() only from those that it saw readable.
  // Returns whether a burst was cut short, so that there may be more.
  virtual bool receive(Receiver& receiver, bool ingest) = 0;

  virtual void send_client(std::vector<std::string> route, wire::ReplyFrames reply) = 0;
  virtual void send_feed(wire::FeedFrames frames) = 0;
  virtual void send_link(std::string_view endpoint, std::string bytes) = 0;  // an unknown endpoint: dropped
  virtual Result<void> connect(std::string_view endpoint) = 0;               // again: nothing happens
  virtual void disconnect(std::string_view endpoint) = 0;                    // drops what is queued

  virtual const Counters& counters() const = 0;
};

}  // namespace canopy::link
