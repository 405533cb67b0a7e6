// STATUS: what the node says of itself, section by section.
#pragma once

#include <string>
#include <vector>

#include "node/counters.h"
#include "node/links.h"
#include "node/place.h"
#include "wire/reply.h"

namespace canopy::node {

struct StatusFacts {
  std::string state;        // "ready", "waiting", "draining"
  std::string waiting_for;
  size_t requests_in_flight = 0, ingest_waiting = 0, frames_in_flight = 0, pushes_in_flight = 0, feeds = 0;
};

wire::StatusResult status(const NodeOptions& options, const Place& place, const Links& links, const Counters& counters,
                          const StatusFacts& facts, const std::vector<wire::StatusSection>& shards);

}  // namespace canopy::node
