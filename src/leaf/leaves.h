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
#include "leaf/costs.h"
#include "leaf/deferred.h"
#include "leaf/follower_array.h"
#include "leaf/lazy.h"
#include "leaf/modes.h"
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

struct alignas(64) Leaf {
  // What a plain delivery touches stands first, in one line of memory.
  StreamNo applied;               // the last number applied
  Position newest;                // of its deliveries; zero: it has none
  StreamNo known;                 // the root's last number as far as heard of. In RAM only
  FollowerArray followers;        // kept by Leaves::followers_*(). In RAM only
  LeafNo no;
  enum class InRam : uint8_t { no, yes, too_many } followers_in_ram = InRam::no;
  bool welcomed = false;          // before: every follower is pending, everything is parked
  bool plain = false;             // was found to be quiet(), and nobody but plain deliveries had it since
  Mode mode = Mode::append;       // In RAM only; lazy: a row says so
  int32_t until_look = 0;         // what is left of ModeOptions::look_every. In RAM only
  Deferred::Late* late = nullptr; // kept by Leaves: rows of it are in no timeline. In RAM only

  std::string reflector;
  Position generation;            // the position of the join
  // In RAM only, beside the rows that they come from.
  std::vector<ForwardEdge> forwards;
  // In RAM only.
  std::map<StreamNo, wire::StreamItem> parked;  // early numbers, at most limits::park_max
  Instant fetch_again = Instant::never();       // when the open fetch is repeated; never: none is open
  uint32_t fetch_tries = 0;
  uint64_t fetch_round = 0;       // of the last one sent
  bool wanted = false;            // somebody waits: it fetches although nothing is known to be missing
  // The root no longer has what is below `until`: are the messages held still alive? Then it goes on there.
  struct Audit {
    StreamNo until;                         // set once: what comes meanwhile stands behind it
    Position below = Position(UINT64_MAX);  // deliveries below are to be asked about; zero: none is left
    Position at;                            // the next of them in the chain
    EntityNo follower;                      // then what came with the follows of those above this one
    std::map<MessageId, Position> asked;    // not answered yet; the position of the delivery, or zero
  };
  std::unique_ptr<Audit> audit;
  // Where the last delivery was found by its number: the next one is mostly beside it.
  StreamNo found_no;
  Position found_at;
  std::unique_ptr<Look> look;     // since the first one

  // What comes next is applied without more ado.
  bool quiet() const { return welcomed && parked.empty() && !audit && forwards.empty(); }
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

// A reflector's name with the hash that leaves are found by: made once for a letter that goes to many buckets.
struct ReflectorName {
  explicit ReflectorName(std::string_view n) : name(n), hash(std::hash<std::string_view>{}(n)) {}
  std::string_view name;
  size_t hash;
};
struct ReflectorHash {
  using is_transparent = void;
  size_t operator()(const ReflectorName& reflector) const { return reflector.hash; }
  size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
};
struct ReflectorEqual {
  using is_transparent = void;
  bool operator()(const ReflectorName& a, std::string_view b) const { return a.name == b; }
  bool operator()(std::string_view a, const ReflectorName& b) const { return a == b.name; }
  bool operator()(std::string_view a, std::string_view b) const { return a == b; }
};

class Leaves {
 public:
  explicit Leaves(BucketId bucket) : bucket_(bucket), deferred_(bucket) {}
  // What a leaf has when it is made or read from the store; one that is none of the lazy ones is not lazy: that it
  // becomes only by asking its root. Before the first of them.
  void begin_with(Mode mode, int32_t until_look, const LazyLeaves& lazy) {
    first_mode_ = mode == Mode::lazy ? Mode::merge : mode;
    first_look_ = until_look;
    lazy_ = &lazy;
  }

  // Forgets all that is in RAM (the store went back to its last commit, or the bucket is opened).
  void reset();

  // Returns the leaf of that reflector, or null. Valid until the next find or create of another.
  Leaf* find(std::string_view reflector, const store::Reader& reader);
  // … as far as it is in RAM, for plain deliveries. Valid as long as epoch() is the same.
  Leaf* find_in_ram(const ReflectorName& reflector) const {
    const auto it = leaves_.find(reflector);
    return it == leaves_.end() ? nullptr : it->second.get();
  }
  uint32_t epoch() const { return epoch_; }
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

  // Returns the position of the live delivery with that stream number in the leaf, or nothing; not above
  // `above` is nothing too. `id` is the message's.
  std::optional<Position> find_delivery(Leaf& leaf, StreamNo no, MessageId id, Position above, const store::Reader& reader) const;

  // The followers' numbers, a chunk at a time: from RAM, where they are kept after the first visit when they
  // are not too many. REQUIRES: the step has not written to them.
  template <class Visit>
  void followers(Leaf& leaf, const store::Reader& reader, const Visit& visit) {
    if (leaf.followers_in_ram == Leaf::InRam::no) load_followers(leaf, reader);
    if (leaf.followers_in_ram == Leaf::InRam::yes) visit(leaf.followers.data(), leaf.followers.size());
    else visit_stored_followers(leaf, reader, visit);
  }
  // Follows and unfollows, as the store gets them. `followers_changed`: it was more than one.
  void follower_added(Leaf& leaf, EntityNo follower);
  void follower_removed(Leaf& leaf, EntityNo follower);
  void followers_changed(Leaf& leaf);
  // REQUIRES: the step has not written to its followers.
  bool followed_by(Leaf& leaf, EntityNo follower, const store::Reader& reader);
  void limit_followers(size_t bytes_max) { followers_bytes_max_ = bytes_max; }
  size_t followers_bytes() const { return followers_bytes_; }

  // A row is written to no timeline: they take it in when they are read. Returns false when there is no room to
  // remember that of one leaf more: then it is written to them.
  bool defer(Leaf& leaf, Position at) {
    if (!leaf.late && !(leaf.late = deferred_.add(leaf.no, at))) return false;
    deferred_.defer(*leaf.late, at);
    return true;
  }
  const Deferred& deferred() const { return deferred_; }
  void settle(Position upto);                   // every timeline was brought up to there

  // Those in RAM, in no order that means anything.
  template <class Visit>
  void each_in_ram(const Visit& visit) {
    for (const auto& [name, leaf] : leaves_) visit(*leaf);
  }

  // Opens a fetch for what is missing, when something is (or it is `wanted`) and no fetch is open (or `again`).
  void fetch_missing(Leaf& leaf, BucketId root, Now now, bool again, std::vector<wire::Packet>& packets);
  void fetch_done(Leaf& leaf);
  // Repeats the fetches that are due; next_fetch() is when.
  void repeat_fetches(Now now, const std::function<BucketId(std::string_view)>& root_of,
                      std::vector<wire::Packet>& packets);
  Instant next_fetch() const;
  bool may_fetch() const;         // there is room for another open one
  // Each fetch has a round of its own; those sent from now on have at least this one.
  uint64_t next_round() const { return round_ + 1; }

  size_t parked() const { return parked_; }
  void check() const;

  // Returns the reflector's name of a leaf, "" when it is gone.
  std::string reflector_of(LeafNo leaf, const store::Reader& reader) const;

 private:
  bool delivered(const Leaf& leaf, MessageId id, const Applying& applying) const;
  void apply(Leaf& leaf, const wire::StreamItem& item, Applying& applying);
  bool deliver(Leaf& leaf, const wire::StreamItem& item, Applying& applying);
  using Parked = std::map<StreamNo, wire::StreamItem>;
  void unpark(Leaf& leaf, Parked::iterator at);
  void load_followers(Leaf& leaf, const store::Reader& reader);
  void visit_stored_followers(const Leaf& leaf, const store::Reader& reader, const std::function<void(const uint32_t*, size_t)>& visit) const;
  void save(const Leaf& leaf, store::Writes& writes) const;
  void save_applied(const Leaf& leaf, store::Writes& writes) const;
  void schedule(Leaf& leaf, Instant at);

  BucketId bucket_;
  // By reflector; a cache of the store but for the parked items and fetches of each.
  std::unordered_map<std::string, std::unique_ptr<Leaf>, ReflectorHash, ReflectorEqual> leaves_;
  uint32_t epoch_ = 0;            // counts when leaves left it
  Mode first_mode_ = Mode::append;
  int32_t first_look_ = 0;
  const LazyLeaves* lazy_ = nullptr;
  Deferred deferred_;
  std::map<std::pair<Instant, LeafNo>, std::string> fetches_;
  uint64_t round_ = 0;            // of the last fetch; counts on as long as the process lives
  size_t parked_ = 0, parked_bytes_ = 0;
  size_t followers_bytes_ = 0, followers_bytes_max_ = 16u << 20;  // of the followers in RAM
};

// Erases some deliveries of retired leaves, of a hundred at most, and adds their number to `erased`.
// Returns whether there may be more. REQUIRES: the body references that it drops are this bucket's.
bool erase_retired(BucketId bucket, const store::Reader& reader, size_t deliveries_max, store::Writes& writes, size_t& erased);

}  // namespace canopy::leaf
