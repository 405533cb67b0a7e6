// The bucket map and the node's status as tables. Pure.
#pragma once

#include <string>

#include "canopy/message.h"
#include "table.h"

namespace canopy::console {

std::string nodes_table(const client::Map& map, const Terminal& terminal);
// One line for each node: the buckets that it is primary of, and of how many it holds a backup.
std::string map_table(const client::Map& map, const Terminal& terminal);
// One line for each bucket.
std::string buckets_table(const client::Map& map, const Terminal& terminal);
// One table for each kind of section. Counters at zero are left out, and counted, unless `all`.
std::string status_tables(const client::Status& status, const Terminal& terminal, bool all);

}  // namespace canopy::console
