// The hashes whose values are stored or travel: never to change.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/types.h"

namespace canopy {

uint64_t hash64(std::string_view bytes);  // XXH3_64bits, seed 0
// REQUIRES: bucket_count is a power of two.
BucketId bucket_of(std::string_view name, uint32_t bucket_count);

}  // namespace canopy
