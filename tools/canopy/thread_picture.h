// A conversation as a picture of box characters. Pure.
#pragma once

#include <string>
#include <vector>

#include "canopy/message.h"
#include "table.h"

namespace canopy::console {

// A message and what replies to it, oldest first.
struct ThreadNode {
  client::Entry entry;
  std::vector<ThreadNode> replies = {};
  client::Position next = 0;  // where the page of replies ended; 0: these are all
};

// The message that was asked for, `about`, is at the top, or below what it replies to: then `parent` is not null.
std::string thread_picture(const ThreadNode& about, const client::Entry* parent, const Terminal& terminal);

}  // namespace canopy::console
