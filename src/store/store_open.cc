#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <string_view>

#include "base/assert.h"
#include "store/journaled_store.h"
#include "store/rows.h"

namespace canopy::store {
namespace {

constexpr size_t value_bytes_min = 64;
static_assert(value_bytes_min >= run_head_bytes, "a run's head must stand in its first value");

auto unreadable(std::string_view row) {
  return failure(Code::unavailable, fmt::format("store: the {} row is damaged", row));
}

// Behind every value of the journal.
constexpr std::string_view journal_end{"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9};

}  // namespace

Result<std::unique_ptr<Store>> Store::open(Backend& backend, StoreOptions options) {
  auto store = std::make_unique<JournaledStore>(backend, options);
  TRY(store->load());
  return store;
}

Result<void> JournaledStore::load() {
  TRY(load_format());
  uint64_t bodies = 0;
  TRY(load_positions(bodies));
  return replay(bodies);
}

Result<void> JournaledStore::load_format() {
  const std::string key = format_key();
  const auto stored = backend_.get(Space::tables, key);
  if (!stored) return create();
  // The version stands first and outside what a newer program may arrange in another way.
  Cursor in(*stored);
  const uint32_t version = in.be32();
  if (version > format_version)
    return failure(Code::unavailable, fmt::format("store: its format is {}, this program knows up to {}: "
                                                  "a newer program wrote it, use that one", version, format_version));
  const auto value = unseal(key, *stored);
  if (!value || version == 0) return unreadable("format");
  Cursor fields(value->substr(4));
  const uint64_t value_bytes = fields.varint();
  if (!fields.done() || value_bytes < value_bytes_min) return unreadable("format");
  options_.journal_value_bytes = static_cast<size_t>(value_bytes);
  return {};
}

Result<void> JournaledStore::create() {
  ASSERT(options_.journal_value_bytes >= value_bytes_min);
  bool empty = true;
  const Backend::Visit found = [&](std::string_view, std::string_view) { return empty = false; };
  backend_.scan(Space::tables, {}, reserved_end, found);
  backend_.scan(Space::journal, {}, journal_end, found);
  if (!empty) return failure(Code::unavailable, "store: it holds rows but no format row: damaged, or not a store");
  std::string value;
  put_be32(value, format_version);
  put_varint(value, options_.journal_value_bytes);
  auto done = backend_.begin();
  if (done) done = backend_.put(Space::tables, format_key(), seal(format_key(), value));
  if (done) return backend_.commit();
  backend_.abort();
  return done;
}

Result<void> JournaledStore::load_positions(uint64_t& bodies) {
  if (const auto stored = backend_.get(Space::tables, state_key())) {
    const auto value = unseal(state_key(), *stored);
    if (!value) return unreadable("state");
    Cursor in(*value);
    start_ = in.be64();
    bodies = in.varint();
    if (!in.done()) return unreadable("state");
  }
  bool sound = true;
  backend_.scan(Space::tables, checkpoint_key(BucketId(0)), checkpoint_key(BucketId(0xffff)),
                [&](std::string_view key, std::string_view stored) {
                  const auto value = unseal(key, stored);
                  if (!value) return sound = false;
                  Bucket& b = bucket_at(BucketId(Cursor(key.substr(3)).be16()));
                  b.position = b.settled = b.checkpointed = Position(Cursor(*value).be64());
                  return true;
                });
  if (!sound) return unreadable("checkpoint");
  return {};
}

Result<void> JournaledStore::replay(uint64_t bodies) {
  RunReader runs;
  std::map<BodyRef, Blob> offered;  // by skipped records too: a body travels once for all buckets
  const auto record = [&](BucketId bucket, Position upto, const Writes& writes) -> Result<void> {
    for (const Write& write : writes.all())
      if (write.body) offered.insert_or_assign(write.ref, write.body);
    Bucket& b = bucket_at(bucket);
    if (upto <= b.checkpointed) return {};
    if (upto <= b.position)
      return failure(Code::unavailable, fmt::format("journal: value {} begins a run that takes bucket {} back",
                                                    runs.first(), bucket.value()));
    b.position = b.settled = upto;
    need_journal(bucket, runs.first());
    for (const Write& write : writes.all()) {
      if (write.kind == Write::Kind::ref || write.kind == Write::Kind::unref) {
        bodies_.replay(bucket, write.ref, write.kind == Write::Kind::ref ? 1 : -1);
      } else {
        change_key(bucket, write);
      }
    }
    ++replayed_;
    return {};
  };

  low_ = next_ = start_;
  backend_.scan(Space::journal, {}, journal_key(start_), [&](std::string_view key, std::string_view) {
    low_ = Cursor(key).be64();
    return false;
  });
  Result<void> done;
  backend_.scan(Space::journal, journal_key(start_), journal_end,
                [&](std::string_view key, std::string_view value) {
                  const uint64_t sequence = key.size() == 8 ? Cursor(key).be64() : 0;
                  if (sequence != next_) {
                    done = failure(Code::unavailable, fmt::format("journal: value {} is missing", next_));
                  } else if (value.size() != options_.journal_value_bytes) {
                    done = failure(Code::unavailable, fmt::format("journal: value {} has the wrong size", next_));
                  } else {
                    done = runs.take(next_++, value, record);
                  }
                  return done.has_value();
                });
  TRY(std::move(done));
  if (!runs.between_runs())
    return failure(Code::unavailable, fmt::format("journal: value {} is missing: the last run is cut", next_));
  overlay_.settle();
  return bodies_.finish_replay(offered, bodies);
}

}  // namespace canopy::store
