// What a client is answered, one struct per result, and its two encodings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "wire/request.h"

namespace canopy::wire {

struct Entry {
  Position position;  // in the timeline that was read
  Blob message;       // encoded (message.h)
};

struct PingResult {
  std::string node, fabric, version;  // fabric: its name; version: the program's
  std::string fabric_id;              // 32 hexadecimal digits
  uint64_t map_version = 0;
};
struct Published {
  MessageId id;
  uint64_t time_ms = 0;
};
struct PublishResult {
  std::vector<std::variant<Published, Error>> results;
  bool batch = false;
};
enum class FollowState : uint8_t { active = 1, pending = 2 };
struct FollowResult {
  std::vector<std::variant<FollowState, Error>> states;  // in the order of the pairs
  bool batch = false;
};
struct UnfollowResult {
  std::vector<std::variant<bool, Error>> removed;
  bool batch = false;
};
struct TimelinePage {
  std::vector<Entry> entries;
  std::optional<Position> next;
  std::optional<uint64_t> unread;  // none before any MARK
  bool truncated = false;
  std::vector<std::string> incomplete;
};
struct ReadResult {
  std::vector<std::variant<TimelinePage, Error>> pages;
  bool batch = false;
};
struct GetResult {
  Entry entry;
};
struct ThreadResult {
  Entry message;
  std::optional<Entry> parent;     // what it replies to: none when it replies to nothing or that is gone
  std::vector<Entry> replies;      // oldest first; positions in the parent's author's `replies`
  std::optional<Position> next;
};
struct RetractResult {};           // retracted: true
struct DeleteResult {};            // deleted: true
struct MarkResult {
  uint64_t unread = 0;             // at most limits::unread_max: that many or more
};
struct RetainResult {              // what holds now; 0: no bound
  uint64_t count = 0, age_s = 0;
};
struct AliasResult {
  std::string entity, alias;       // entity: its first name
};
struct ForwardingResult {
  FollowState state = FollowState::active;
  bool off = false;
};
// Between nodes: the request names an alias. Nothing of it was done; `again` has the entities' first names.
struct Moved {
  Request again;
};
struct NamesResult {
  std::vector<std::string> names;
  std::optional<uint64_t> next;
  uint64_t count = 0;
};
struct LookupResult {
  std::string entity;
  BucketId bucket;
  Epoch epoch;
  std::string primary;
  std::vector<std::string> backups;
  std::string endpoint;  // the primary's client endpoint
};
struct MapNode {
  std::string name, client, feed, link, zone, state;  // state: "up" or "down" as the answering node sees it
  uint32_t weight_milli = 1000;
};
struct MapBucket {
  BucketId bucket;
  std::string primary;
  std::vector<std::string> backups;
  Epoch epoch;
  uint64_t incarnation = 0;
};
struct MapResult {
  uint64_t version = 0;
  uint32_t bucket_count = 0;
  std::vector<MapNode> nodes;      // empty when nothing changed after the given version
  std::vector<MapBucket> buckets;
};
// What the ways of bringing messages into the homes of one leaf's followers cost (TREE with `costs`).
struct LeafCosts {
  std::string mode;                // the one it is in: "append", "merge" or "lazy"
  bool forced = false;             // by the settings
  uint64_t warm = 0;               // followers with a timeline in memory
  // None before enough was seen. Rates are a thousandth per second, costs nanoseconds for each message.
  struct Measured {
    uint64_t messages_milli = 0, reads_milli = 0;  // of all followers
    uint64_t append_ns = 0, merge_ns = 0, lazy_ns = 0;
  };
  std::optional<Measured> measured;
};
struct TreeReflector {
  std::string kind;  // "root", "branch", "leaf"
  std::optional<BucketId> bucket;  // none for a branch: it belongs to a node only
  std::string node;
  uint64_t children = 0;
  uint64_t followers = 0;          // below it
  uint32_t level = 0;              // the root's is 1
  uint32_t parent = 0;             // index in the list; the root's own index for the root
  std::optional<LeafCosts> costs{};  // of a leaf, when asked for
};
struct TreeResult {
  std::string entity;
  uint64_t followers = 0;
  uint32_t levels = 0;             // reflectors on the longest path, leaves not counted
  std::vector<TreeReflector> reflectors;  // parents before children
};
struct StatusSection {
  std::string name;
  std::vector<std::pair<std::string, std::variant<uint64_t, std::string>>> fields;
};
struct StatusResult {
  std::vector<StatusSection> sections;
};
struct LeavesResult {
  std::vector<BucketId> buckets;   // ascending
};
struct LeafResult {
  uint64_t count = 0;
  std::vector<std::string> names;
  std::optional<EntityNo> next;
  std::optional<LeafCosts> costs{};  // when asked for, and there is such a leaf
};

using Reply = std::variant<Error, PingResult, PublishResult, FollowResult, UnfollowResult, ReadResult,
                           GetResult, NamesResult, LookupResult, MapResult, TreeResult, StatusResult,
                           LeavesResult, LeafResult, ThreadResult, RetractResult, DeleteResult,
                           MarkResult, RetainResult, AliasResult, ForwardingResult, Moved>;

struct ReplyFrames {
  std::string status, result;  // "OK" or "ERR"
};

ReplyFrames encode_reply(const Reply& reply, Encoding encoding);
// Returns the reply to a request of `verb`, or an error of code internal for one that does not fit it.
// An ERR reply comes as a Reply that holds an Error. The encoding is seen from `result` itself.
Result<Reply> decode_reply(std::string_view verb, std::string_view status, std::string_view result);
std::string_view verb_of_reply(const Reply& reply);  // of the request that such a reply answers; Error: ""

// A live feed's three frames (PROTOCOL.md, "Live feeds").
struct FeedFrames {
  std::string topic, head, body;
};
std::string feed_topic(Timeline timeline, std::string_view entity);  // with its zero byte
// Returns false unless `topic` is complete: a known timeline, '/', a valid name, one zero byte at the end.
bool parse_feed_topic(std::string_view topic, Timeline& timeline, std::string& entity);
FeedFrames encode_feed_entry(Timeline timeline, std::string_view entity, const Entry& entry, Position prev);
// A retraction on a feed: {retracted: id}, no body.
FeedFrames encode_feed_retraction(Timeline timeline, std::string_view entity, MessageId id);
FeedFrames encode_feed_beat(Timeline timeline, std::string_view entity, Position newest);

}  // namespace canopy::wire
