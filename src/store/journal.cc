#include "store/journal.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "store/refs.h"

namespace canopy::store {
namespace {

constexpr size_t checksum_bytes = 8;
constexpr size_t bucket_bytes = 2;  // of a key: the record says the bucket once

// In a record's place for the bucket: one message for many leaves. Never a bucket's number.
constexpr uint64_t batch_mark = 0xffff;
constexpr uint8_t shared_flag = 1, body_flag = 2;

uint64_t zigzag(int64_t v) { return static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63); }
int64_t unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1 ^ (~(v & 1) + 1)); }

// A link is written as how far back it leads; none as zero.
uint64_t link_back(Position position, Position before) {
  ASSERT(before < position);
  return before.zero() ? 0 : position.packed() - before.packed();
}
Position take_link(Cursor& in, Position position) {
  const uint64_t back = in.varint();
  return back == 0 ? Position() : Position(position.packed() - back);
}

uint8_t flags_of(bool shared, bool with_body) {
  return static_cast<uint8_t>((shared ? shared_flag : 0) | (with_body ? body_flag : 0));
}

// Returns false for a kind that this version does not know.
bool take_write(Cursor& in, const std::string& bucket_prefix, Position upto, RunRefs& refs, Writes& writes,
                std::vector<BodyChange>& bodies) {
  const auto key = [&] { return bucket_prefix + std::string(in.string()); };
  const auto body = [&](bool there) { return there ? make_blob(std::string(in.string())) : nullptr; };
  const auto position = [&] { return Position(upto.packed() - in.varint()); };
  switch (const auto kind = static_cast<Write::Kind>(in.u8())) {
    case Write::Kind::put: {
      std::string k = key();
      writes.put(std::move(k), std::string(in.string()));
      return true;
    }
    case Write::Kind::erase: writes.erase(key()); return true;
    case Write::Kind::insert: {
      std::string k = key();
      writes.insert(std::move(k), static_cast<uint32_t>(in.varint()));
      return true;
    }
    case Write::Kind::remove: {
      std::string k = key();
      writes.remove(std::move(k), static_cast<uint32_t>(in.varint()));
      return true;
    }
    case Write::Kind::ref: {
      const BodyRef ref = refs.take(in);
      writes.ref(ref, body(in.u8() != 0));
      bodies.push_back({ref, 1, writes.all().back().body});
      return true;
    }
    case Write::Kind::unref:
      writes.unref(refs.take(in));
      bodies.push_back({writes.all().back().ref, -1, nullptr});
      return true;
    case Write::Kind::deliver: {
      const Position at = position();
      DeliveryRow row;
      row.leaf = LeafNo(static_cast<uint32_t>(in.varint()));
      row.no = StreamNo(in.varint());
      row.before = take_link(in, at);
      const uint8_t flags = in.u8();
      row.shared = flags & shared_flag;
      row.ref = refs.take(in);
      writes.deliver(at, row, body(flags & body_flag));
      bodies.push_back({row.ref, 1, writes.all().back().body});
      return true;
    }
    case Write::Kind::die:
    case Write::Kind::forget: {
      const Position at = position();
      const BodyRef ref = in.u8() != 0 ? refs.take(in) : BodyRef();
      if (ref != BodyRef()) bodies.push_back({ref, -1, nullptr});
      kind == Write::Kind::die ? writes.die(at, ref) : writes.forget(at, ref);
      return true;
    }
    case Write::Kind::relink: {
      const Position at = position();
      writes.relink(at, take_link(in, at));
      return true;
    }
  }
  return false;
}

auto damaged(uint64_t sequence, std::string_view what) {
  return failure(Code::unavailable, fmt::format("journal: value {} {}", sequence, what));
}

}  // namespace

std::string journal_key(uint64_t sequence) {
  std::string key;
  put_be64(key, sequence);
  return key;
}

// ── positions ──

RunPositions::Last& RunPositions::last_of(BucketId bucket) {
  if (bucket.value() >= last_.size()) last_.resize(bucket.value() + size_t{1});
  Last& last = last_[bucket.value()];
  if (last.run != run_) last = {0, run_};
  return last;
}

uint64_t RunPositions::encode(BucketId bucket, Position position) {
  Last& last = last_of(bucket);
  const uint64_t coded = position.packed() - last.position;
  last.position = position.packed();
  return coded;
}

Position RunPositions::decode(BucketId bucket, uint64_t coded) {
  Last& last = last_of(bucket);
  last.position += coded;
  return Position(last.position);
}

// ── bodies ──

namespace {
constexpr uint8_t ref_whole = 0, ref_again = 1;
}

void RunRefs::put(std::string& out, BodyRef ref) {
  // Which slot a body takes is nobody's business but the writer's: the run says it.
  const uint64_t hash = (ref.id.packed() ^ ref.hash) * 0x9e3779b97f4a7c15;
  const auto at = static_cast<uint8_t>(hash >> 56);
  Slot& slot = slots_[at];
  const bool again = slot.run == run_ && slot.ref == ref;
  put_u8(out, again ? ref_again : ref_whole);
  put_u8(out, at);
  if (!again) put_ref(out, ref);
  slot = {ref, run_};
}

BodyRef RunRefs::take(Cursor& in) {
  const bool again = in.u8() == ref_again;
  Slot& slot = slots_[in.u8()];
  if (!again) {
    slot = {take_ref(in), run_};
  } else if (slot.run != run_) {
    in.fail();
  }
  return slot.ref;
}

// ── writing ──

void RunWriter::clear() {
  run_.assign(run_head_bytes, '\0');
  positions_.clear();
  refs_.clear();
}

void RunWriter::begin_record(BucketId bucket, Position upto, size_t writes) {
  ASSERT(bucket.value() != batch_mark);
  upto_ = upto;
  put_varint(run_, bucket.value());
  put_varint(run_, positions_.encode(bucket, upto));
  put_varint(run_, writes);
}

void RunWriter::add(const Write& write, bool with_body_or_took) {
  const auto put_position = [&] {
    ASSERT(write.position <= upto_);
    put_varint(run_, upto_.packed() - write.position.packed());
  };
  put_u8(run_, static_cast<uint8_t>(write.kind));
  switch (write.kind) {
    case Write::Kind::put:
      put_string(run_, std::string_view(write.key).substr(bucket_bytes));
      put_string(run_, write.value);
      break;
    case Write::Kind::erase:
      put_string(run_, std::string_view(write.key).substr(bucket_bytes));
      break;
    case Write::Kind::insert:
    case Write::Kind::remove:
      put_string(run_, std::string_view(write.key).substr(bucket_bytes));
      put_varint(run_, write.member);
      break;
    case Write::Kind::ref:
      refs_.put(run_, write.ref);
      put_u8(run_, with_body_or_took ? 1 : 0);
      if (with_body_or_took) put_string(run_, *write.body);
      break;
    case Write::Kind::unref:
      refs_.put(run_, write.ref);
      break;
    case Write::Kind::deliver:
      put_position();
      put_varint(run_, write.row.leaf.value());
      put_varint(run_, write.row.no.packed());
      put_varint(run_, link_back(write.position, write.row.before));
      put_u8(run_, flags_of(write.row.shared, with_body_or_took));
      refs_.put(run_, write.ref);
      if (with_body_or_took) put_string(run_, *write.body);
      break;
    case Write::Kind::die:
    case Write::Kind::forget:
      put_position();
      put_u8(run_, with_body_or_took ? 1 : 0);
      if (with_body_or_took) refs_.put(run_, write.ref);
      break;
    case Write::Kind::relink:
      put_position();
      put_varint(run_, link_back(write.position, write.row.before));
      break;
  }
}

void RunWriter::add(const DeliveryBatch& batch, bool with_body) {
  put_varint(run_, batch_mark);
  put_varint(run_, batch.no.packed());
  refs_.put(run_, batch.ref);
  put_u8(run_, flags_of(batch.shared, with_body));
  if (with_body) put_string(run_, *batch.body);
  put_varint(run_, batch.to.size());
  int64_t last_bucket = 0;
  constexpr size_t to_bytes_max = 3 + 5 + 10 + 10;  // bucket-step, leaf, position, link
  if (tos_.size() < batch.to.size() * to_bytes_max) tos_.resize(batch.to.size() * to_bytes_max);
  char* out = tos_.data();
  for (const DeliveryBatch::To& to : batch.to) {
    out = write_varint(out, zigzag(to.bucket.value() - last_bucket));
    last_bucket = to.bucket.value();
    out = write_varint(out, to.leaf.value());
    out = write_varint(out, positions_.encode(to.bucket, to.position));
    out = write_varint(out, link_back(to.position, to.before));
  }
  run_.append(tos_.data(), static_cast<size_t>(out - tos_.data()));
}

std::string_view RunWriter::finish(uint64_t sequence) {
  const size_t length = run_.size() - run_head_bytes;
  ASSERT(length <= UINT32_MAX);
  std::string head;
  put_u8(head, journal_version);
  put_be32(head, static_cast<uint32_t>(length));
  put_be64(head, sequence);
  run_.replace(checksum_bytes, head.size(), head);
  std::string sum;
  put_be64(sum, hash64(std::string_view(run_).substr(checksum_bytes)));
  run_.replace(0, checksum_bytes, sum);
  return run_;
}

Result<void> RunReader::take(uint64_t sequence, std::string_view value, Visitor& visitor) {
  if (run_.empty()) {
    Cursor head(value);
    head.be64();
    const uint8_t version = head.u8();
    const size_t length = head.be32();
    const uint64_t first = head.be64();
    if (!head.ok()) return damaged(sequence, "is too short");
    if (version > journal_version)
      return damaged(sequence, fmt::format("is of format {}, this program knows up to {}: a newer program wrote it",
                                           version, journal_version));
    if (version < journal_version || first != sequence) return damaged(sequence, "does not begin a run: it is damaged");
    first_ = sequence;
    wanted_ = run_head_bytes + length;
  }
  run_.append(value.substr(0, std::min(value.size(), wanted_ - run_.size())));
  if (run_.size() < wanted_) return {};
  auto done = finish(visitor);
  run_.clear();
  return done;
}

Result<void> RunReader::finish(Visitor& visitor) {
  Cursor in(run_);
  if (in.be64() != hash64(std::string_view(run_).substr(checksum_bytes)))
    return damaged(first_, "begins a run whose checksum does not match");
  in = Cursor(std::string_view(run_).substr(run_head_bytes));
  positions_.clear();
  refs_.clear();
  while (in.ok() && in.left() > 0) {
    const uint64_t mark = in.varint();
    if (mark > batch_mark) return damaged(first_, "begins a run with a record of no bucket");
    TRY(mark == batch_mark ? take_batch(in, visitor) : take_record(in, BucketId(static_cast<uint16_t>(mark)), visitor));
  }
  return visitor.on_run_end();
}

Result<void> RunReader::take_record(Cursor& in, BucketId bucket, Visitor& visitor) {
  const Position upto = positions_.decode(bucket, in.varint());
  std::string prefix;
  put_be16(prefix, bucket.value());
  Writes writes;
  std::vector<BodyChange> bodies;
  for (uint64_t left = in.varint(); in.ok() && left > 0; --left)
    if (!take_write(in, prefix, upto, refs_, writes, bodies)) return damaged(first_, "begins a run with a write of an unknown kind");
  if (!in.ok()) return damaged(first_, "begins a run with a cut record");
  return visitor.on_record(bucket, upto, writes, bodies);
}

Result<void> RunReader::take_batch(Cursor& in, Visitor& visitor) {
  DeliveryBatch batch;
  batch.no = StreamNo(in.varint());
  batch.ref = refs_.take(in);
  const uint8_t flags = in.u8();
  batch.shared = flags & shared_flag;
  if (flags & body_flag) batch.body = make_blob(std::string(in.string()));
  int64_t last_bucket = 0;
  for (uint64_t left = in.varint(); in.ok() && left > 0; --left) {
    DeliveryBatch::To& to = batch.to.emplace_back();
    last_bucket += unzigzag(in.varint());
    to.bucket = BucketId(static_cast<uint16_t>(last_bucket));
    to.leaf = LeafNo(static_cast<uint32_t>(in.varint()));
    to.position = positions_.decode(to.bucket, in.varint());
    to.before = take_link(in, to.position);
  }
  if (!in.ok()) return damaged(first_, "begins a run with a cut record");
  return visitor.on_deliver(batch);
}

}  // namespace canopy::store
