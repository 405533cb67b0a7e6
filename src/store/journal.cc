#include "store/journal.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

namespace canopy::store {
namespace {

constexpr size_t checksum_bytes = 8;
constexpr size_t bucket_bytes = 2;  // of a key: the record says the bucket once

void put_ref(std::string& out, BodyRef ref) {
  put_be64(out, ref.id.packed());
  put_be32(out, ref.hash);
}

BodyRef take_ref(Cursor& in) {
  const MessageId id(in.be64());
  return {id, in.be32()};
}

// Returns false for a kind that this version does not know.
bool take_write(Cursor& in, const std::string& bucket_prefix, Writes& writes) {
  const auto key = [&] { return bucket_prefix + std::string(in.string()); };
  switch (static_cast<Write::Kind>(in.u8())) {
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
      const BodyRef ref = take_ref(in);
      const bool with_body = in.u8() != 0;
      writes.ref(ref, with_body ? make_blob(std::string(in.string())) : nullptr);
      return true;
    }
    case Write::Kind::unref: writes.unref(take_ref(in)); return true;
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

void RunWriter::begin_record(BucketId bucket, Position upto, size_t writes) {
  put_varint(run_, bucket.value());
  put_varint(run_, upto.packed());
  put_varint(run_, writes);
}

void RunWriter::add(const Write& write, bool with_body) {
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
      put_ref(run_, write.ref);
      put_u8(run_, with_body ? 1 : 0);
      if (with_body) put_string(run_, *write.body);
      break;
    case Write::Kind::unref:
      put_ref(run_, write.ref);
      break;
  }
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

Result<void> RunReader::take(uint64_t sequence, std::string_view value, const Record& record) {
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
    if (version == 0 || first != sequence) return damaged(sequence, "does not begin a run: it is damaged");
    first_ = sequence;
    wanted_ = run_head_bytes + length;
  }
  run_.append(value.substr(0, std::min(value.size(), wanted_ - run_.size())));
  if (run_.size() < wanted_) return {};
  auto done = finish(record);
  run_.clear();
  return done;
}

Result<void> RunReader::finish(const Record& record) {
  Cursor in(run_);
  if (in.be64() != hash64(std::string_view(run_).substr(checksum_bytes)))
    return damaged(first_, "begins a run whose checksum does not match");
  in = Cursor(std::string_view(run_).substr(run_head_bytes));
  while (in.ok() && in.left() > 0) {
    const BucketId bucket(static_cast<uint16_t>(in.varint()));
    const Position upto(in.varint());
    std::string prefix;
    put_be16(prefix, bucket.value());
    Writes writes;
    for (uint64_t left = in.varint(); in.ok() && left > 0; --left) {
      if (!take_write(in, prefix, writes)) return damaged(first_, "begins a run with a write of an unknown kind");
    }
    if (!in.ok()) break;
    TRY(record(bucket, upto, writes));
  }
  if (!in.ok()) return damaged(first_, "begins a run with a cut record");
  return {};
}

}  // namespace canopy::store
