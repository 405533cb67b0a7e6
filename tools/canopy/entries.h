// How entries are shown to people.
#pragma once

#include <string>
#include <vector>

#include "canopy/message.h"
#include "table.h"

namespace canopy::console {

std::string entries_table(const std::vector<client::Entry>& entries, const Terminal& terminal);
// One line of a tail, with its end.
std::string entry_line(const client::Entry& entry, const Terminal& terminal);
// Every field, one to a line, and the body as it is (on a terminal: as it may be shown).
std::string entry_card(const client::Entry& entry, const Terminal& terminal);

// The timelines' names, and what a help says about them.
const std::vector<std::string>& timeline_names();
extern const char* const timelines_help;
// Returns false for a name that is no timeline.
bool parse_timeline(const std::string& name, client::Timeline& timeline);

// "3 unread", "10,000 or more unread".
std::string unread_text(uint64_t unread);

}  // namespace canopy::console
