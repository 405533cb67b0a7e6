// Answers for programs. Each function returns one JSON text without line ends.
//
// The names are the protocol's. Message ids are strings (64 bits), positions are numbers (53 bits);
// a body that is not UTF-8 comes as `body_base64`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "canopy/message.h"

namespace canopy::console {

std::string json_of(const client::Error& error);  // {"error": {…}}
std::string json_of(const client::NodeInfo& info);
std::string json_of(const client::Published& published);
std::string json_of(const client::Entry& entry);
std::string json_of(const client::Page& page);
std::string json_of(const client::Thread& thread);
std::string json_of(const client::Retention& retention);    // null for no bound; age in seconds
std::string json_of(const client::Forwarding& forwarding);
std::string json_of(const client::Names& names);
std::string json_of(const client::Place& place);
std::string json_of(const client::Map& map);
std::string json_of(const std::vector<client::Node>& nodes);
std::string json_of(const client::Tree& tree);
std::string json_of(const client::Status& status);

// An object of text, numbers and truth values in the order given.
using JsonValue = std::variant<std::string, uint64_t, double, bool, std::vector<std::string>>;
std::string json_object(const std::vector<std::pair<std::string, JsonValue>>& fields);

}  // namespace canopy::console
