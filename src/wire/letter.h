// What buckets say to each other. Channel letters are durable at the sender until acknowledged;
// everything else may be lost, repeated or reordered: numbers tell, fetch mends.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"

namespace canopy::wire {

// ---- Channels: leaf bucket ⇄ root's bucket

struct LeafJoin {       // leaf → root
  std::string reflector;
  Position generation;  // the position of the join in the leaf's bucket
};
struct LeafLeave {      // leaf → root
  std::string reflector;
  Position generation;
};
struct Welcome {        // root → leaf
  std::string reflector;
  Position generation;  // of the join that it answers
  StreamNo first;       // the first number that the leaf will get
  MessageId newest_before;
};
// A message for a list of an entity that it names. In home a direct one (`to`) stands beside what is followed.
// The numbers stand in stored records: never to change.
enum class List : uint8_t { mentions = 3, replies = 4, topic = 5, direct = 6 };
struct Clone {          // author → the list's entity
  List list = List::mentions;
  std::string name;     // the entity; of replies "": the author of `parent`
  MessageId parent;     // of replies only
  BodyRef ref;
  Blob message;
};
struct Unclone {        // its retraction, behind it in the same channel
  List list = List::mentions;
  std::string name;
  MessageId parent;
  MessageId id;
};
struct BackfillAsk {    // leaf → root: one follower wants to see earlier messages
  std::string reflector, follower;
  Position since;       // of the follow: names it
  uint32_t count = 0;
};
struct Backfill {       // root → leaf, one for each message, oldest first
  std::string reflector, follower;
  Position since;
  uint32_t back = 0;    // 1 for the newest: its position is since - back
  StreamNo no;          // of the message in the reflector's stream; zero: it has none
  BodyRef ref;
  Blob message;
};
struct Redirect {       // root's bucket → leaf: the name is an alias, join its entity instead
  std::string reflector;
  Position generation;
  std::string entity;
};
struct AliasClaim {     // entity → alias
  std::string entity, alias;
};
struct AliasAnswer {    // alias → entity
  std::string entity, alias;
  bool granted = false;
};
struct AliasDrop {      // entity → alias: the entity was deleted
  std::string entity, alias;
};
struct Share {          // target's bucket → root: `target` is about to forward its stream
  std::string reflector, target;
};
struct Shared {         // root → target's bucket: from now on its stream says that others have its messages too
  std::string reflector, target;
};
struct LeafMode {       // leaf → root, which sends its letters from now on, or none
  std::string reflector;
  Position generation;
  bool lazy = false;    // it fetches when somebody reads
};
using Letter = std::variant<LeafJoin, LeafLeave, Welcome, Clone, Unclone, BackfillAsk, Backfill, Redirect,
                            AliasClaim, AliasAnswer, AliasDrop, Share, Shared, LeafMode>;

// The letter's bytes in an outbox record: version u8, kind u8, fields. Never to change. A message is
// not in them, only its ref: decoding leaves it null.
std::string encode_letter(const Letter& letter);
bool decode_letter(std::string_view bytes, Letter& letter);
// A letter's ref and its message; null when letters of its kind have none.
struct LetterBody {
  BodyRef ref;
  Blob* message = nullptr;
};
LetterBody body_of(Letter& letter);

struct ChannelLetter {
  BucketId from, to;
  LetterNo number, previous;  // previous: of the letter before it in this channel, zero for the first
  Letter letter;
};
struct ChannelAck {     // from the channel's receiver: its mark
  BucketId from, to;    // of the channel: `from` is the bucket that is to hear this
  LetterNo have;
};

// ---- Streams

struct StreamItem {
  // The numbers travel: never to change. `ended`: the entity was deleted, its followers follow it no more.
  enum class Kind : uint8_t { message = 1, void_number = 2, retraction = 3, ended = 4 };
  StreamNo no;
  Kind kind = Kind::message;
  BodyRef ref;          // of a retraction only the id
  Blob message;         // of a message only
  bool shared = false;  // a message that may reach the same timeline by other ways: topics, `to`, forwards
  uint8_t hops = 0;     // how many reflectors have forwarded it
  StreamNo target{};    // of a retraction: the message's number in this stream; zero: not known
};

// A part of a follower tree, to be served by `node`: leaves in its own buckets, and further parts.
struct Route {
  NodeIndex node;
  std::vector<BucketId> leaves;
  std::vector<Route> children;
  size_t letters() const { return leaves.size() + children.size(); }
};

struct StreamLetter {
  BucketId root;
  std::string reflector;
  StreamItem item;
  Route route;
};
struct Tail {           // root → leaf: "my last number is n"
  BucketId from, to;
  std::string reflector;
  StreamNo last;
};
struct Have {           // leaf → root: "I have applied up to n" (or: no leaf here, number_max)
  BucketId from, to;
  std::string reflector;
  StreamNo applied;
};
struct Fetch {          // leaf → root
  BucketId from, to;
  std::string reflector;
  Position generation;
  StreamNo first, last; // at most limits::fetch_window_numbers
  uint64_t round = 0;   // of the leaf's bucket, for each fetch another: comes back with the answer
};
struct Fetched {        // root → leaf: covers every number of first–last
  BucketId from, to;
  std::string reflector;
  Position generation;
  StreamNo first, last; // what the answer covers; may end before the last asked for
  StreamNo gone_below;  // numbers below it are no longer kept: go on here; zero for none
  StreamNo newest;      // the root's last number now
  std::vector<StreamItem> items;
  uint64_t round = 0;   // of the fetch: `newest` was the root's last number after that was sent
};

// A leaf that was away so long that its root no longer has all retractions asks the buckets of the
// messages that it holds.
struct Check {          // leaf's bucket → the messages' bucket
  BucketId from, to;
  std::string reflector;
  Position generation;
  StreamNo until;         // where the leaf is to go on: names the round
  std::vector<MessageId> ids;  // at most limits::check_ids_max
};
struct Checked {        // and back: each of them, by whether it is retracted
  BucketId from, to;
  std::string reflector;
  Position generation;
  StreamNo until;
  std::vector<MessageId> live, dead;
};

// Between two buckets wherever they are; the route is looked up each time one is sent.
using Packet = std::variant<ChannelLetter, ChannelAck, Tail, Have, Fetch, Fetched, Check, Checked>;
BucketId packet_to(const Packet& packet);  // the bucket that is to get it

}  // namespace canopy::wire
