// A bucket actor: the state machine of one bucket. Ordered operations in, writes and effects out.
// No socket, clock, thread or file; the same code runs under the daemon and the simulator.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "bucket/channels.h"
#include "bucket/entities.h"
#include "bucket/events.h"
#include "bucket/keys.h"
#include "leaf/home.h"
#include "leaf/leaves.h"
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
using Event = std::variant<Ask, Forget, Arrive, StreamIn, Pushed, Audience, NodeUp, Tick>;

// What a step asks for; the step itself does nothing. `held` leaves when the commit that holds
// `writes` is durable: nothing else leaves a bucket, so nothing can leave too early.
struct Effects {
  store::Writes writes;
  Position upto;           // the bucket's position after the step
  std::vector<Out> held;
  bool taken = true;       // StreamIn: it is applied, or was before, or nobody here wants it
};

struct BucketOptions {
  size_t home_bytes_max = 64u << 20;              // of materialised timelines
  Duration active_window = Duration::of_s(24 * 3600);
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
  void step(const Event& event, size_t part, Now now, const store::Reader& reader, Effects& effects);

  // When a Tick is due; an Instant not after `now` means at once, before any other event.
  Instant next_deadline() const;
  bool due_at_once() const { return !due_reads_.empty() || !due_opens_.empty(); }

  struct Counters {
    uint64_t publishes = 0, follows = 0, unfollows = 0, reads = 0, deliveries = 0, repeats = 0, parks = 0,
             refused = 0, fetches = 0, fetched = 0, tails = 0, letters = 0, letter_repeats = 0, letter_gaps = 0;
    void add(const Counters& other);
  };
  const Counters& counters() const { return counters_; }
  size_t waiting() const { return asks_.size(); }
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
  void on_letter_body(const wire::LeafJoin& join, BucketId from, Position position, Now now, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::LeafLeave& leave, BucketId from, const store::Reader& reader, Effects& effects);
  void on_letter_body(const wire::Welcome& welcome, BucketId from, Now now, const store::Reader& reader, Effects& effects);
  void delivered(const std::vector<leaf::Delivery>& deliveries, const store::Reader& reader, Effects& effects);
  void send_all(std::vector<wire::Packet> packets, Effects& effects);
  void trim(const store::Reader& reader, Effects& effects);
  void sweep(Now now);

  // requests.cc: what clients ask
  void publish(const Ask& ask, const wire::Publish& request, size_t part, Now now, const store::Reader& reader, Effects& effects);
  void follow(const Ask& ask, const wire::Follow& request, size_t part, Now now, const store::Reader& reader, Effects& effects);
  void unfollow(const Ask& ask, const wire::Unfollow& request, size_t part, Now now, const store::Reader& reader, Effects& effects);
  void read(const Ask& ask, const wire::Read& request, size_t part, Now now, const store::Reader& reader, Effects& effects);
  // `room`: about how many bytes of entries the page may have; one is always taken.
  wire::TimelinePage page(const wire::Read& request, std::string_view entity, size_t room, Now now, const store::Reader& reader);
  wire::TimelinePage home_page(const wire::Read& request, EntityNo entity, size_t room, Now now, const store::Reader& reader);
  wire::TimelinePage sent_page(const wire::Read& request, EntityNo entity, size_t room, const store::Reader& reader) const;
  wire::Reply get(MessageId id, const store::Reader& reader) const;
  wire::Reply following(const wire::Following& request, const store::Reader& reader) const;
  wire::Reply leaves(const wire::Leaves& request, const store::Reader& reader) const;
  wire::Reply leaf(const wire::Leaf& request, const store::Reader& reader);
  std::variant<wire::Published, Error> publish_one(const wire::Message& message, Now now, const store::Reader& reader, Effects& effects);
  Position newest_sent(EntityNo entity, const store::Reader& reader) const;
  MessageId newest_message(EntityNo entity, const store::Reader& reader) const;
  void follows_settled(LeafNo leaf, wire::FollowState state, Effects& effects);

  // asks.cc: who waits and who listens
  OpenAsk& open_ask(uint64_t ask, wire::Reply empty, size_t parts);
  void part_done(uint64_t ask, Effects& effects);
  void set_deadline(uint64_t ask, Instant deadline);
  void close_ask(uint64_t ask, Effects& effects);
  void forget_ask(uint64_t ask);
  void tail(wire::Timeline timeline, const std::string& entity, const store::Reader& reader);
  void untail_if_unused(const TailKey& key);
  void entity_created(EntityNo entity, const std::string& name);
  bool tailed_home(EntityNo entity) const { return home_tails_.contains(entity); }
  void notify(const TailKey& key, const wire::Entry& entry, Position prev, Effects& effects);
  void wake(const TailKey& key);
  void beats(Now now, const store::Reader& reader, Effects& effects);

  BucketId id_;
  MapRef map_;
  NodeIndex self_;
  BucketOptions options_;

  Position position_;
  BucketRecord record_, saved_record_;
  Entities entities_;
  Channels channels_;
  reflector::Roots roots_;
  leaf::Leaves leaves_;
  leaf::Timelines timelines_;
  Keys keys_;
  bool retired_leaves_ = false;      // some deliveries wait to be erased
  LeafNo trim_from_;                 // where the trimming walk goes on; zero: no walk
  Instant work_at_ = Instant::never();  // the next slice of erasing
  Instant sweep_at_ = Instant::never();

  std::map<uint64_t, OpenAsk> asks_;
  std::set<std::pair<Instant, uint64_t>> deadlines_;
  std::map<LeafNo, std::vector<std::pair<uint64_t, size_t>>> waiting_follows_;  // (ask, part)
  std::map<TailKey, Tailed> tails_;
  std::map<EntityNo, std::string> home_tails_;   // those of `tails_` on home whose entity exists
  std::set<std::pair<Instant, TailKey>> beats_;
  std::vector<uint64_t> due_reads_;              // long polls to answer
  std::vector<EntityNo> due_opens_;              // timelines to materialise again: somebody tails them
  std::vector<wire::ChannelLetter> due_marks_;   // planted bug only: marks for a later commit
  Instant marks_at_ = Instant::never();
  Counters counters_;
};

}  // namespace canopy::bucket
