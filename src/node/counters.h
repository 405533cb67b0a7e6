// What a node counts, each under the name that STATUS and the metrics show.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace canopy::node {

struct Counters {
  // front
  uint64_t requests = 0, requests_refused = 0, replies = 0, replies_error = 0;
  uint64_t requests_timed_out = 0, requests_outcome_unknown = 0;
  uint64_t requests_moved = 0;      // parts that named an alias and went on under the first name
  uint64_t forwards_sent = 0, forwards_taken = 0, forwards_not_owner = 0, forwards_repeated = 0;
  uint64_t answers_late = 0;
  // ingest
  uint64_t ingest = 0, ingest_published = 0, ingest_refused = 0, ingest_dropped = 0, ingest_failed = 0;
  // links
  uint64_t hellos = 0, hellos_other_fabric = 0, hellos_own_name = 0, hellos_of_old_boot = 0, hellos_refused = 0;
  uint64_t sessions_begun = 0, sessions_ended = 0;
  uint64_t frames_sent = 0, frames_received = 0, frames_damaged = 0, frames_not_for_this_boot = 0;
  uint64_t frames_of_unknown_boot = 0, frames_without_session = 0, frames_other_fabric = 0;
  uint64_t frames_timed_out = 0, frame_acks_late = 0;
  uint64_t link_items_dropped = 0;  // the buffer for that peer was full
  // relay
  uint64_t pushes = 0, stream_letters_sent = 0, stream_letters_received = 0, deliveries = 0;
  uint64_t leaves_not_taken = 0, leaves_not_mine = 0, leaves_without_credit = 0;
  uint64_t letters_per_message_max = 0;
  uint64_t packets_sent = 0, packets_received = 0, packets_without_link = 0, packets_not_mine = 0;
  uint64_t packets_of_nobody = 0;   // of a bucket that there is not
  // feeds
  uint64_t feed_frames = 0, feeds_refused = 0, feeds_elsewhere = 0;
  // formation
  uint64_t offers_refused = 0;
};

}  // namespace canopy::node
