#include "bucket/dead.h"

#include <algorithm>

#include "base/limits.h"
#include "base/planted.h"
#include "store/keys.h"

namespace canopy::bucket {

using store::KeyBuilder;
using store::Table;

void Dead::open(const store::Reader& reader) {
  count_ = 0;
  newest_ = MessageId();
  oldest_.clear();
  const std::string ages = KeyBuilder(bucket_, Table::dead_age);
  reader.scan(ages, store::after_prefix(ages), [&](std::string_view key, std::string_view) {
    newest_ = std::max(newest_, MessageId(Cursor(key.substr(key.size() - 8)).be64()));
    return ++count_ > 0;
  });
}

bool Dead::has(MessageId id, const store::Reader& reader) const {
  if (count_ == 0 || id > newest_) return false;
  return reader.get(KeyBuilder(bucket_, Table::dead).add(id)).has_value();
}

void Dead::add(MessageId id, Position position, const store::Reader& reader, store::Writes& writes) {
  if (planted("retraction not remembered")) return;
  const std::string ages = KeyBuilder(bucket_, Table::dead_age);
  int forgotten = 0;
  reader.scan(oldest_.empty() ? ages : oldest_, store::after_prefix(ages), [&](std::string_view key, std::string_view) {
    if (count_ < limits::dead_ids_max || forgotten == 2) return false;
    const MessageId old(Cursor(key.substr(key.size() - 8)).be64());
    writes.erase(std::string(key));
    writes.erase(KeyBuilder(bucket_, Table::dead).add(old));
    oldest_ = store::after_prefix(std::string(key));
    --count_;
    ++forgotten;
    return true;
  });
  std::string at;
  put_be64(at, position.packed());
  writes.put(KeyBuilder(bucket_, Table::dead).add(id), at);
  writes.put(KeyBuilder(bucket_, Table::dead_age).add(position).add(id), "");
  newest_ = std::max(newest_, id);
  ++count_;
}

}  // namespace canopy::bucket
