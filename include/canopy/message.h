// What is said to the fabric and what it answers: plain values, one struct per idea.
//
// Names of entities are 1–200 bytes of UTF-8 without control characters. Times are milliseconds
// since 1970. A message id uses all 64 bits (in JSON: a string); a position fits 53.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "canopy/error.h"

namespace canopy::client {

using std::chrono::milliseconds;

using MessageId = uint64_t;
using Position = uint64_t;  // in one timeline: later entries have greater positions; 0 is before the first
using Cursor = uint64_t;    // where a list of names goes on; 0 is its beginning

enum class Timeline : uint8_t {
  home,      // what the entity follows, and what was sent straight to it
  sent,      // what the entity published
  mentions,  // what names the entity
  replies,   // what replies to the entity's messages
  topic,     // what carries the topic; the entity is the topic, "#news"
};

// ---- Requests: one struct per verb ----

struct Ping {};

struct Message {
  std::string author = {};
  std::string body = {};  // any bytes, at most the fabric's `body_max` (1 MiB unless set otherwise)
  std::string type = {};  // at most 200 bytes, for the readers to agree on; "" for none
  std::string key = {};   // at most 200 bytes: a repeat with the same author and key gives the first
                          // answer, so that publishing again after `no_answer` is safe; "" for none
  MessageId reply_to = 0;                  // 0 for none; a message that is gone may be replied to
  std::vector<std::string> mentions = {};  // at most 64 of each; names twice count once
  std::vector<std::string> topics = {};    // with or without '#' in front
  std::vector<std::string> to = {};        // straight into these homes, no follow needed
};

// At most 1000. One message is asked as one, and what is wrong with it is the request's error; of
// several each has a result of its own.
struct Publish {
  std::vector<Message> messages = {};
};

struct Pair {
  std::string follower = {}, author = {};
};

// At most 10,000 pairs; what is wrong with a single one is the request's error. No atomicity across
// pairs, and safe to repeat. Waits up to `wait` (at most a minute) for the authors' buckets; what they
// have not answered by then is pending and goes on by itself.
struct Follow {
  std::vector<Pair> pairs = {};
  milliseconds wait{1000};
  uint32_t backfill = 0;  // so many earlier messages of each author come into home, below what follows; at most 1000
};
struct Unfollow {
  std::vector<Pair> pairs = {};
};

// A page of a timeline. Without `after` the newest come first; with it the oldest first, and `wait`
// (at most a minute) makes it a long poll. Asking again after the last position seen is a complete tail.
// A `consumer` goes on after its marker, as if that were given as `after`; it is moved by Mark alone.
struct Read {
  std::string entity = {};
  Timeline timeline = Timeline::home;
  uint32_t limit = 50;                              // 1 to 1000
  std::optional<Position> before = {}, after = {};  // itself excluded; at most one of the two
  milliseconds wait{0};                             // only with `after` or `consumer`
  bool stale_ok = false;                            // a backup may answer
  std::string consumer = {};                        // "" for none; not together with `before` or `after`
};

struct Get {
  MessageId id = 0;
};
// A message, what it replies to, and a page of the replies to it, oldest first.
struct GetThread {
  MessageId id = 0;
  uint32_t limit = 50;  // of the replies: 1 to 1000
  Position after = 0;   // the `next` of the page before; 0: from the first
};
// Takes a message out of every list that it reached.
struct Retract {
  std::string author = {};
  MessageId id = 0;
};
// Takes the entity away: its messages as Retract does, its follows and followers, its lists and aliases.
struct Delete {
  std::string entity = {};
};
// Says up to where a timeline was read.
struct Mark {
  std::string entity = {};
  Timeline timeline = Timeline::home;
  Position position = 0;
  std::string consumer = {};  // whose marker; "": the reader's, which `Page::unread` goes by
};
// Bounds a list; what is not given stays as it is.
struct Retain {
  std::string entity = {};
  Timeline timeline = Timeline::sent;         // not home: it is bounded by the fabric's capacity
  std::optional<uint64_t> count = {};         // entries, the newest are kept; 0: no bound
  std::optional<std::chrono::seconds> age = {};  // by the message's time; 0: no bound
};
// From now on the alias names the entity. It must not have been used as a name of its own.
struct Alias {
  std::string entity = {}, alias = {};
};
// What reaches the followers of `from` also reaches those of `to`, once.
struct Forward {
  std::string from = {}, to = {};
  bool off = false;  // no longer
};
struct Followers {
  std::string entity = {};
  uint32_t limit = 50;  // 1 to 1000
  Cursor after = 0;
};
struct Following {
  std::string entity = {};
  uint32_t limit = 50;  // 1 to 1000
  Cursor after = 0;
};
struct Lookup {
  std::string entity = {};
};
struct GetMap {
  uint64_t after = 0;  // a map version: nothing is listed unless the map is newer
};
struct GetTree {
  std::string entity = {};
  uint32_t depth = 0;   // levels to list; 0: all
  uint32_t fanout = 0;  // as the tree would be with this fanout; 0: as it is
  bool costs = false;   // of each leaf its mode, and what each mode costs
};
struct GetStatus {};

using Request = std::variant<Ping, Publish, Follow, Unfollow, Read, Get, Followers, Following, Lookup,
                             GetMap, GetTree, GetStatus, GetThread, Retract, Delete, Mark, Retain, Alias, Forward>;

// ---- Answers ----

struct NodeInfo {
  std::string node = {}, fabric = {}, fabric_id = {}, version = {};
  uint64_t map_version = 0;
};

struct Published {
  MessageId id = 0;
  uint64_t time_ms = 0;
};

struct PublishAnswer {
  std::vector<Result<Published>> results = {};  // in the order of the messages
};

enum class FollowState : uint8_t { active, pending };

struct FailedPair {
  size_t index = 0;  // in the request's pairs
  Error error;
};
struct FollowAnswer {
  uint64_t active = 0, pending = 0;
  std::vector<FailedPair> failed = {};
};
struct UnfollowAnswer {
  uint64_t removed = 0;  // pairs that were there
  std::vector<FailedPair> failed = {};
};

struct Entry {
  Position position = 0;
  MessageId id = 0;
  std::string author = {};
  uint64_t time_ms = 0;
  std::string type = {};
  std::string body = {};
  MessageId reply_to = 0;  // 0 for none
  std::vector<std::string> mentions = {}, topics = {};
};

struct Page {
  std::vector<Entry> entries = {};
  std::optional<Position> next = {};          // where to go on, as `before` or `after` like this request; none: the end
  std::optional<uint64_t> unread = {};        // entries above the marker, 10,000 for that many or more; none before any Mark
  bool truncated = false;                     // older entries have left the timeline
  std::vector<std::string> incomplete = {};   // authors that could not be reached just now
};

struct Thread {
  Entry message;
  std::optional<Entry> parent = {};   // what it replies to; none when that is nothing, or gone
  std::vector<Entry> replies = {};    // oldest first, their positions in `replies` of the message's author
  std::optional<Position> next = {};  // none: the end
};

struct Retracted {};
struct Deleted {};
struct Marked {
  uint64_t unread = 0;  // as in Page
};
// What holds now; 0: no bound.
struct Retention {
  uint64_t count = 0;
  std::chrono::seconds age{0};
};
struct Aliased {
  std::string entity = {}, alias = {};  // the entity by its first name
};
struct Forwarding {
  FollowState state = FollowState::active;
  bool off = false;
};

struct Names {
  std::vector<std::string> names = {};    // in a fixed order, not alphabetical
  std::optional<Cursor> next = {};        // none: the end
  uint64_t count = 0;                     // of the whole list
};

// Where an entity lives.
struct Place {
  std::string entity = {};
  uint32_t bucket = 0;
  uint32_t epoch = 0;
  std::string primary = {};
  std::vector<std::string> backups = {};
  std::string endpoint = {};  // the primary's, for clients
};

struct Node {
  std::string name = {}, client = {}, feed = {}, link = {}, zone = {};
  std::string state = {};  // "up" or "down", as the answering node sees it
  double weight = 1;
};
struct Bucket {
  uint32_t bucket = 0;
  std::string primary = {};
  std::vector<std::string> backups = {};
  uint32_t epoch = 0;
  uint64_t incarnation = 0;
};
struct Map {
  uint64_t version = 0;
  uint32_t bucket_count = 0;
  std::vector<Node> nodes = {};  // empty when the map is no newer than was asked for
  std::vector<Bucket> buckets = {};
};

// How messages come into the homes of one leaf's followers, and what that costs there (PROTOCOL.md, TREE).
struct LeafCosts {
  std::string mode = {};                  // "append", "merge" or "lazy"
  bool forced = false;                    // by the node's settings
  uint64_t warm = 0;                      // followers with a timeline in memory
  struct Measured {
    double messages_per_s = 0, reads_per_s = 0;            // reads: of all followers' homes
    uint64_t append_ns = 0, merge_ns = 0, lazy_ns = 0;     // for each message, with the reads that it causes
  };
  std::optional<Measured> measured = {};  // none: not enough was seen yet
};
struct Reflector {
  std::string kind = {};                  // "root", "branch" or "leaf"
  std::optional<uint32_t> bucket = {};    // none for a branch: it belongs to a node
  std::string node = {};
  uint64_t children = 0;
  uint64_t followers = 0;                 // below it
  uint32_t level = 0;                     // the root's is 1
  uint32_t parent = 0;                    // index in the list; the root names itself
  std::optional<LeafCosts> costs = {};    // of a leaf, when asked for
};
struct Tree {
  std::string entity = {};
  uint64_t followers = 0;
  uint32_t levels = 0;                     // reflectors on the longest path, leaves not counted
  std::vector<Reflector> reflectors = {};  // parents before their children
};

struct Section {
  std::string name = {};
  std::vector<std::pair<std::string, std::variant<uint64_t, std::string>>> fields = {};
};
struct Status {
  std::vector<Section> sections = {};
};

using Answer = std::variant<NodeInfo, PublishAnswer, FollowAnswer, UnfollowAnswer, Page, Entry, Names,
                            Place, Map, Tree, Status, Thread, Retracted, Deleted, Marked, Retention, Aliased,
                            Forwarding>;

}  // namespace canopy::client
