// The store's own rows in the tables, and the checksum that every row of the tables ends with.
// The bytes are on disk: never to change (README.md has the grammar).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace canopy::store {

constexpr uint32_t format_version = 3;

// Reserved rows stand behind every bucket: bucket ids are below 4096, so no bucket's key begins so.
inline constexpr std::string_view reserved_prefix{"\xff\xff", 2};
inline constexpr std::string_view reserved_end{"\xff\xff\xff", 3};

std::string format_key();                          // → version, options
std::string state_key();                           // → where the journal begins, bodies counted
std::string checkpoint_key(BucketId bucket);       // → checkpointed position
std::string body_key(BodyRef ref, uint16_t part);  // part 0: count, size, the first bytes; 1…: the others

// Returns the value as it is stored: with 4 bytes of checksum over key and value behind it. LMDB
// has no checksums of its own, and a row under another row's key must be seen too.
std::string seal(std::string_view key, std::string_view value);
// Returns the value, valid as long as `stored`; nothing when the row is damaged.
std::optional<std::string_view> unseal(std::string_view key, std::string_view stored);
// The same where nobody can be told: a damaged row ends the process and names its key.
std::string_view unseal_or_end(std::string_view key, std::string_view stored);
[[noreturn]] void end_damaged(std::string_view key);

}  // namespace canopy::store
