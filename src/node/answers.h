// What a node answers from what it knows itself: PING, LOOKUP, MAP.
#pragma once

#include "node/links.h"
#include "node/place.h"
#include "wire/reply.h"

namespace canopy::node {

std::string hexadecimal(std::string_view bytes);

// REQUIRES for each: place.known().
wire::PingResult answer_ping(const NodeOptions& options, const Place& place);
wire::LookupResult answer_lookup(const Place& place, const wire::Lookup& request);
wire::MapResult answer_map(const Place& place, const Links& links, const wire::Map& request);

}  // namespace canopy::node
