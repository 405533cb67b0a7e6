// What enters a bucket's step and what leaves it: values, never shared state. The same values pass
// between a node's core and its shards (shard/seam.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "leaf/modes.h"
#include "map/map.h"
#include "wire/letter.h"
#include "wire/reply.h"
#include "wire/request.h"

namespace canopy::bucket {

using MapRef = std::shared_ptr<const map::BucketMap>;

// ---- in

// A request for one bucket. PUBLISH, FOLLOW, UNFOLLOW and READ hold only what belongs to it.
struct Ask {
  uint64_t ask = 0;        // the core's number; comes back in Answer
  BucketId bucket;
  wire::Request request;
  Instant deadline;        // answered or dropped by then
};
struct Forget {            // the one who asked is gone or has had his answer: drop what waits
  uint64_t ask = 0;
  BucketId bucket;
};
struct Arrive {            // a packet for the bucket packet_to(packet)
  wire::Packet packet;
};
struct Deliver {           // a stream letter for leaves of this shard
  uint64_t ticket = 0;     // comes back in Delivered
  BucketId root;
  std::string reflector;
  wire::StreamItem item;
  std::vector<BucketId> leaves;
};
struct Pushed {            // how a push ended: those leaves are owed
  BucketId root;
  std::string reflector;
  StreamNo no;
  std::vector<BucketId> not_taken;
};
struct Audience {          // somebody subscribes to a live feed of an entity here, or nobody any more
  BucketId bucket;
  wire::Timeline timeline = wire::Timeline::home;
  std::string entity;
  bool present = false;
};
struct NewMap {
  MapRef map;
  NodeIndex self;
  std::vector<BucketId> buckets;  // this shard's
};
struct Turn {              // a leaf of that reflector is to be in another mode
  BucketId bucket;
  std::string reflector;
  leaf::Mode mode = leaf::Mode::append;
};
struct NodeUp {            // a link session with that node began: send again what it is owed
  NodeIndex node;
};

// ---- out; everything here leaves after the commit that it rests on

struct Answer {
  uint64_t ask = 0;
  wire::Reply reply;
};
struct Depart {            // a packet for another bucket, wherever it is
  wire::Packet packet;
};
struct Push {              // a stream letter with the whole tree; ends in one Pushed.
  wire::StreamLetter letter;  // route.node is the root's own node
};
struct Delivered {
  uint64_t ticket = 0;
  std::vector<BucketId> not_taken;
};
struct Feed {              // a live entry, a retraction, or (neither set) a beat with the newest position
  wire::Timeline timeline = wire::Timeline::home;
  std::string entity;
  wire::Entry entry;
  Position prev;
  std::optional<MessageId> retracted = std::nullopt;
};
struct Report {            // for STATUS and metrics, about once a second
  wire::StatusSection section;
};
using Out = std::variant<Answer, Depart, Push, Delivered, Feed, Report>;

}  // namespace canopy::bucket
