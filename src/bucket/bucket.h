// A bucket actor: the state machine of one bucket. Ordered operations in, writes and effects out.
// No socket, clock, thread or file; the same code runs under the daemon and the simulator.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "bucket/channels.h"
#include "bucket/dead.h"
#include "bucket/entities.h"
#include "bucket/events.h"
#include "bucket/keys.h"
#include "bucket/lists.h"
#include "leaf/chains.h"
#include "leaf/lazy.h"
#include "leaf/leaves.h"
#include "leaf/modes.h"
#include "leaf/timelines.h"
#include "map/map.h"
#include "reflector/roots.h"
#include "store/reader.h"
#include "store/writes.h"

namespace canopy::bucket {

struct StreamIn {          // one leaf's part of a Deliver
  BucketId root;
  std::string reflector;
  wire::StreamItem item;
};
struct Tick {};            // something that the bucket put off is due (next_deadline())
using Event = std::variant<Ask, Forget, Arrive, StreamIn, Pushed, Audience, NodeUp, Turn, Tick>;

// What a step asks for; the step itself does nothing. `held` leaves when the commit that holds
// `writes` is durable: nothing else leaves a bucket, so nothing can leave too early.
struct Effects {
  store::Writes writes;
  Position upto;           // the bucket's position after the step
  std::vector<Out> held;
  bool taken = true;       // StreamIn: it is applied, or was before, or nobody here wants it
  uint64_t ask = 0;        // a request that has waited until now is worked in this step: the first of its parts
  void clear() {
    writes.clear();
    upto = Position();
    held.clear();
    taken = true;
    ask = 0;
  }
};

struct BucketOptions {
  size_t home_bytes_max = 64u << 20;              // of materialised timelines
  Duration active_window = Duration::of_s(24 * 3600);
  leaf::ModeOptions modes;
};

class Bucket;

// A leaf in memory: valid as long as the bucket's leaves_epoch() is the same.
struct LeafHandle {
  leaf::Leaf* leaf = nullptr;
  uint32_t epoch = 0;
};
// A plain delivery's part that is still to be done: `n` of these followers may have their timelines in memory.
struct TimelineWrite {
  Bucket* bucket = nullptr;
  const leaf::Timelines* timelines = nullptr;
  const uint32_t* followers = nullptr;
  size_t n = 0;
  Position at;
  size_t written = 0;   // done already
};

class Bucket {
 public:
  // REQUIRES: `map` has the bucket and `self` is its primary.
  Bucket(BucketId id, MapRef map, NodeIndex self, BucketOptions options, const store::Reader& reader, Now now);

  void on_map(MapRef map, NodeIndex self);
  void limit_homes(size_t bytes_max);
  // The store is as after its last commit: builds RAM again, keeps who waits and who listens.
  void reopen(const store::Reader& reader, Now now);

  // A batch request is worked in one step per part, so that each sees the writes of those before it.
  // Nothing else is stepped between the parts of one event.
  static size_t parts(const Event& event);
  static size_t parts(const wire::Request& request);
  void step(const Event& event, size_t part, Now now, const store::Reader& reader, Effects& effects);
  // The plain case of a StreamIn, without a step: the next message of a leaf in memory, with nothing about it
  // that a step would have to look at. Returns false and changes nothing when it is not that. Else `to` is
  // the leaf's part of a batch that the store must have before anything else reads.
  bool deliver_plain(leaf::Leaf& leaf, const wire::StreamItem& item, const store::Reader& reader, store::DeliveryBatch::To& to,
                     TimelineWrite& write);
  // What deliver_plain() left to be written to timelines, before anything else happens here. Returns how many there were.
  size_t write(const TimelineWrite& write) {
    const size_t written = timelines_.append_all(write.followers, write.n, write.at);
    counters_.timeline_writes += written;
    return written;
  }
  // Of a leaf in memory; null without it.
  LeafHandle leaf_handle(const leaf::ReflectorName& reflector) const { return {leaves_.find_in_ram(reflector), leaves_.epoch()}; }
  uint32_t leaves_epoch() const { return leaves_.epoch(); }

  // When a Tick is due; an Instant not after `now` means at once, before any other event.
  Instant next_deadline() const;
  bool due_at_once() const { return !due_reads_.empty() || !due_opens_.empty() || !ready_.empty() || working_; }

  struct Counters {
    uint64_t publishes = 0, follows = 0, unfollows = 0, reads = 0, deliveries = 0, repeats = 0, parks = 0,
             refused = 0, fetches = 0, fetched = 0, tails = 0, letters = 0, letter_repeats = 0, letter_gaps = 0;
    // The message graph. What is dropped has a name: of a retracted message, for an entity being deleted,
    // a reply to what is gone, a repeat in a list or a stream, a message that was forwarded too often.
    uint64_t clones = 0, clone_repeats = 0, clones_passed_on = 0, replies_to_nothing = 0, dropped_dead = 0,
             dropped_ending = 0, retractions = 0, retracted = 0, forwarded = 0, stream_repeats = 0, hops_ended = 0,
             other_ways = 0, backfilled = 0, backfill_repeats = 0, backfills_cut = 0, redirects = 0, moved = 0,
             deleted = 0, trimmed = 0, checked_dead = 0;
    // Of `deliveries`: those without a step. Followers' timelines in memory that a delivery was written to.
    uint64_t deliveries_plain = 0, timeline_writes = 0;
    // Of `deliveries`: those that were written to no timeline. Timelines that took such rows in; the rows; those
    // that stood there already; timelines that were read from the store instead. Leaves that changed their mode.
    uint64_t rows_deferred = 0, merges = 0, rows_merged = 0, merge_repeats = 0, merges_given_up = 0, mode_switches = 0;
    // Timelines in memory that a retracted message was looked for in; their lines beside the newest that it went through.
    uint64_t retraction_looks = 0, retraction_lines = 0;
    // Their rows that went: below the horizon; dead ones beside a retraction.
    uint64_t rows_trimmed = 0, rows_joined = 0;
    // Of lazy leaves: requests that waited for fetches, those that went on without an answer to some of these,
    // fetches that somebody waited for, leaves that became lazy, that asked for letters again.
    uint64_t waited = 0, waited_in_vain = 0, fetches_waited_for = 0, to_lazy = 0, to_pushed = 0;
    void add(const Counters& other);
  };
  const Counters& counters() const { return counters_; }
  size_t waiting() const { return asks_.size() + parked_.size() + working_.has_value(); }
  size_t lazy_leaves() const { return lazy_.size(); }
  size_t pending_roots() const { return roots_.pending(); }
  size_t letters_waiting() const { return channels_.letters_waiting(); }
  size_t materialised() const { return timelines_.size(); }
  size_t home_entries() const { return timelines_.entries(); }
  size_t home_bytes() const { return timelines_.bytes(); }
  void check(const store::Reader& reader) const;

 private:
  // A request that is not answered yet.
  struct OpenAsk {
    wire::Reply reply;               // gathered so far
    size_t left = 0;                 // parts without a result
    size_t bytes = 0;                // of a READ's entries so far
    Instant deadline = Instant::never();
    wire::Read read;                 // a long poll's request
  };
  // Who tails a timeline: live feeds and long polls.
  struct Tailed {
    bool feed = false;
    std::set<uint64_t> asks;
    Instant beat_at = Instant::never();
  };
  using TailKey = std::pair<wire::Timeline, std::string>;
  // A request that waits until lazy leaves have fetched; then its parts are worked one after the other.
  struct ParkedAsk {
    Ask ask;
    Instant until;
    std::set<LeafNo> leaves;         // have not fetched yet
    std::map<LeafNo, std::string> missing;  // reflectors that did not answer in time
    size_t part = 0;                 // the next one
  };
  // A lazy leaf that somebody waits for.
  struct Awaited {
    std::string reflector;
    std::map<uint64_t, uint64_t> asks;  // and the round that its fetch must have at least: it was sent after they came
  };

  // bucket.cc: the dispatch, packets, streams, time
  Position take_position() { return position_ = position_.next(); }
  void on(const Ask& ask, size_t part, Now now, const store::Reader& reader, Effects& effects);
  void on(const Forget& forget);
  void on(const Arrive& arrive, Now now, const store::Reader& reader, Effects& effects);
  void on(const StreamIn& in, Now now, const store::Reader& reader, Effects& effects);
  void on(const Pushed& pushed, Now now, const store::Reader& reader);
  void on(const Audience& audience, Now now, const store::Reader& reader);
  void on(const NodeUp& up, Now now);
  void on(const Tick& tick, Now now, const store::Reader& reader, Effects& effects);
  void on_letter(const wire::ChannelLetter& letter, Now now, const store::Reader& reader, Effects& effects);
  void on_packet(const wire::ChannelAck& ack, Now now, const store::Reader& reader, Effects& effects);
  void on_packet(const wire::Tail& tail, Now now, const store::Reader& reader, Effects& effects);
  void on_packet(const wire::Have& have, Now now, const store::Reader& reader);
  void on_packet(const wire::Fetch& fetch, const store::Reader& reader, Effects& effects);
  void on_packet(const wire::Fetched& fetched, Now now, const store::Reader& reader, Effects& effects);
  void welcome(EntityNo entity, const wire::LeafJoin& join, BucketId from, Position position, Now now, const store::Reader& reader, Effects& effects);
  void on_packet(const wire::Check& check, const store::Reader& reader, Effects& effects);
  void on_packet(const wire::Checked& checked, Now now, const store::Reader& reader, Effects& effects);
  void go_on(leaf::Leaf& leaf, BucketId root, Now now, Effects& effects);
  void on_letter_body(const wire::LeafJoin& join, BucketId from, Position position, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::LeafLeave& leave, BucketId from, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::Welcome& welcome, BucketId from, Now now, const store::Reader& reader, Effects& effects);
  bool apply_to(leaf::Leaf& leaf, Now now, const store::Reader& reader, Effects& effects, const std::function<void(leaf::Applying&)>& work);
  void forwarded(const leaf::Leaf& leaf, const std::vector<leaf::Delivery>& deliveries, const store::Reader& reader, Effects& effects);
  void send_all(std::vector<wire::Packet> packets, Effects& effects);
  void work(Now now, const store::Reader& reader, Effects& effects);
  void trim_deliveries(const store::Reader& reader, Effects& effects);
  bool work_left() const { return retired_leaves_ || trim_.active() || lists_.trim_due() || !endings_.empty(); }

  // deliver.cc: the last hop, into the homes of the followers
  static constexpr size_t deliveries_per_save = 1'024;  // their counter is written so often
  void delivered(leaf::Leaf& leaf, const std::vector<leaf::Delivery>& deliveries, const store::Reader& reader, Effects& effects);
  void deferred(leaf::Leaf& leaf, const leaf::Delivery& delivery, const store::Reader& reader, Effects& effects);
  void tell_tails(const leaf::Leaf& leaf, const leaf::Delivery& delivery, const store::Reader& reader, Effects& effects);
  // One follower's home gets an entry, if it is in memory and no lower way leads there.
  void arrived(EntityNo follower, const leaf::HomeEntry& entry, const Blob& message, const leaf::Ways& ways,
               const store::Reader& reader, Effects& effects);
  void drop_home(EntityNo entity);
  // The one way to look at a home: it has everything, also of the leaves that are merged at a read.
  leaf::Timelines::View home(EntityNo entity, Now now, const store::Reader& reader);
  uint64_t kept_deliveries() const;
  bool horizon_moves(uint64_t deliveries, Position position) const;

  // modes.cc: which mode a leaf should be in, and how it gets there
  // For each message that comes to it. REQUIRES: the step has not written to its followers.
  void watch(leaf::Leaf& leaf, const store::Reader& reader) {
    leaf.until_look -= leaf::Look::weight(leaf.followers.size());
    if (leaf.until_look <= 0) look(leaf, reader);
  }
  void look(leaf::Leaf& leaf, const store::Reader& reader);
  leaf::Kept kept() const;
  void want_mode(leaf::Leaf& leaf, leaf::Mode mode);
  void take_wanted_modes(Now now, const store::Reader& reader, Effects& effects);
  bool set_mode(leaf::Leaf& leaf, leaf::Mode mode, Now now, const store::Reader& reader, Effects& effects);
  void turn_in_ram(leaf::Leaf& leaf, leaf::Mode mode);
  bool may_be_lazy(const leaf::Leaf& leaf, const store::Reader& reader) const;
  bool tailed(LeafNo leaf, const store::Reader& reader) const;
  void rouse(EntityNo follower, Now now, const store::Reader& reader, Effects& effects);
  void walk_modes(Now now, const store::Reader& reader, Effects& effects);
  void walk_modes_later(Now now);
  void on(const Turn& turn, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::LeafMode& mode, BucketId from, Now now, const store::Reader& reader, Effects& effects);
  void shuffle_modes();

  // publish.cc: PUBLISH, RETRACT, and what of them comes from other buckets
  struct OwnMessage {
    EntityNo author;
    Position position;   // in its `sent`
    StreamNo no;         // in its stream; zero: it has none
    BodyRef ref;
  };
  void publish(const Ask& ask, const wire::Publish& request, size_t part, Now now, const store::Reader& reader, Effects& effects);
  std::variant<wire::Published, Error> publish_one(const wire::Message& message, Now now, const store::Reader& reader, Effects& effects);
  void send_letter(BucketId to, wire::Letter letter, Position position, Now now, Effects& effects);
  void push(wire::StreamLetter letter, Effects& effects);
  void on_letter_body(const wire::Clone& clone, Position position, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::Unclone& unclone, Position position, Now now, const store::Reader& reader, Effects& effects);
  void into_stream(EntityNo entity, std::string_view name, BodyRef ref, Blob message, uint8_t hops, const store::Reader& reader, Effects& effects);
  void pass_retraction(EntityNo entity, MessageId id, StreamNo target, uint8_t hops, const store::Reader& reader, Effects& effects);
  wire::Reply retract(const wire::Retract& request, Now now, const store::Reader& reader, Effects& effects);
  std::optional<Error> withdraw(const OwnMessage& own, std::string_view name, Now now, const store::Reader& reader, Effects& effects);
  void retract_here(MessageId id, Position position, const store::Reader& reader, Effects& effects);
  void retract_entry(ListKind kind, EntityNo entity, Position position, const store::Reader& reader, Effects& effects);
  std::optional<Position> retract_delivery(LeafNo leaf, Position position, MessageId id, Position newer, const store::Reader& reader, Effects& effects);
  void gone_from_home(EntityNo follower, Position position, MessageId id, Effects& effects);
  void retracted(leaf::Leaf& leaf, const std::vector<leaf::Retracted>& retractions, const store::Reader& reader, Effects& effects);
  std::optional<OwnMessage> own_message(MessageId id, const store::Reader& reader) const;

  // names.cc: aliases and deletion
  // Returns the request with first names instead of aliases, when it names one.
  std::optional<wire::Request> moved(const wire::Request& request) const;
  const std::string* alias_target(std::string_view name) const;  // null: it is no alias
  std::string first_name(const std::string& name) const;
  void remember_alias(const std::string& alias, const std::string& entity, Effects& effects);
  void alias(const Ask& ask, const wire::Alias& request, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::AliasClaim& claim, Position position, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::AliasAnswer& said, Position position, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::AliasDrop& drop, Effects& effects);
  wire::Reply remove(const wire::Delete& request, Now now, const store::Reader& reader, Effects& effects);
  std::optional<Error> busy_if_ending(std::string_view name, const store::Reader& reader) const;
  void delete_some(Now now, const store::Reader& reader, Effects& effects);
  bool delete_messages(EntityNo entity, std::string_view name, Now now, const store::Reader& reader, Effects& effects);
  bool delete_follows(EntityNo entity, Now now, const store::Reader& reader, Effects& effects);
  bool delete_rows(EntityNo entity, const std::string& name, Now now, const store::Reader& reader, Effects& effects);
  bool delete_reflector(EntityNo entity, const std::string& name, const store::Reader& reader, Effects& effects);
  bool ending(EntityNo entity) const { return endings_.contains(entity); }

  // follow.cc: FOLLOW, UNFOLLOW, FORWARD
  void follow(const Ask& ask, const wire::Follow& request, size_t part, Now now, const store::Reader& reader, Effects& effects);
  void unfollow(const Ask& ask, const wire::Unfollow& request, size_t part, Now now, const store::Reader& reader, Effects& effects);

  // read.cc: READ, GET, THREAD, MARK, RETAIN, FOLLOWING, and what other nodes ask
  void read(const Ask& ask, const wire::Read& request, size_t part, Now now, const store::Reader& reader, Effects& effects);
  // `room`: about how many bytes of entries the page may have; one is always taken.
  wire::TimelinePage page(const wire::Read& request, std::string_view entity, size_t room, Now now, const store::Reader& reader);
  wire::TimelinePage home_page(const wire::Read& request, std::optional<Position> after, EntityNo entity, size_t room, Now now, const store::Reader& reader);
  wire::TimelinePage list_page(const wire::Read& request, std::optional<Position> after, EntityNo entity, size_t room, Now now, const store::Reader& reader) const;
  wire::Reply thread(const wire::Thread& request, Now now, const store::Reader& reader) const;
  wire::Reply mark(const wire::Mark& request, Now now, const store::Reader& reader, Effects& effects);
  wire::Reply retain(const wire::Retain& request, const store::Reader& reader, Effects& effects);
  std::optional<Position> marker(EntityNo entity, wire::Timeline timeline, std::string_view consumer, const store::Reader& reader) const;
  uint64_t unread(EntityNo entity, wire::Timeline timeline, Position marker, Now now, const store::Reader& reader);
  wire::Reply get(MessageId id, Now now, const store::Reader& reader) const;
  wire::Reply following(const wire::Following& request, const store::Reader& reader) const;
  wire::Reply leaves(const wire::Leaves& request, const store::Reader& reader) const;
  wire::Reply leaf(const wire::Leaf& request, const store::Reader& reader);
  wire::LeafCosts costs_of(leaf::Leaf& leaf, const store::Reader& reader);  // modes.cc
  MessageId newest_message(EntityNo entity, const store::Reader& reader) const;
  void follows_settled(LeafNo leaf, wire::FollowState state, Effects& effects);
  leaf::Leaf* join(const std::string& author, Position generation, Now now, Effects& effects);
  std::variant<bool, Error> cut(EntityNo follower, const std::string& author, Now now, const store::Reader& reader, Effects& effects);
  void leave(leaf::Leaf& leaf, Position position, Now now, Effects& effects);
  void leaf_ended(leaf::Leaf& leaf, Now now, Effects& effects);
  void on_letter_body(const wire::BackfillAsk& ask, Position position, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::Backfill& earlier, const store::Reader& reader, Effects& effects);
  void forward(const Ask& ask, const wire::Forwarding& request, Now now, const store::Reader& reader, Effects& effects);
  void forwards_active(LeafNo leaf, EntityNo to, Effects& effects);
  void on_letter_body(const wire::Share& share, Position position, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::Shared& shared, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::Redirect& redirect, Position position, Now now, const store::Reader& reader, Effects& effects);
  void merge(leaf::Leaf& old, leaf::Leaf& leaf, std::vector<std::pair<EntityNo, std::string>>& edges, const store::Reader& reader, Effects& effects);

  // freshen.cc: lazy leaves, and what waits until they have fetched
  bool wait_for_leaves(const Ask& ask, Now now, const store::Reader& reader, Effects& effects);
  void await(ParkedAsk& parked, LeafNo no, const std::string& reflector, uint64_t round);
  void wait_again(Now now, const store::Reader& reader);
  std::map<LeafNo, std::string> needed(const wire::Request& request, const store::Reader& reader);
  void fetch_awaited(Now now, const store::Reader& reader, Effects& effects);
  void ask_newest(LeafNo no, const std::string& reflector, Now now, const store::Reader& reader, Effects& effects);
  void freshened(leaf::Leaf& leaf, const wire::Fetched& fetched, const store::Reader& reader, Effects& effects);
  void note_pushed(LeafNo no, BucketId root, const store::Reader& reader);
  void leaf_gone(LeafNo leaf);
  void no_longer_waits(uint64_t ask, LeafNo leaf);
  void nobody_waits(LeafNo leaf, const std::string& reflector, bool once);
  void run_out(uint64_t ask);
  void run_out_of_time(uint64_t ask, Now now);
  void unpark(uint64_t ask);
  void work_ready(Now now, const store::Reader& reader, Effects& effects);
  void add_incomplete(EntityNo entity, const store::Reader& reader, wire::TimelinePage& page) const;
  void check_lazy() const;

  // asks.cc: who waits and who listens
  OpenAsk& open_ask(uint64_t ask, wire::Reply empty, size_t parts);
  void part_done(uint64_t ask, Effects& effects);
  void wait(std::vector<uint64_t>& waiting, uint64_t ask);
  void set_deadline(uint64_t ask, Instant deadline);
  void close_ask(uint64_t ask, Effects& effects);
  void forget_ask(uint64_t ask);
  void tail(wire::Timeline timeline, const std::string& entity, const store::Reader& reader);
  void untail_if_unused(const TailKey& key);
  void entity_created(EntityNo entity, const std::string& name);
  bool tailed_home(EntityNo entity) const { return home_tails_.contains(entity); }
  bool may_concern_tails(const leaf::Leaf& leaf) const;
  void notify_retracted(const TailKey& key, MessageId id, Effects& effects);
  void notify(const TailKey& key, const wire::Entry& entry, Position prev, Effects& effects);
  void wake(const TailKey& key);
  void beats(Now now, const store::Reader& reader, Effects& effects);

  BucketId id_;
  MapRef map_;
  NodeIndex self_;
  BucketOptions options_;

  Now now_;                          // of the last step: a delivery without one is told no time
  Position position_;
  BucketRecord record_, saved_record_;
  Entities entities_;
  Channels channels_;
  reflector::Roots roots_;
  leaf::Leaves leaves_;
  leaf::Timelines timelines_;
  Keys keys_;
  Lists lists_;
  Dead dead_;
  bool markers_ = false;             // somebody here has a read marker
  // Names that lead to another entity: of this bucket, and of others as far as somebody here followed one.
  std::unordered_map<std::string, std::string> aliases_;
  struct Ending {
    Position sent;                   // up to here its messages are retracted: the rows before are not walked again
    bool told = false;               // its leaves were, since the bucket was opened
  };
  std::map<EntityNo, Ending> endings_;  // entities whose deletion goes on
  EntityNo deleting_;                // the one that had its turn
  // Of this step, which does not read its own writes.
  std::set<std::pair<MessageId, EntityNo>> passed_;
  std::set<MessageId> dead_now_;
  bool died_now_ = false;            // a row of a delivery did
  bool retired_leaves_ = false;      // some deliveries wait to be erased
  leaf::Trim trim_;                  // the walk that brings the deliveries below the horizon
  Instant work_at_ = Instant::never();  // the next slice of erasing
  uint32_t work_turn_ = 0;
  Instant sweep_at_ = Instant::never();

  std::map<uint64_t, OpenAsk> asks_;
  std::set<std::pair<Instant, uint64_t>> deadlines_;
  std::map<LeafNo, std::vector<std::pair<uint64_t, size_t>>> waiting_follows_;  // (ask, part)
  std::map<std::pair<LeafNo, EntityNo>, std::vector<uint64_t>> waiting_forwards_;        // asks
  std::map<std::pair<std::string, std::string>, std::vector<uint64_t>> waiting_aliases_;  // by entity, alias
  leaf::LazyLeaves lazy_;
  std::map<uint64_t, ParkedAsk> parked_;         // by ask
  std::set<std::pair<Instant, uint64_t>> parked_until_;  // of those that still wait
  std::deque<uint64_t> ready_;                   // of `parked_`: wait no longer, in the order in which they go on
  std::optional<ParkedAsk> working_;             // was the first of these: its parts are being worked
  size_t leaf_waits_ = 0;                        // leaves that those of `parked_` wait for
  size_t follows_parked_ = 0;                    // of `parked_`: FOLLOW and FORWARD, which others must not overtake
  std::map<LeafNo, Awaited> awaited_;
  std::deque<LeafNo> to_fetch_;                  // of `awaited_`: have not asked yet
  Instant fetch_at_ = Instant::never();          // these are asked again from the beginning
  std::map<BucketId, Instant> silent_;           // roots that did not answer in time; until then nobody waits for them
  const std::map<LeafNo, std::string>* missing_ = nullptr;  // of the request that is being worked
  Instant modes_at_ = Instant::never();          // the next slice of the walk that brings leaves into the forced mode
  LeafNo modes_walked_;
  std::map<std::string, leaf::Mode> wanted_modes_;  // by reflector: of leaves that are to be lazy, or no longer
  bool untailed_ = false;                        // in this step a home was: it is no longer tailed
  std::map<TailKey, Tailed> tails_;
  std::map<EntityNo, std::string> home_tails_;   // those of `tails_` on home whose entity exists
  std::set<std::pair<Instant, TailKey>> beats_;
  std::vector<uint64_t> due_reads_;              // long polls to answer
  std::vector<EntityNo> due_opens_;              // timelines to materialise again: somebody tails them
  std::vector<wire::ChannelLetter> due_marks_;   // planted bug only: marks for a later commit
  Instant marks_at_ = Instant::never();
  Counters counters_;
};

wire::Reply no_such_message(MessageId id);

}  // namespace canopy::bucket
