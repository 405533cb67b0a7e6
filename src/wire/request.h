// What a client can ask, one struct per verb, and its two encodings (msgpack and JSON). The same
// frames carry a request that one node passes on to another; `Leaves` and `Leaf` are for nodes only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace canopy::wire {

enum class Encoding : uint8_t { msgpack, json };
// The numbers stand in stored records: never to change.
enum class Timeline : uint8_t { home = 1, sent = 2, mentions = 3, replies = 4, topic = 5 };
std::string_view timeline_name(Timeline timeline);
bool parse_timeline(std::string_view name, Timeline& timeline);

struct Ping {};
struct Message {
  std::string author, type, body;
  std::string key;      // "" for none
  MessageId reply_to{}; // zero for none
  // Each name once. Topics begin with '#': the decoder adds it where the client left it out.
  std::vector<std::string> mentions{}, topics{}, to{};
};
struct Publish {
  std::vector<Message> messages;  // one, unless batch
  bool batch = false;             // `messages` was given: the answer is `results`
};
struct Pair {
  std::string follower, author;
};
struct Follow {
  std::vector<Pair> pairs;        // one, unless batch
  bool batch = false;
  uint32_t wait_ms = 1000;
  uint32_t backfill = 0;          // earlier messages to show, at most limits::backfill_max
};
struct Unfollow {
  std::vector<Pair> pairs;
  bool batch = false;
};
struct Read {
  std::vector<std::string> entities;
  bool batch = false;
  Timeline timeline = Timeline::home;
  uint32_t limit = 50;
  std::optional<Position> before, after;  // at most one
  uint32_t wait_ms = 0;                   // only with after or consumer
  bool stale_ok = false;
  std::string consumer{};                 // go on after this consumer's marker; "" for none
};
struct Get {
  MessageId id;
};
struct Thread {
  MessageId id;
  uint32_t limit = 50;                    // replies, oldest first
  Position after;                         // of the replies: the `next` of the answer before; zero: from the first
};
struct Retract {
  std::string author;
  MessageId id;
};
struct Delete {
  std::string entity;
};
struct Mark {
  std::string entity;
  Timeline timeline = Timeline::home;
  Position position;
  std::string consumer;                   // "" for the reader
};
struct Retain {                           // what is not given stays as it is
  std::string entity;
  Timeline timeline = Timeline::sent;     // not home
  std::optional<uint64_t> count, age_s;   // 0: no bound
};
struct Alias {
  std::string entity, alias;
};
struct Forwarding {                       // FORWARD
  std::string from, to;
  bool off = false;
};
struct Followers {
  std::string entity;
  uint32_t limit = 50;
  uint64_t after = 0;  // a cursor: the `next` of the answer before
};
struct Following {
  std::string entity;
  uint32_t limit = 50;
  uint64_t after = 0;
};
struct Lookup {
  std::string entity;
};
struct Map {
  uint64_t after = 0;  // only if newer than this version
};
struct Tree {
  std::string entity;
  uint32_t depth = 0;   // levels to show; 0: all
  uint32_t fanout = 0;  // as it would be with this fanout; 0: as it is
  bool costs = false;   // of leaves also their mode and what each mode costs
};
struct Status {};

// Between nodes: which buckets have leaves of an entity's reflector; asked of the entity's bucket.
struct Leaves {
  std::string entity;
};
// Between nodes: the followers of `reflector` in `bucket` with numbers above `after`, at most
// `limit` names (0: only the count); `costs`: what each mode costs there.
struct Leaf {
  std::string reflector;
  BucketId bucket;
  uint32_t limit = 0;
  EntityNo after;
  bool costs = false;
};

using Request = std::variant<Ping, Publish, Follow, Unfollow, Read, Get, Followers, Following,
                             Lookup, Map, Tree, Status, Leaves, Leaf, Thread, Retract, Delete, Mark,
                             Retain, Alias, Forwarding>;
std::string_view verb_of(const Request& request);  // "PING", …; "X.LEAVES", "X.LEAF" between nodes

struct RequestFrames {
  std::string verb, args;
  std::optional<std::string> body;  // a single PUBLISH's
};

struct RequestLimits {
  size_t body_max = 1u << 20;
  bool between_nodes = false;  // also takes Leaves and Leaf
};

// Returns the encoding of an args frame: JSON when it begins with '{' (white space before it
// allowed), else msgpack.
Encoding encoding_of(std::string_view args);

// Returns the request, or what was wrong, naming the field.
// `frames`: verb [args [body]].
Result<Request> decode_request(const std::vector<std::string_view>& frames, const RequestLimits& limits);
RequestFrames encode_request(const Request& request, Encoding encoding);

// An ingest packet: `author body` or `author args body`.
Result<Publish> decode_ingest(const std::vector<std::string_view>& frames, const RequestLimits& limits);

}  // namespace canopy::wire
