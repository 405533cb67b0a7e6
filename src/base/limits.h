// Every bound of the program, with what relates them. Settings may lower some; nothing raises them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace canopy::limits {

// Names, requests, replies
constexpr size_t name_bytes_max = 200;
constexpr size_t type_bytes_max = 200;          // PUBLISH `type`
constexpr size_t key_bytes_max = 200;           // PUBLISH `key`
constexpr size_t body_bytes_max = 16u << 20;    // `body_max` may be set up to this
constexpr size_t args_bytes_max = 4u << 20;     // the args frame of a request
constexpr size_t pairs_max = 10'000;            // FOLLOW / UNFOLLOW `pairs`
constexpr size_t batch_messages_max = 1'000;    // PUBLISH `messages`
constexpr size_t batch_entities_max = 1'000;    // READ `entities`
constexpr size_t read_limit_max = 1'000;
constexpr size_t read_limit_default = 50;
constexpr size_t reply_bytes_max = 16u << 20;   // of entries in one READ; it is cut to fit
constexpr size_t depth_max = 16;                // nesting of msgpack and JSON
constexpr int64_t wait_ms_max = 60'000;
constexpr size_t mentions_max = 64;             // PUBLISH `mentions`, `topics`, `to`: each
constexpr size_t backfill_max = 1'000;          // FOLLOW `backfill`
constexpr uint64_t unread_max = 10'000;         // counted so far; "this many or more"

// Fabric
constexpr uint32_t bucket_count_max = 4096;
constexpr uint32_t nodes_max = 1024;
constexpr uint32_t shards_max = 64;

// Streams
constexpr size_t park_max = 256;                // early stream letters of one leaf, in RAM
constexpr size_t parked_bytes_max = 4u << 20;   // of all leaves of a bucket; what is not parked is fetched
constexpr size_t fetch_window_numbers = 256;    // one fetch asks for so many numbers at most
constexpr size_t fetch_window_bytes = 1u << 20; // and its answer stops near so many bytes
constexpr size_t fetches_in_flight_max = 256;   // of one bucket
constexpr size_t check_ids_max = 256;           // ids that a leaf asks about at once
constexpr size_t credit_bytes_per_node = 16u << 20;
constexpr size_t frame_bytes_target = 256u << 10;

// Channels
constexpr size_t letters_in_flight_max = 256;   // of one channel
constexpr size_t outbox_letters_max = 100'000;  // of one channel; then client operations get BUSY

// Message graph
constexpr size_t dead_ids_max = 100'000;        // retracted ids that a bucket remembers
constexpr size_t markers_max = 1'000;           // consumers with a marker in one timeline
constexpr size_t aliases_max = 1'000;           // of one entity
constexpr size_t aliases_per_bucket_max = 100'000;
constexpr size_t forwards_max = 1'000;          // to one entity

// Requests
constexpr size_t requests_in_flight_max = 100'000;  // at one node's front
constexpr size_t request_bytes_in_flight_max = 256u << 20;  // of their frames; one is always taken
constexpr size_t live_feeds_max = 100'000;          // subscribed at one node
constexpr Duration request_timeout = Duration::of_s(10);
constexpr Duration key_age_max = Duration::of_s(3600);
constexpr size_t keys_per_bucket_max = 100'000;

// Requests that wait until lazy leaves have fetched, of one bucket; and the leaves that each of them waits for, all together.
constexpr size_t asks_parked_max = 10'000;
constexpr size_t leaf_waits_max = 100'000;
constexpr size_t incomplete_max = 1'000;            // authors that one page names as missing

static_assert(fetch_window_numbers <= park_max, "a fetched window must fit where early letters wait");
static_assert(bucket_count_max <= 1u << 14, "a message id has 14 bits of bucket");

}  // namespace canopy::limits
