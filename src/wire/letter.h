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
using Letter = std::variant<LeafJoin, LeafLeave, Welcome>;

// The letter's bytes in an outbox record: version u8, kind u8, fields. Never to change.
std::string encode_letter(const Letter& letter);
bool decode_letter(std::string_view bytes, Letter& letter);

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
  // The numbers travel: never to change. Retractions come with a later issue.
  enum class Kind : uint8_t { message = 1, void_number = 2 };
  StreamNo no;
  Kind kind = Kind::message;
  BodyRef ref;
  Blob message;         // null for void_number
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
};
struct Fetched {        // root → leaf: covers every number of first–last
  BucketId from, to;
  std::string reflector;
  Position generation;
  StreamNo first, last; // what the answer covers; may end before the last asked for
  StreamNo gone_below;  // numbers below it are no longer kept: go on here; zero for none
  StreamNo newest;      // the root's last number now
  std::vector<StreamItem> items;
};

// Between two buckets wherever they are; the route is looked up each time one is sent.
using Packet = std::variant<ChannelLetter, ChannelAck, Tail, Have, Fetch, Fetched>;
BucketId packet_to(const Packet& packet);  // the bucket that is to get it

}  // namespace canopy::wire
