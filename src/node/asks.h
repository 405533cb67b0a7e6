// Requests for one bucket: asked of the bucket's shard here, or passed on once to the node that has
// it. Each ends once: with the answer, an error of the way, or its deadline.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "base/number_map.h"
#include "node/frames.h"
#include "node/links.h"
#include "node/place.h"

namespace canopy::node {

constexpr Duration not_owner_pause = Duration::of_ms(100);   // before another try
constexpr Duration expiry_every_min = Duration::of_ms(50);   // how often deadlines are looked at, at most
constexpr size_t forwards_window = 1u << 17;                 // numbers in which a repeated Forward is known

class Asks {
 public:
  // What an ask is for; comes back with its end. Parts of one client's request share `request`.
  struct Purpose {
    enum class Kind : uint8_t { client, ingest, peer };
    Kind kind = Kind::client;
    uint64_t request = 0;   // the front's number; of a peer's: the peer's number for it
    uint32_t part = 0;
    PeerNo peer;            // for Kind::peer, with the boot of the session it came in
    uint64_t boot = 0;
  };
  struct Done {
    Purpose purpose;
    wire::Reply reply;
    bool untouched = false;  // an error, and the request was certainly not carried out
  };

  Asks(const Place& place, Links& links, Frames& frames, Counters& counters)
      : place_(place), links_(links), frames_(frames), counters_(counters) {}

  // REQUIRES: place.exists(bucket). The end comes by take_done(), perhaps at once.
  void ask(Now now, Purpose purpose, BucketId bucket, wire::Request request, Instant deadline, Output& out);
  // A peer passes a request on. It is carried out here, or answered with not_owner.
  void on_forward(Now now, const Peer& from, wire::Forward forward, BucketId bucket, Output& out);

  void on_answer(shard::Answer answer);
  void on_forward_reply(Now now, PeerNo from, wire::ForwardReply reply);
  void on_session_ended(PeerNo peer, Output& out);
  void on_time(Now now, Output& out);
  // The node stops: who waits for something new is told to ask elsewhere.
  void end_long_polls(Output& out);
  Instant next_deadline() const;

  [[nodiscard]] std::optional<Done> take_done();
  size_t in_flight() const { return entries_.size(); }

 private:
  enum class Where : uint8_t { shard, peer, pause };
  struct Entry {
    Purpose purpose;
    BucketId bucket;
    Where where = Where::shard;
    Instant deadline;
    PeerNo peer;                             // Where::peer
    Instant again = Instant::never();        // Where::pause
    std::optional<wire::Request> request;    // kept for another try, unless with a shard of ours
    bool publish = false;
    bool long_poll = false;
  };
  // Which of a peer's request numbers were seen: links may repeat a frame.
  struct Seen {
    uint64_t boot = 0, highest = 0;
    std::vector<bool> bits;
    bool repeated(uint64_t session_boot, uint64_t number);
  };

  void route(Now now, uint64_t number, Entry& entry, wire::Request request, Output& out);
  void end(uint64_t number, wire::Reply reply, bool untouched);
  void expire(uint64_t number, Output& out);
  template <class Wanted>
  std::vector<uint64_t> numbers_where(const Wanted& wanted) const;

  const Place& place_;
  Links& links_;
  Frames& frames_;
  Counters& counters_;
  NumberMap<Entry> entries_;                     // by the number of the ask; walked by numbers_where, which sorts
  std::map<PeerNo, Seen> seen_;
  std::deque<Done> done_;
  uint64_t last_number_ = 0;
  Instant next_expiry_ = Instant::never();       // no entry has to end or be tried again before
  Instant last_expiry_;
};

}  // namespace canopy::node
