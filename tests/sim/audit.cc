#include "sim/audit.h"

#include <map>
#include <string>

#include "leaf/leaves.h"
#include "sim/trace.h"
#include "store/keys.h"

namespace canopy::sim {
namespace {

using store::KeyBuilder;
using store::Table;

BodyRef decode_ref(std::string_view value) {
  Cursor in(value);
  BodyRef ref;
  ref.id = MessageId(in.be64());
  ref.hash = in.be32();
  return ref;
}

template <class F>
void for_all(const store::Store& store, uint32_t bucket_count, Table table, F visit) {
  for (uint32_t i = 0; i < bucket_count; ++i) {
    const std::string prefix = KeyBuilder(BucketId(static_cast<uint16_t>(i)), table);
    store.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view value) {
      visit(i, key, value);
      return true;
    });
  }
}

}  // namespace

void audit_bodies(const store::Store& store, uint32_t bucket_count) {
  std::map<BodyRef, int64_t> pointers;
  const auto count = [&](uint32_t, std::string_view, std::string_view value) { ++pointers[decode_ref(value)]; };
  for_all(store, bucket_count, Table::sent, count);
  for_all(store, bucket_count, Table::stream, [&](uint32_t bucket, std::string_view key, std::string_view value) {
    if (value.size() == 12 || value.size() == 14) count(bucket, key, value);  // others are retractions and ends
  });
  for (const Table table : {Table::mentions, Table::replies, Table::topic, Table::direct, Table::backfill})
    for_all(store, bucket_count, table, count);
  for_all(store, bucket_count, Table::outbox, [&](uint32_t, std::string_view, std::string_view value) {
    wire::Letter letter;
    if (!wire::decode_letter(value.substr(12), letter)) throw Violation("a letter can be read", "");
    if (const auto body = wire::body_of(letter); body.message) ++pointers[body.ref];
  });
  for_all(store, bucket_count, Table::delivery, [&](uint32_t, std::string_view, std::string_view value) {
    ++pointers[leaf::decode_delivery(value).ref];
  });
  for (const auto& [ref, number] : pointers) {
    if (store.body_references(ref) != number)
      throw Violation("bodies are counted", "id " + std::to_string(ref.id.packed()) + " counts " +
                      std::to_string(store.body_references(ref)) + ", " + std::to_string(number) + " lists have it");
    if (!store.body(ref)) throw Violation("a body is there as long as a list has it", std::to_string(ref.id.packed()));
  }
  if (store.status().bodies != pointers.size())
    throw Violation("a body goes with its last list", std::to_string(store.status().bodies) + " bodies, " +
                    std::to_string(pointers.size()) + " in lists");
}

void audit_nobody_follows(const store::Store& store, uint32_t bucket_count) {
  for (const Table table : {Table::edge, Table::leaf_no, Table::leaf, Table::applied, Table::followers, Table::delivery,
                            Table::retired, Table::tree, Table::pending, Table::outbox})
    for_all(store, bucket_count, table, [&](uint32_t bucket, std::string_view, std::string_view) {
      throw Violation("nothing is left of a follow that ended",
                      "bucket " + std::to_string(bucket) + " table " + std::string(1, static_cast<char>(table)));
    });
}

}  // namespace canopy::sim
