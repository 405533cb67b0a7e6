// The leaves of one bucket: which reflectors its entities follow, how far each stream was applied,
// what came early, what is being fetched. Stream order is kept here: each number once, in sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "store/reader.h"
#include "store/writes.h"
#include "wire/letter.h"

namespace canopy::leaf {

// What reaches a leaf after `since` goes on to the stream of entity `to` of this bucket.
struct ForwardEdge {
  EntityNo to;
  Position since;
  bool off = false;               // retractions only
  bool active = false;            // the root knows of it
};

struct Leaf {
  LeafNo no;
  std::string reflector;
  bool welcomed = false;          // before: every follower is pending, everything is parked
  Position generation;            // the position of the join
  StreamNo applied;               // the last number applied
  // In RAM only, beside the rows that they come from.
  std::vector<ForwardEdge> forwards;
  // In RAM only.
  std::map<StreamNo, wire::StreamItem> parked;  // early numbers, at most limits::park_max
  StreamNo known;                 // the root's last number as far as heard of
  Instant fetch_again = Instant::never();       // when the open fetch is repeated; never: none is open
  uint32_t fetch_tries = 0;
  // The root no longer has what is below `until`: are the messages held still alive? Then it goes on there.
  struct Audit {
    StreamNo until;                         // set once: what comes meanwhile stands behind it
    Position next;                          // deliveries from here on are to be asked about
    EntityNo follower;                      // then what came with the follows of those above this one
    std::map<MessageId, Position> asked;    // not answered yet; the position of the delivery, or zero
  };
  std::optional<Audit> audit;
  // Where the last delivery was found by its number: the next one is mostly beside it, and a search from the
  // ends of the list would walk over all that was erased since the last checkpoint.
  StreamNo found_no;
  Position found_at;
};

// What one stream item became.
enum class Taken : uint8_t { applied, repeat, parked, refused };

// A delivery: what the followers of `leaf` get at `position`.
struct Delivery {
  LeafNo leaf;
  Position position;
  BodyRef ref;
  Blob message;
  bool shared = false;
  uint8_t hops = 0;
};
struct Retracted {
  MessageId id;
  StreamNo target;   // the message's number in this stream; zero: not known
  uint8_t hops = 0;
};

// What a step gives to the leaf that it works on, and what becomes of the items that are applied.
struct Applying {
  const std::function<Position()>& take_position;
  const std::function<bool(MessageId)>& dead;   // retracted here before
  const store::Reader& reader;
  store::Writes& writes;
  std::set<MessageId> doomed;                   // their retractions come in this step
  std::vector<Delivery> deliveries;
  std::vector<Retracted> retractions;
  bool ended = false;                           // the entity was deleted
};

class Leaves {
 public:
  explicit Leaves(BucketId bucket) : bucket_(bucket) {}

  // Forgets all that is in RAM (the store went back to its last commit, or the bucket is opened).
  void reset();

  // Returns the leaf of that reflector, or null. Valid until the next find or create of another.
  Leaf* find(std::string_view reflector, const store::Reader& reader);
  // A leaf without a welcome. REQUIRES: there is none of that reflector.
  Leaf* create(std::string_view reflector, LeafNo no, Position generation, store::Writes& writes);
  // Its last follower has gone: forgotten at once; its deliveries are erased in slices (erase_retired).
  void retire(std::string_view reflector, store::Writes& writes);

  // The reflector's name was an alias: the leaf is that of `entity`, and joins again. REQUIRES: not welcomed.
  Leaf* rename(std::string_view alias, std::string_view entity, Position generation, store::Writes& writes);

  // The root's answer to the join of `generation`. Returns false for a welcome of another generation.
  bool on_welcome(Leaf& leaf, const wire::Welcome& welcome, store::Writes& writes);
  // One item of the stream. When it is next it is applied.
  Taken on_item(Leaf& leaf, const wire::StreamItem& item, Applying& applying);
  // Applies what waits behind the last number applied.
  void drain_parked(Leaf& leaf, Applying& applying);
  // Numbers below `m` are no longer kept at the root, and with them perhaps retractions: asks about what the
  // leaf holds, some at a time. Returns false when there is nothing (more) to ask about: then skip_to(m).
  bool audit(Leaf& leaf, StreamNo m, const store::Reader& reader, std::vector<wire::Packet>& packets) const;
  void skip_to(Leaf& leaf, StreamNo m, store::Writes& writes);

  // Returns the position of the delivery with that stream number in the leaf, or nothing.
  std::optional<Position> find_delivery(Leaf& leaf, StreamNo no, const store::Reader& reader) const;

  // Opens a fetch for what is missing, when something is and no fetch is open (or `again`).
  void fetch_missing(Leaf& leaf, BucketId root, Now now, bool again, std::vector<wire::Packet>& packets);
  void fetch_done(Leaf& leaf);
  // Repeats the fetches that are due; next_fetch() is when.
  void repeat_fetches(Now now, const std::function<BucketId(std::string_view)>& root_of,
                      std::vector<wire::Packet>& packets);
  Instant next_fetch() const;

  size_t parked() const { return parked_; }
  void check() const;

  // Returns the reflector's name of a leaf, "" when it is gone.
  std::string reflector_of(LeafNo leaf, const store::Reader& reader) const;

 private:
  bool delivered(const Leaf& leaf, MessageId id, const Applying& applying) const;
  void apply(Leaf& leaf, const wire::StreamItem& item, Applying& applying);
  using Parked = std::map<StreamNo, wire::StreamItem>;
  void unpark(Leaf& leaf, Parked::iterator at);
  void save(const Leaf& leaf, store::Writes& writes) const;
  void save_applied(const Leaf& leaf, store::Writes& writes) const;
  void schedule(Leaf& leaf, Instant at);

  BucketId bucket_;
  // By reflector; a cache of the store but for the parked items and fetches of each.
  std::unordered_map<std::string, std::unique_ptr<Leaf>> leaves_;
  std::map<std::pair<Instant, LeafNo>, std::string> fetches_;
  size_t parked_ = 0, parked_bytes_ = 0;
};

// Erases some deliveries of retired leaves, of a hundred at most, and adds their number to `erased`.
// Returns whether there may be more. REQUIRES: the body references that it drops are this bucket's.
// `cursor` is the caller's between slices: what was erased of the leaf that it names is not walked again.
struct RetiredCursor {
  LeafNo leaf;
  Position next;
};
bool erase_retired(BucketId bucket, RetiredCursor& cursor, const store::Reader& reader, size_t deliveries_max, store::Writes& writes,
                   size_t& erased);

// The value of a delivery record: stream number, body ref, and a u8 1 when it is shared.
struct DeliveryRecord {
  StreamNo no;
  BodyRef ref;
  bool shared = false;
};
std::string encode_delivery(const DeliveryRecord& record);
DeliveryRecord decode_delivery(std::string_view value);
// Takes one delivery of a leaf out: its row, its place, its body's reference.
void erase_delivery(BucketId bucket, LeafNo leaf, Position position, const DeliveryRecord& record, store::Writes& writes);
// Returns the position of the delivery with that stream number in a leaf, or nothing: numbers ascend with positions.
std::optional<Position> find_delivery(BucketId bucket, LeafNo leaf, StreamNo no, const store::Reader& reader);

}  // namespace canopy::leaf
