#include "bucket/entities.h"

#include "base/assert.h"
#include "store/keys.h"

namespace canopy::bucket {
namespace {
using store::KeyBuilder;
using store::Table;
constexpr uint8_t bucket_record_version = 1;
constexpr uint8_t entity_record_version = 1;
}  // namespace

std::string encode_bucket_record(const BucketRecord& record) {
  std::string value;
  put_u8(value, bucket_record_version);
  put_be32(value, record.last_entity.value());
  put_be32(value, record.last_leaf.value());
  put_be64(value, record.last_message.packed());
  put_be64(value, record.horizon.packed());
  put_be64(value, record.deliveries);
  return value;
}

BucketRecord decode_bucket_record(std::string_view value) {
  Cursor in(value);
  ASSERT(in.u8() == bucket_record_version);
  BucketRecord record;
  record.last_entity = EntityNo(in.be32());
  record.last_leaf = LeafNo(in.be32());
  record.last_message = MessageId(in.be64());
  record.horizon = Position(in.be64());
  record.deliveries = in.be64();
  ASSERT(in.done());
  return record;
}

std::optional<EntityNo> Entities::find(std::string_view name, const store::Reader& reader) const {
  const auto number = reader.get(KeyBuilder(bucket_, Table::entity_no).add(name));
  if (!number) return std::nullopt;
  return EntityNo(Cursor(*number).be32());
}

EntityNo Entities::obtain(std::string_view name, BucketRecord& record, const store::Reader& reader,
                          store::Writes& writes) const {
  if (const auto found = find(name, reader)) return *found;
  ASSERT(record.last_entity.value() < UINT32_MAX);
  const EntityNo entity(record.last_entity.value() + 1);
  record.last_entity = entity;
  std::string number, value;
  put_be32(number, entity.value());
  put_u8(value, entity_record_version);
  put_string(value, name);
  writes.put(KeyBuilder(bucket_, Table::entity_no).add(name), number);
  writes.put(KeyBuilder(bucket_, Table::entity).add(entity), value);
  return entity;
}

std::string Entities::name_of(EntityNo entity, const store::Reader& reader) const {
  const auto value = reader.get(KeyBuilder(bucket_, Table::entity).add(entity));
  ASSERT(value);
  Cursor in(*value);
  ASSERT(in.u8() == entity_record_version);
  return std::string(in.string());
}

}  // namespace canopy::bucket
