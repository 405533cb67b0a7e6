#include "leaf/lazy.h"

#include "base/assert.h"
#include "store/keys.h"

namespace canopy::leaf {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr uint8_t lazy_record_version = 1;
constexpr size_t few = 8;  // looked for one by one, instead of walking through all that an entity follows

}  // namespace

void LazyLeaves::open(const store::Reader& reader) {
  all_.clear();
  const std::string prefix = KeyBuilder(bucket_, Table::lazy);
  reader.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view value) {
    Cursor in(value);
    const uint8_t version = in.u8();
    LazyLeaf lazy;
    lazy.leaving = in.u8() != 0;
    lazy.asked.position = Position(in.be64());
    lazy.asked.index = in.be32();
    lazy.reflector = in.string();
    ASSERT(in.done() && version == lazy_record_version);
    all_.emplace(LeafNo(Cursor(key.substr(prefix.size())).be32()), std::move(lazy));
    return true;
  });
}

LazyLeaf* LazyLeaves::find(LeafNo leaf) {
  const auto at = all_.find(leaf);
  return at == all_.end() ? nullptr : &at->second;
}

bool LazyLeaves::lazy(LeafNo leaf) const {
  const auto at = all_.find(leaf);
  return at != all_.end() && !at->second.leaving;
}

void LazyLeaves::put(LeafNo leaf, std::string_view reflector, store::Writes& writes) {
  LazyLeaf& lazy = all_[leaf];
  lazy = LazyLeaf();
  lazy.reflector = reflector;
  save(leaf, lazy, writes);
}

void LazyLeaves::leave(LeafNo leaf, LetterNo asked, store::Writes& writes) {
  LazyLeaf& lazy = all_.at(leaf);
  lazy.leaving = true;
  lazy.asked = asked;
  lazy.pushed_from = 0;
  save(leaf, lazy, writes);
}

void LazyLeaves::erase(LeafNo leaf, store::Writes& writes) {
  if (all_.erase(leaf) > 0) writes.erase(KeyBuilder(bucket_, Table::lazy).add(leaf));
}

void LazyLeaves::followed_by(EntityNo follower, const store::Reader& reader,
                             const std::function<void(LeafNo, const LazyLeaf&)>& visit) const {
  if (all_.size() <= few) {
    for (const auto& [leaf, lazy] : all_)
      if (reader.get(KeyBuilder(bucket_, Table::edge).add(follower).add(leaf))) visit(leaf, lazy);
    return;
  }
  const std::string edges = KeyBuilder(bucket_, Table::edge).add(follower);
  reader.scan(edges, store::after_prefix(edges), [&](std::string_view key, std::string_view) {
    const auto at = all_.find(LeafNo(Cursor(key.substr(edges.size())).be32()));
    if (at != all_.end()) visit(at->first, at->second);
    return true;
  });
}

void LazyLeaves::visit(LeafNo after, const std::function<bool(LeafNo, const LazyLeaf&)>& visit) const {
  for (auto at = all_.upper_bound(after); at != all_.end(); ++at)
    if (!visit(at->first, at->second)) return;
}

void LazyLeaves::save(LeafNo leaf, const LazyLeaf& lazy, store::Writes& writes) const {
  std::string record;
  put_u8(record, lazy_record_version);
  put_u8(record, lazy.leaving ? 1 : 0);
  put_be64(record, lazy.asked.position.packed());
  put_be32(record, lazy.asked.index);
  put_string(record, lazy.reflector);
  writes.put(KeyBuilder(bucket_, Table::lazy).add(leaf), record);
}

}  // namespace canopy::leaf
