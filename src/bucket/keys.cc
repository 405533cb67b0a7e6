#include "bucket/keys.h"

#include "base/assert.h"
#include "base/limits.h"
#include "store/keys.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr uint8_t key_record_version = 1;

bool too_old(uint64_t time_ms, uint64_t wall_ms) {
  return wall_ms > time_ms && wall_ms - time_ms > static_cast<uint64_t>(limits::key_age_max.ms());
}

}  // namespace

void Keys::open(const store::Reader& reader) {
  count_ = 0;
  oldest_.clear();
  oldest_time_ms_.reset();
  const std::string ages = KeyBuilder(bucket_, Table::key_age);
  reader.scan(ages, store::after_prefix(ages), [&](std::string_view, std::string_view) { return ++count_ > 0; });
}

// At most two, and looks at the one behind them.
void Keys::forget_oldest(const std::function<bool(uint64_t)>& may_stay, const store::Reader& reader, store::Writes& writes) {
  const std::string ages = KeyBuilder(bucket_, Table::key_age);
  oldest_time_ms_.reset();
  int looked_at = 0;
  reader.scan(oldest_.empty() ? ages : oldest_, store::after_prefix(ages), [&](std::string_view age, std::string_view value) {
    Cursor in(value);
    const uint64_t time_ms = in.be64();
    if (may_stay(time_ms)) {
      oldest_time_ms_ = time_ms;
      return false;
    }
    // The key may have been published again since: then only its old age goes.
    const std::string old_key = std::string(KeyBuilder(bucket_, Table::key)) + std::string(in.rest());
    const auto old = reader.get(old_key);
    if (old && Cursor(std::string_view(*old).substr(17)).be64() == time_ms) writes.erase(old_key);
    writes.erase(std::string(age));
    oldest_ = store::after_prefix(std::string(age));
    --count_;
    return ++looked_at < 2;
  });
}

std::optional<KeyRecord> Keys::find(EntityNo author, std::string_view key, uint64_t wall_ms,
                                    const store::Reader& reader) const {
  const auto value = reader.get(KeyBuilder(bucket_, Table::key).add(author).add(key));
  if (!value) return std::nullopt;
  Cursor in(*value);
  ASSERT(in.u8() == key_record_version);
  KeyRecord record;
  record.content = in.be64();
  record.id = MessageId(in.be64());
  record.time_ms = in.be64();
  ASSERT(in.done());
  if (too_old(record.time_ms, wall_ms)) return std::nullopt;
  return record;
}

void Keys::save(EntityNo author, std::string_view key, const KeyRecord& record, Position position, uint64_t wall_ms,
                const store::Reader& reader, store::Writes& writes) {
  const auto may_stay = [&](uint64_t time_ms) { return count_ < limits::keys_per_bucket_max && !too_old(time_ms, wall_ms); };
  if (!oldest_time_ms_ || !may_stay(*oldest_time_ms_)) forget_oldest(may_stay, reader, writes);

  std::string value, age;
  put_u8(value, key_record_version);
  put_be64(value, record.content);
  put_be64(value, record.id.packed());
  put_be64(value, record.time_ms);
  writes.put(KeyBuilder(bucket_, Table::key).add(author).add(key), value);
  put_be64(age, record.time_ms);
  put_be32(age, author.value());
  age.append(key);
  writes.put(KeyBuilder(bucket_, Table::key_age).add(position), age);
  ++count_;
}

}  // namespace canopy::bucket
