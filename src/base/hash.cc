#include "base/hash.h"

#include <xxhash.h>

#include "base/assert.h"

namespace canopy {

uint64_t hash64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

BucketId bucket_of(std::string_view name, uint32_t bucket_count) {
  ASSERT(bucket_count != 0 && (bucket_count & (bucket_count - 1)) == 0);
  return BucketId(static_cast<uint16_t>(hash64(name) & (bucket_count - 1)));
}

}  // namespace canopy
