// Publishing without an answer: what the PULL socket brought becomes publishes of their buckets.
// While the fabric is busy messages wait, so many and so long, and are then dropped and counted.
#pragma once

#include <cstdint>
#include <map>

#include "node/asks.h"

namespace canopy::node {

constexpr size_t ingest_in_flight_max = 20'000;
constexpr size_t ingest_waiting_max = 50'000;
constexpr size_t ingest_waiting_bytes_max = 64u << 20;
constexpr size_t ingest_in_flight_bytes_max = 64u << 20;
constexpr Duration ingest_wait_max = Duration::of_s(5);
constexpr Duration ingest_pause = Duration::of_ms(50);   // after BUSY

class Ingest {
 public:
  Ingest(const Place& place, Asks& asks, Counters& counters) : place_(place), asks_(asks), counters_(counters) {}

  void on_message(Now now, wire::Message message, Output& out);
  void on_done(Now now, Asks::Done done, Output& out);
  // Sends what may go; also after a pause or when the map has come.
  void pump(Now now, Output& out);
  Instant next_deadline() const;
  size_t in_flight() const { return waiting_.size() + sent_.size(); }
  size_t waiting() const { return waiting_.size(); }
  // Half of what may wait does: the socket should not be read just now.
  bool full() const { return waiting_.size() >= ingest_waiting_max / 2 || waiting_bytes_ >= ingest_waiting_bytes_max / 2; }

 private:
  struct Waiting {
    wire::Message message;
    Instant give_up;
    Instant deadline;      // of the ask, while it is sent
    unsigned moves = 0;    // answered Moved so often
  };
  using Messages = std::map<uint64_t, Waiting>;
  bool room() const { return sent_.size() < ingest_in_flight_max && sent_bytes_ < ingest_in_flight_bytes_max; }
  void drop_old(Now now);
  void send(Now now, Messages::node_type node, Output& out);
  void wait(Now now, Messages::node_type node);

  const Place& place_;
  Asks& asks_;
  Counters& counters_;
  // By arrival, so that what was refused as busy comes before what came later: an author's messages
  // stay in order unless some of those in flight together were refused and others not.
  Messages waiting_, sent_;
  size_t waiting_bytes_ = 0, sent_bytes_ = 0;
  uint64_t last_number_ = 0;
  Instant paused_until_{INT64_MIN};
};

}  // namespace canopy::node
