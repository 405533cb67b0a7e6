// The core of a node: front, links, relays, formation. A machine that takes packets and time and
// gives back packets; it never waits, reads a clock or opens a socket. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "map/map.h"
#include "shard/seam.h"
#include "store/backend.h"
#include "wire/frame.h"

namespace canopy::node {

struct NodeOptions {
  std::string name;
  std::string version;                  // the program's
  map::FabricSettings settings;         // as this node's file has them
  std::string client, feed, link;       // advertised endpoints
  std::string zone;
  uint32_t weight_milli = 1000;
  std::vector<std::string> seeds;       // link endpoints of the first nodes
  uint32_t bootstrap_expect = 1;
  uint32_t shards = 1;
  uint64_t boot = 0;                    // random per start, not zero
  std::string new_fabric_id;            // 16 random bytes, used if this node forms the fabric
};

// What the shell is to do, in this order, but that answers to clients may go first: all of it is already safe to go.
struct Output {
  struct Client {                       // to the front's ROUTER
    std::vector<std::string> route;     // the frames before the verb, as they came
    wire::ReplyFrames reply;
  };
  struct Link {                         // on the DEALER to that endpoint; dropped when it is full
    std::string endpoint, bytes;
  };
  struct ToShard {
    uint32_t shard = 0;
    shard::In in;
  };
  std::vector<std::string> connect, disconnect;  // link endpoints
  std::vector<ToShard> shards;
  std::vector<Link> links;
  std::vector<Client> clients;
  std::vector<wire::FeedFrames> feed;
  void clear();
};

class Node {
 public:
  // Reads the node's identity and map from `control` (writing them when it is new). Refuses a data
  // directory of another node, fabric, shard count, bucket count or a newer format, changing nothing.
  // `control` outlives the node and is used by it alone.
  static Result<std::unique_ptr<Node>> open(NodeOptions options, store::Backend& control);
  virtual ~Node() = default;

  // Called once after the sockets are bound and the shards run.
  virtual void start(Now now, Output& out) = 0;

  virtual void on_client(Now now, std::vector<std::string> route, const std::vector<std::string_view>& frames, Output& out) = 0;
  virtual void on_ingest(Now now, const std::vector<std::string_view>& frames, Output& out) = 0;
  virtual void on_feed_subscription(Now now, std::string_view topic, bool on, Output& out) = 0;
  virtual void on_link(Now now, std::string_view bytes, Output& out) = 0;
  virtual void on_shard(Now now, uint32_t shard, shard::Out from, Output& out) = 0;
  virtual void on_time(Now now, Output& out) = 0;   // heartbeats, time-outs; call at next_deadline() or earlier
  virtual Instant next_deadline() const = 0;
  // Puts what was gathered for each peer into frames; call when a turn of the loop has no more input.
  virtual void flush(Now now, Output& out) = 0;

  virtual bool ready() const = 0;                   // the map is there: PING answers OK
  virtual std::string waiting_for() const = 0;      // "waiting for 2 of 3 nodes: n2, n3"; empty when ready
  // Set when the node must end with this message (another fabric's peer settings differ, …).
  virtual std::optional<std::string> fatal() const = 0;
  virtual size_t requests_in_flight() const = 0;
  // What came without wanting an answer waits already: read no more of it just now.
  virtual bool ingest_full() const = 0;
  // What the sockets counted, for STATUS: drops that the core does not see.
  virtual void on_sockets(wire::StatusSection section) = 0;
  // Refuse new requests with UNAVAILABLE and go on with what is in flight (SIGTERM).
  virtual void drain(Now now, Output& out) = 0;
};

}  // namespace canopy::node
