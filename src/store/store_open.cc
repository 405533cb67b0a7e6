#include <algorithm>
#include <fmt/format.h>
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
  TRY(load_positions());
  return replay();
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
  if (version < format_version)
    return failure(Code::unavailable, fmt::format("store: its format is {}, this program knows only {}: it was made by an "
                                                  "earlier version of Canopy, from before the first release", version,
                                                  format_version));
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

Result<void> JournaledStore::load_positions() {
  if (const auto stored = backend_.get(Space::tables, state_key())) {
    const auto value = unseal(state_key(), *stored);
    if (!value) return unreadable("state");
    Cursor in(*value);
    start_ = in.be64();
    bodies_from_ = in.be64();
    bodies_in_tables_ = in.varint();
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

// Does again what the journal's records did. Rows of a bucket are changed above its checkpointed position,
// bodies from the run on from which the tables do not have it: the two go their own ways.
class JournaledStore::Replay final : public RunReader::Visitor {
 public:
  explicit Replay(JournaledStore& store) : store_(store) {}
  RunReader runs;

  Result<void> on_record(BucketId bucket, Position upto, const Writes& writes, const std::vector<BodyChange>& bodies) override {
    for (const BodyChange& change : bodies) TRY(change_body(change));
    bool above = false;
    TRY(step_to(bucket, upto, above));
    if (!above) return {};
    for (const Write& write : writes.all()) change_row(bucket, write);
    return {};
  }

  Result<void> on_deliver(const DeliveryBatch& batch) override {
    TRY(change_body({batch.ref, static_cast<int64_t>(batch.to.size()), batch.body}));
    for (const DeliveryBatch::To& to : batch.to) {
      bool above = false;
      TRY(step_to(to.bucket, to.position, above));
      if (above) store_.deliveries_.append(to.bucket, to.position, {to.leaf, batch.no, batch.ref, to.before, batch.shared, false});
    }
    return {};
  }

  Result<void> on_run_end() override {
    store_.overlay_.settle();
    store_.deliveries_.settle();
    return store_.bodies_.settle_replay();
  }

 private:
  // `above`: the tables do not have it yet.
  Result<void> step_to(BucketId bucket, Position upto, bool& above) {
    Bucket& b = store_.bucket_at(bucket);
    above = upto > b.checkpointed;
    if (!above) return {};
    if (upto <= b.position)
      return failure(Code::unavailable, fmt::format("journal: value {} begins a run that takes bucket {} back",
                                                    runs.first(), bucket.value()));
    b.position = b.settled = upto;
    store_.need_journal(bucket, runs.first());
    ++store_.replayed_;
    return {};
  }

  Result<void> change_body(const BodyChange& change) {
    if (runs.first() < store_.bodies_from_) return {};
    store_.need_journal(bodies_id, runs.first());
    return store_.bodies_.replay(change.ref, change.change, change.body);
  }

  void change_row(BucketId bucket, const Write& write) {
    switch (write.kind) {
      case Write::Kind::ref:
      case Write::Kind::unref: break;
      case Write::Kind::deliver: store_.deliveries_.append(bucket, write.position, write.row); break;
      case Write::Kind::die: store_.deliveries_.die(bucket, write.position, write.ref); break;
      case Write::Kind::forget: store_.deliveries_.forget(bucket, write.position, write.ref); break;
      case Write::Kind::relink: store_.deliveries_.relink(bucket, write.position, write.row.before); break;
      case Write::Kind::put:
      case Write::Kind::erase:
      case Write::Kind::insert:
      case Write::Kind::remove: store_.change_key(bucket, write); break;
    }
  }

  JournaledStore& store_;
};

Result<void> JournaledStore::replay() {
  Replay replay(*this);
  bodies_.begin_replay(bodies_in_tables_);
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
                    done = replay.runs.take(next_++, value, replay);
                  }
                  return done.has_value();
                });
  TRY(std::move(done));
  if (!replay.runs.between_runs())
    return failure(Code::unavailable, fmt::format("journal: value {} is missing: the last run is cut", next_));
  return {};
}

}  // namespace canopy::store
