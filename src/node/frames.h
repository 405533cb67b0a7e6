// What goes out to each peer, gathered into frames, and which of those frames are acknowledged.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "node/links.h"

namespace canopy::node {

constexpr Duration frame_timeout = Duration::of_s(10);
constexpr size_t peer_buffer_bytes_max = 64u << 20;  // gathered for one peer and not yet in a frame
static_assert(peer_buffer_bytes_max >= 2 * (limits::body_bytes_max + limits::args_bytes_max),
              "the largest request must pass beside others");

// Return about how many bytes a message of a request takes in memory, and an item in a frame.
size_t message_bytes(const wire::Message& message);
size_t item_bytes(const wire::LinkItem& item);

class Frames {
 public:
  // A stream letter ended: these leaves did not take it (part: what send_stream was given).
  struct Ended {
    uint64_t part = 0;
    bool failed = false;                 // the whole part: nobody knows what was taken
    std::vector<BucketId> not_taken;     // when not failed
  };

  Frames(const NodeOptions& options, Links& links, Counters& counters)
      : options_(options), links_(links), counters_(counters) {}

  // Returns false when there is no session with the peer or its buffer is full: nothing is kept.
  bool send(PeerNo peer, wire::LinkItem item);
  // The same with a stream letter, whose part ends once: with an Ended from below, unless false is
  // returned. Credit: at most limits::credit_bytes_per_node are on their way to a peer.
  bool send_stream(PeerNo peer, wire::StreamLetter letter, uint64_t part);
  bool has_credit(PeerNo peer, size_t bytes) const;

  [[nodiscard]] std::vector<Ended> on_ack(PeerNo peer, const wire::FrameAck& ack);
  [[nodiscard]] std::vector<Ended> on_session_ended(PeerNo peer);
  [[nodiscard]] std::vector<Ended> on_time(Now now);
  Instant next_deadline() const;
  void flush(Now now, Output& out);

  size_t frames_in_flight() const { return in_flight_.size(); }

 private:
  struct Gathered {
    wire::LinkItem item;
    size_t bytes = 0;
    uint64_t part = 0;                   // of a stream letter
  };
  struct Box {
    std::vector<Gathered> items;
    size_t bytes = 0;
    size_t stream_bytes = 0;             // gathered or in flight: what the credit bounds
  };
  struct Part {
    uint32_t item = 0;                   // index in the frame
    uint64_t part = 0;
  };
  struct InFlight {
    PeerNo peer;
    Instant deadline;
    size_t bytes = 0;
    std::vector<Part> parts;
  };
  bool gather(PeerNo peer, Gathered item);
  void flush_frame(Now now, const Peer& peer, std::vector<Gathered>& items, size_t begin, size_t end, Output& out);
  void fail(std::map<uint64_t, InFlight>::iterator at, std::vector<Ended>& ended);

  const NodeOptions& options_;
  Links& links_;
  Counters& counters_;
  std::map<PeerNo, Box> boxes_;
  std::map<uint64_t, InFlight> in_flight_;   // by frame number, which grows with the deadline
  uint64_t last_number_ = 0;
};

}  // namespace canopy::node
