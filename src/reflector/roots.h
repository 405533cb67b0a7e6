// The roots of one bucket: who has leaves where, the stream list, and what is still owed to whom.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "reflector/tree.h"
#include "store/reader.h"
#include "store/writes.h"
#include "wire/letter.h"

namespace canopy::reflector {

struct Root {
  EntityNo entity;
  std::string name;
  StreamNo last;                   // the newest number given out
  StreamNo kept;                   // the oldest number in the stream list (last.next() when empty)
  bool forwarded = false;          // others forward this stream, or did: all its messages are shared
  std::vector<BucketId> leaves;    // ascending: those that get its letters
  std::vector<BucketId> lazy;      // ascending: those that fetch when somebody reads. None is in both
  bool pending = false;            // stands in the pending set
  // In RAM only.
  wire::Route route;               // plan_tree of `leaves`, for the map of `planned`
  bool planned = false;
  bool stored = false;             // there is a record
  StreamNo before;                 // `last` when this was read from the store: pushes up to it are not counted
  uint32_t in_flight = 0;          // pushes of later numbers that have not ended
  // Leaf → the highest number that it has not acknowledged; of a lazy one, up to which it must come for it.
  std::map<BucketId, StreamNo> owed;
  Instant tail_at = Instant::never();
  uint32_t tail_tries = 0;

  bool childless() const { return leaves.empty() && lazy.empty(); }
};

// What a root needs of its surroundings.
struct Surroundings {
  OwnerOf owner;
  NodeIndex self;
  uint32_t fanout = 64;
  uint64_t retention = 10'000;     // stream-list entries kept per root
  uint64_t incarnation = 1;        // of the bucket, for stream numbers
};

// A message as it enters a stream.
struct Entering {
  BodyRef ref;
  Blob message;
  bool shared = false;             // may reach the same timeline by other ways
  bool foreign = false;            // another author's: a place row says where it is
  uint8_t hops = 0;
};

class Roots {
 public:
  explicit Roots(BucketId bucket) : bucket_(bucket) {}
  // `position`: the bucket's before the step. A root begins its numbers there, so that those of an
  // entity that was deleted and is used again are above the old ones.
  void begin_step(Position position) { rows_.clear(), position_ = position; }

  // Forgets RAM; then every leaf of each root in the pending set is owed its last number.
  void open(const store::Reader& reader, const std::function<std::string(EntityNo)>& name_of, Now now);
  void on_map(Surroundings surroundings);

  // A message enters the stream of `entity`. Returns the letter for its tree, whose route is empty when all
  // leaves are lazy; or nothing when it has no leaves (then it gets no number: a later leaf begins behind it).
  std::optional<wire::StreamLetter> publish(EntityNo entity, std::string_view name, Entering message,
                                            const store::Reader& reader, store::Writes& writes);
  // The retraction of a message enters it; `target`, the message's number or zero, is void from now on.
  std::optional<wire::StreamLetter> retract(EntityNo entity, std::string_view name, MessageId id, StreamNo target,
                                            uint8_t hops, const store::Reader& reader, store::Writes& writes);
  // The entity is deleted: its leaves, the lazy ones too, hear it as the last of the stream, and leave.
  std::optional<wire::StreamLetter> end(EntityNo entity, std::string_view name, const store::Reader& reader,
                                        store::Writes& writes);
  // Another reflector is about to forward this stream: from now on its messages are shared.
  void share(EntityNo entity, std::string_view name, const store::Reader& reader, store::Writes& writes);
  // Takes `max` rows of the stream list out. Returns whether there were none before this step.
  // REQUIRES: it has no leaves and is not pending.
  bool erase(EntityNo entity, std::string_view name, size_t max, const store::Reader& reader, store::Writes& writes);
  void forget(EntityNo entity, store::Writes& writes);  // after erase()
  bool idle(EntityNo entity, std::string_view name, const store::Reader& reader);  // no leaves, not pending
  // Returns the welcome. `newest` is the entity's newest message before the join, zero for none.
  wire::Welcome on_join(EntityNo entity, std::string_view name, BucketId leaf, const wire::LeafJoin& join,
                        MessageId newest, const store::Reader& reader, store::Writes& writes);
  void on_leave(EntityNo entity, std::string_view name, BucketId leaf, const store::Reader& reader,
                store::Writes& writes);
  // A leaf gets no letters from now on, or gets them again: then it is owed what it did not fetch.
  void on_mode(EntityNo entity, std::string_view name, BucketId leaf, bool lazy, Now now, const store::Reader& reader,
               store::Writes& writes);
  // A push has ended; `not_taken` are owed.
  void on_pushed(EntityNo entity, std::string_view name, StreamNo no, const std::vector<BucketId>& not_taken,
                 Now now, const store::Reader& reader);
  void on_have(EntityNo entity, std::string_view name, const wire::Have& have, Now now, const store::Reader& reader);
  wire::Fetched on_fetch(EntityNo entity, std::string_view name, const wire::Fetch& fetch,
                         const store::Reader& reader) const;

  // Tails that are due, a bounded number a call; roots that nobody is owed anything leave the pending set.
  void on_time(Now now, std::vector<wire::Packet>& packets, store::Writes& writes);
  // A session with that node began: its leaves are told at once.
  void on_node_up(NodeIndex node, Now now);
  Instant next_deadline() const;

  // Returns the buckets with leaves of that entity, ascending.
  std::vector<BucketId> leaves_of(EntityNo entity, const store::Reader& reader) const;
  size_t pending() const { return pending_; }
  void check() const;

 private:
  Root& load(EntityNo entity, std::string_view name, const store::Reader& reader);
  wire::StreamLetter give_out(Root& root, wire::StreamItem item, std::string row, const store::Reader& reader,
                              store::Writes& writes);
  std::optional<std::string> find_row(const std::string& key, const store::Reader& reader) const;
  void take_out(const Root& root, StreamNo no, std::string_view row, store::Writes& writes);
  void save(const Root& root, store::Writes& writes) const;
  void save_leaves(const Root& root, store::Writes& writes) const;
  void make_pending(Root& root, store::Writes& writes);
  void schedule(Root& root, Instant at);
  void settle_later(const Root& root, Now now);
  void forget_quiet();

  BucketId bucket_;
  Surroundings around_;
  std::unordered_map<EntityNo, Root> roots_;           // a cache but for those with something owed
  std::set<std::pair<Instant, EntityNo>> tails_;
  std::set<std::pair<Instant, EntityNo>> quiet_;       // to leave the pending set if still owed nothing
  size_t pending_ = 0;
  // Stream rows of this step, by key, "" when taken out: a step does not read its own writes.
  std::map<std::string, std::string> rows_;
  Position position_;
};

}  // namespace canopy::reflector
