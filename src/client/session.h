// The client's side of the conversation, pure: which request is where, until when, and whose answer
// a packet is. Sockets and clocks are the caller's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/time.h"
#include "wire/reply.h"
#include "wire/request.h"

namespace canopy {

struct SessionSettings {
  Duration timeout = Duration::of_s(10);          // of a request, its own wait_ms on top
  Duration connect_timeout = Duration::of_s(2);   // so long a request may wait for a connection
  size_t in_flight_max = 256;
  bool retry_busy = true;
};

// A request is *ready* until it is sent, then *in flight* until it is answered; after BUSY it is
// *resting*, and then ready again. Invariant: its deadline ends it in any of the three.
class Session {
 public:
  using Ticket = uint64_t;

  enum class Outcome : uint8_t {
    answered,     // `reply` holds what the fabric said, be it an Error
    unreachable,  // never sent: there was no connection
    no_answer,    // nothing in time, though it was sent or waited only for others in flight
    unreadable,   // answered with what does not fit the request; `reply` holds an Error that says how
  };
  struct Done {
    Ticket ticket = 0;
    Outcome outcome = Outcome::answered;
    wire::Reply reply;
  };

  explicit Session(const SessionSettings& settings) : settings_(settings) {}

  Ticket submit(const wire::Request& request, Instant now);

  // Returns the request to send next; none when there is none, or enough are in flight.
  std::optional<Ticket> next_to_send() const;
  // Returns its packet. Valid until the next call that changes the session.
  // REQUIRES: next_to_send() returned it.
  const std::vector<std::string>& packet(Ticket ticket) const { return pending_.at(ticket).packet; }
  void on_sent(Ticket ticket);
  // No connection took the packet. Requests that wait longer than connect_timeout are unreachable.
  void on_blocked(Instant now);

  // A packet came. What belongs to no request in flight (an answer that is late or a repeat) is dropped.
  void on_packet(const std::vector<std::string_view>& frames, Instant now);

  // A connection went, and with it answers that will never come. What is safe to repeat is sent
  // again. The rest has no answer, if that was the only connection; else it waits for its deadline.
  // Nothing is sent for a moment: the socket hears of the loss before it drops the connection, and
  // what it took in between would be lost without a word.
  void on_disconnected(bool only_one, Instant now);

  void on_time(Instant now);
  Instant next_time() const;  // when on_time() has something to do; never() for not at all

  std::optional<Done> take();
  std::optional<Done> take(Ticket ticket);
  size_t pending() const { return pending_.size() + done_.size(); }  // not yet taken
  uint64_t dropped() const { return dropped_; }

 private:
  enum class Stage : uint8_t { ready, in_flight, resting };
  struct Pending {
    std::string verb;
    std::vector<std::string> packet;
    bool repeatable = true, was_sent = false;
    Stage stage = Stage::ready;
    Instant submitted, deadline, rest_until;
    uint32_t busy_count = 0;
  };
  using Pendings = std::unordered_map<Ticket, Pending>;

  void make_ready(Ticket ticket, Pending& pending);
  bool rest(Ticket ticket, Pending& pending, const Error& error, Instant now);
  void finish(Pendings::iterator at, Outcome outcome, wire::Reply reply);
  void give_up(Pendings::iterator at);

  SessionSettings settings_;
  Ticket last_ = 0;
  Pendings pending_;
  std::set<Ticket> ready_;                         // oldest first
  std::set<std::pair<Instant, Ticket>> timers_;    // each pending request's deadline, and the end of a rest
  size_t in_flight_ = 0;
  std::optional<Instant> blocked_since_, held_until_;
  std::deque<Done> done_;
  uint64_t dropped_ = 0;
};

}  // namespace canopy
