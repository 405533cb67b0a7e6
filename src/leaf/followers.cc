#include "leaf/followers.h"

#include <algorithm>

#include "store/keys.h"
#include "store/packed_set.h"

namespace canopy::leaf {
namespace {

using store::KeyBuilder;
using store::Table;

}  // namespace

Followers::Chunk Followers::chunk_of(EntityNo follower) const {
  const std::string prefix = KeyBuilder(bucket_, Table::followers).add(leaf_);
  Chunk chunk{KeyBuilder(bucket_, Table::followers).add(leaf_).add(uint32_t{0}), {}};
  const std::string to = std::string(KeyBuilder(bucket_, Table::followers).add(leaf_).add(follower)) + '\0';
  reader_.scan_back(prefix, to, [&](std::string_view key, std::string_view value) {
    chunk.key = key;
    chunk.members = value;
    return false;
  });
  return chunk;
}

bool Followers::contains(EntityNo follower) const {
  return store::set_contains(chunk_of(follower).members, follower.value());
}

void Followers::insert(EntityNo follower, store::Writes& writes) const {
  const Chunk chunk = chunk_of(follower);
  const size_t size = store::set_size(chunk.members);
  if (size < chunk_members) {
    writes.insert(chunk.key, follower.value());
    return;
  }
  // Full. Numbers mostly come ascending: then a new chunk begins and this one stays full.
  if (follower.value() > store::set_at(chunk.members, size - 1)) {
    writes.insert(KeyBuilder(bucket_, Table::followers).add(leaf_).add(follower), follower.value());
    return;
  }
  const uint32_t middle = store::set_at(chunk.members, size / 2);
  const std::string upper = KeyBuilder(bucket_, Table::followers).add(leaf_).add(middle);
  writes.put(chunk.key, chunk.members.substr(0, size / 2 * 4));
  writes.put(upper, chunk.members.substr(size / 2 * 4));
  writes.insert(follower.value() < middle ? chunk.key : upper, follower.value());
}

void Followers::remove(EntityNo follower, store::Writes& writes) const {
  writes.remove(chunk_of(follower).key, follower.value());
}

// Rewrites the chunks: the set is merged once, and cut again. Rare, and the leaf is seldom large.
void Followers::insert_all(const std::vector<EntityNo>& followers, store::Writes& writes) const {
  if (followers.empty()) return;
  if (followers.size() == 1) return insert(followers[0], writes);
  std::vector<EntityNo> all = followers;
  visit(EntityNo(), [&](EntityNo follower) {
    all.push_back(follower);
    return true;
  });
  std::sort(all.begin(), all.end());
  clear(writes);
  for (size_t i = 0; i < all.size(); i += chunk_members) {
    std::string members;
    for (size_t k = i; k < std::min(all.size(), i + chunk_members); ++k) store::set_insert(members, all[k].value());
    const uint32_t first = i == 0 ? 0 : all[i].value();
    writes.put(KeyBuilder(bucket_, Table::followers).add(leaf_).add(first), members);
  }
}

void Followers::clear(store::Writes& writes) const {
  const std::string prefix = KeyBuilder(bucket_, Table::followers).add(leaf_);
  reader_.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view) {
    writes.erase(std::string(key));
    return true;
  });
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
    n += store::set_size(value);
    return true;
  });
  return n;
}

void Followers::visit_chunks(const std::function<bool(const uint32_t*, size_t)>& visit) const {
  const std::string prefix = KeyBuilder(bucket_, Table::followers).add(leaf_);
  std::vector<uint32_t> numbers;
  reader_.scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view value) {
    numbers.resize(store::set_size(value));
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = store::set_at(value, i);
    return visit(numbers.data(), numbers.size());
  });
}

void Followers::visit(EntityNo after, const std::function<bool(EntityNo)>& visit) const {
  const std::string prefix = KeyBuilder(bucket_, Table::followers).add(leaf_);
  // The chunk whose range holds `after` comes first; then those behind it.
  const std::string from = chunk_of(after).key;
  reader_.scan(from, store::after_prefix(prefix), [&](std::string_view, std::string_view value) {
    for (size_t i = store::set_lower_bound(value, after.value() + 1); i < store::set_size(value); ++i)
      if (!visit(EntityNo(store::set_at(value, i)))) return false;
    return true;
  });
}

}  // namespace canopy::leaf
