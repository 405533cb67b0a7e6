#include "store/rows.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

namespace canopy::store {
namespace {

constexpr size_t checksum_bytes = 4;

std::string reserved(char letter) {
  std::string key(reserved_prefix);
  key.push_back(letter);
  return key;
}

uint32_t checksum(std::string_view key, std::string_view value) {
  const uint64_t h = hash64(value) ^ (hash64(key) * 0x9e3779b97f4a7c15);
  return static_cast<uint32_t>(h ^ h >> 32);
}

}  // namespace

std::string format_key() { return reserved('F'); }
std::string state_key() { return reserved('S'); }

std::string checkpoint_key(BucketId bucket) {
  std::string key = reserved('C');
  put_be16(key, bucket.value());
  return key;
}

std::string body_key(BodyRef ref, uint16_t part) {
  std::string key = reserved('b');
  put_be64(key, ref.id.packed());
  put_be32(key, ref.hash);
  put_be16(key, part);
  return key;
}

std::string seal(std::string_view key, std::string_view value) {
  std::string stored;
  stored.reserve(value.size() + checksum_bytes);
  stored.append(value);
  put_be32(stored, checksum(key, value));
  return stored;
}

std::optional<std::string_view> unseal(std::string_view key, std::string_view stored) {
  if (stored.size() < checksum_bytes) return std::nullopt;
  const std::string_view value = stored.substr(0, stored.size() - checksum_bytes);
  if (Cursor(stored.substr(value.size())).be32() != checksum(key, value)) return std::nullopt;
  return value;
}

std::string_view unseal_or_end(std::string_view key, std::string_view stored) {
  if (const auto value = unseal(key, stored)) return *value;
  end_damaged(key);
}

void end_damaged(std::string_view key) {
  std::string hex;
  for (const char c : key) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  assert_failed(("store: the row under key " + hex + " is damaged").c_str(), __FILE__, __LINE__);
}

}  // namespace canopy::store
