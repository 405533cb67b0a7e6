// Peers and sessions. A Hello is both greeting and heartbeat; a session with a peer lasts from the
// first Hello of its boot that shows it has heard ours, until no such Hello came for 3 s or the peer
// has another boot. What was on its way in a session is not expected any more when it has ended.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "node/counters.h"
#include "node/node.h"
#include "node/place.h"

namespace canopy::node {

using PeerNo = Id<struct PeerTag, uint64_t>;  // of a link endpoint in this process; never used again; 0: none

constexpr Duration heartbeat_every = Duration::of_ms(500);
constexpr Duration session_timeout = Duration::of_s(3);
constexpr Duration stranger_timeout = Duration::of_s(60);
constexpr size_t retired_boots_max = 8;
static_assert(heartbeat_every * 4 <= session_timeout, "a session must survive some lost heartbeats");

struct Peer {
  PeerNo no;
  std::string endpoint;                // where we send to
  bool seed = false;
  bool own = false;                    // a seed that is this node itself: disconnected
  // What its last Hello said; hello.node is empty until there was one.
  wire::Hello hello;
  Instant heard, confirmed;            // last Hello of this boot; last one with our boot in it
  bool up = false;                     // there is a session
  bool known = false;                  // there was one with this boot
  std::optional<NodeIndex> index;      // its row in the formed map
  std::deque<uint64_t> retired;        // boots before: a late Hello must not bring one back
};

class Links {
 public:
  struct Change {
    PeerNo peer;
    bool begun = false;                // else the session ended; begun again: its node has joined the fabric
  };

  Links(const NodeOptions& options, const Place& place, Counters& counters)
      : options_(options), place_(place), counters_(counters) {}

  void start(Now now, Output& out);
  // The place has a (newer) map: peers get their rows, and missing ones are connected to.
  void on_map(Now now, Output& out);
  // `number`: of the frame it came in, which says by which connection when it is our own.
  [[nodiscard]] std::vector<Change> on_hello(Now now, wire::Hello hello, uint64_t number, Output& out);
  // A frame to our boot came: its sender has heard us, which begins its boot's first session. After
  // that only a Hello does: what comes late, from before a break, must not count.
  [[nodiscard]] std::vector<Change> on_frame(Now now, PeerNo from);
  [[nodiscard]] std::vector<Change> on_time(Now now, Output& out);
  Instant next_deadline() const { return next_hello_; }

  const Peer* peer(PeerNo no) const;
  const Peer* by_boot(uint64_t boot) const;
  const Peer* with_session(NodeIndex node) const;   // null: no session with that node
  const std::map<PeerNo, Peer>& peers() const { return peers_; }
  const std::optional<std::string>& fatal() const { return fatal_; }
  const std::string& note() const { return note_; }  // what was odd lately; empty for nothing
  std::string fabric_id() const { return place_.known() ? place_.map->fabric_id : std::string(); }

 private:
  Peer& connect(std::string endpoint, Instant now, Output& out);
  bool refuse(const wire::Hello& hello, uint64_t number, Output& out);
  bool judge_fabric(const wire::Hello& hello);
  void on_own_hello(uint64_t number, Output& out);
  Peer* find(const std::string& endpoint);
  void take_boot(Peer& peer, uint64_t boot, std::vector<Change>& changes);
  void begin(Peer& peer, Instant now, std::vector<Change>& changes);
  void end(Peer& peer, std::vector<Change>& changes);
  void say_hello(Now now, Peer& peer, Output& out);
  void set_index(Peer& peer);
  void forget_strangers(Now now, Output& out);

  const NodeOptions& options_;
  const Place& place_;
  Counters& counters_;
  std::map<PeerNo, Peer> peers_;
  std::map<std::string, PeerNo> by_endpoint_;
  std::map<uint64_t, PeerNo> by_boot_;
  std::vector<PeerNo> by_index_;       // by NodeIndex, of the formed map
  uint64_t last_no_ = 0;
  Instant next_hello_ = Instant::never();
  std::optional<std::string> fatal_;
  std::string note_;
};

}  // namespace canopy::node
