// An entity as JSON lines, as `canopy export` writes it and `canopy import` reads it. Pure.
//
//   {"canopy_export":1,"entity":"alice"}
//   {"follows":"bob"}                            each author
//   {"follower":"carol"}                         each follower
//   {"timeline":"sent","entry":{…}}              each list, oldest first; an entry as in the protocol
//   {"canopy_export_end":{"lines":1234}}         all lines but this one: without it the file was cut short
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "canopy/message.h"
#include "graph.h"

namespace canopy::console {

struct ExportHeader {
  std::string entity;
};
struct ExportedFollow {
  std::string author;
};
struct ExportedFollower {
  std::string name;
};
struct ExportedEntry {
  std::string timeline;
  client::Entry entry;
};
struct ExportEnd {
  uint64_t lines = 0;
};
using ExportLine = std::variant<Blank, BadLine, ExportHeader, ExportedFollow, ExportedFollower, ExportedEntry, ExportEnd>;

// Each without its line end. REQUIRES: what write_export_line() is given is neither blank nor bad.
std::string write_export_line(const ExportLine& line);
// What it does not know in a line is passed over; a header of another version is a BadLine.
ExportLine parse_export_line(std::string_view line);

// Ids of messages that were published again: the old one → the new one.
using Republished = std::unordered_map<client::MessageId, client::MessageId>;
// Returns the message to publish for what was sent once. Its key is made of the old id alone, so that
// a second import gets the answers of the first; it replies only to what was published again, too.
client::Message republish(const client::Entry& entry, const std::string& as, const Republished& known);

}  // namespace canopy::console
