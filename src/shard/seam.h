// What passes between a node's core and its shards: values, in queues, never shared state.
#pragma once

#include <variant>

#include "bucket/events.h"

namespace canopy::shard {

using bucket::MapRef;

// To a shard.
using bucket::Arrive;
using bucket::Ask;
using bucket::Audience;
using bucket::Deliver;
using bucket::Forget;
using bucket::NewMap;
using bucket::NodeUp;
using bucket::Pushed;
using bucket::Turn;
using In = std::variant<Ask, Forget, Arrive, Deliver, Pushed, Audience, NewMap, NodeUp, Turn>;

// From a shard.
using bucket::Answer;
using bucket::Delivered;
using bucket::Depart;
using bucket::Feed;
using bucket::Out;
using bucket::Push;
using bucket::Report;

}  // namespace canopy::shard
