// Cutting a request into one part for each bucket it touches, and putting the parts' replies
// together in the order of what the client gave.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "map/map.h"
#include "wire/reply.h"
#include "wire/request.h"

namespace canopy::node {

struct Part {
  BucketId bucket;
  wire::Request request;
  std::vector<uint32_t> indices;   // of the client's elements, in the part's order
};

// Returns the parts by bucket, ascending; elements of one bucket keep their order, so an author's
// messages do. REQUIRES: the request is a Publish, Follow, Unfollow or Read.
std::vector<Part> split(const map::BucketMap& map, wire::Request request);

// The bucket of a Publish, Follow, Unfollow or Read of one element; nothing for all others.
std::optional<BucketId> bucket_of_one(const map::BucketMap& map, const wire::Request& request);

// The reply with nothing in it yet: `elements` errors. A reply of a kind that does not fit becomes an error.
class Gather {
 public:
  Gather() = default;
  Gather(const wire::Request& request, size_t elements);
  // Puts a part's reply at its elements; an error goes to each of them.
  void put(const std::vector<uint32_t>& indices, wire::Reply reply);
  // Of one element that is not a batch, the error itself if it is one.
  wire::Reply finish() &&;

 private:
  wire::Reply reply_;
};

}  // namespace canopy::node
