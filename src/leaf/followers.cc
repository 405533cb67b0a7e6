#include "leaf/followers.h"

#include <algorithm>

#include "base/assert.h"
#include "store/keys.h"

namespace canopy::leaf {
namespace {

using store::KeyBuilder;
using store::Table;

std::vector<uint32_t> unpack(std::string_view value) {
  std::vector<uint32_t> members(value.size() / 4);
  for (size_t i = 0; i < members.size(); ++i) {
    uint32_t v = 0;
    for (size_t b = 4; b-- > 0;) v = v << 8 | static_cast<uint8_t>(value[i * 4 + b]);
    members[i] = v;
  }
  return members;
}

std::string pack(const uint32_t* first, const uint32_t* last) {
  std::string value;
  value.reserve(static_cast<size_t>(last - first) * 4);
  for (; first != last; ++first)
    for (int shift = 0; shift < 32; shift += 8) value.push_back(static_cast<char>(*first >> shift));
  return value;
}

}  // namespace

Followers::Chunk Followers::chunk_of(EntityNo follower) const {
  const std::string prefix = KeyBuilder(bucket_, Table::followers).add(leaf_);
  Chunk chunk{KeyBuilder(bucket_, Table::followers).add(leaf_).add(uint32_t{0}), {}};
  const std::string to = std::string(KeyBuilder(bucket_, Table::followers).add(leaf_).add(follower)) + '\0';
  reader_.scan_back(prefix, to, [&](std::string_view key, std::string_view value) {
    chunk.key = key;
    chunk.members = unpack(value);
    return false;
  });
  return chunk;
}

bool Followers::contains(EntityNo follower) const {
  const Chunk chunk = chunk_of(follower);
  return std::binary_search(chunk.members.begin(), chunk.members.end(), follower.value());
}

void Followers::insert(EntityNo follower, store::Writes& writes) const {
  const Chunk chunk = chunk_of(follower);
  const auto& m = chunk.members;
  if (m.size() < chunk_members) {
    writes.insert(chunk.key, follower.value());
    return;
  }
  // Full. Numbers mostly come ascending: then a new chunk begins and this one stays full.
  if (follower.value() > m.back()) {
    writes.insert(KeyBuilder(bucket_, Table::followers).add(leaf_).add(follower), follower.value());
    return;
  }
  const auto middle = m.begin() + static_cast<std::ptrdiff_t>(m.size() / 2);
  const std::string upper = KeyBuilder(bucket_, Table::followers).add(leaf_).add(*middle);
  writes.put(chunk.key, pack(m.data(), &*middle));
  writes.put(upper, pack(&*middle, m.data() + m.size()));
  writes.insert(follower.value() < *middle ? chunk.key : upper, follower.value());
}

void Followers::remove(EntityNo follower, store::Writes& writes) const {
  writes.remove(chunk_of(follower).key, follower.value());
}

bool Followers::only(EntityNo follower) const {
  bool other = false, found = false;
  visit(EntityNo(0), [&](EntityNo no) {
    (no == follower ? found : other) = true;
    return !other;
  });
  return found && !other;
}

uint64_t Followers::count() const {
  uint64_t n = 0;
  const std::string prefix = KeyBuilder(bucket_, Table::followers).add(leaf_);
  reader_.scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view value) {
    n += value.size() / 4;
    return true;
  });
  return n;
}

void Followers::visit(EntityNo after, const std::function<bool(EntityNo)>& visit) const {
  const std::string prefix = KeyBuilder(bucket_, Table::followers).add(leaf_);
  // The chunk whose range holds `after` comes first; then those behind it.
  const std::string from = chunk_of(after).key;
  reader_.scan(from, store::after_prefix(prefix), [&](std::string_view, std::string_view value) {
    for (const uint32_t m : unpack(value))
      if (m > after.value() && !visit(EntityNo(m))) return false;
    return true;
  });
}

}  // namespace canopy::leaf
