// Where a store of the tests lives: on either backend, with a way to die and come back.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>

#include "store/keys.h"
#include "store/lmdb_backend.h"
#include "store/mem_backend.h"
#include "store/store.h"

namespace canopy::store {

// A directory below the temporary one, removed at the end.
class TestDir {
 public:
  TestDir() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() / fmt::format("canopy-store-test-{}-{}", ::getpid(), count++);
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TestDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;
  std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

struct MemHost {
  MemBackend mem;
  Backend& backend() { return mem; }
  void crash() { mem.crash(); }
};

struct LmdbHost {
  TestDir dir;
  std::unique_ptr<LmdbBackend> lmdb;
  LmdbHost() { open(); }
  Backend& backend() { return *lmdb; }
  void crash() {
    lmdb.reset();
    open();
  }
  void open() {
    auto opened = LmdbBackend::open({dir.file("store"), 64u << 20});
    REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().message));
    lmdb = std::move(*opened);
  }
};

// Passes everything on, but lets commits fail as a full disk does.
class FullDisk final : public Backend {
 public:
  explicit FullDisk(Backend& inner) : inner_(inner) {}
  void fail_commits(int count) { failures_ = count; }
  std::optional<std::string> get(Space space, std::string_view key) const override { return inner_.get(space, key); }
  void scan(Space space, std::string_view from, std::string_view to, const Visit& visit) const override {
    inner_.scan(space, from, to, visit);
  }
  void scan_back(Space space, std::string_view from, std::string_view to, const Visit& visit) const override {
    inner_.scan_back(space, from, to, visit);
  }
  Result<void> begin() override { return inner_.begin(); }
  Result<void> put(Space space, std::string_view key, std::string_view value) override {
    return inner_.put(space, key, value);
  }
  Result<void> erase(Space space, std::string_view key) override { return inner_.erase(space, key); }
  Result<void> commit() override {
    if (failures_ == 0) return inner_.commit();
    --failures_;
    inner_.abort();
    return failure(Code::busy, "full");
  }
  void abort() override { inner_.abort(); }
  uint64_t bytes_free() const override { return inner_.bytes_free(); }
  uint64_t bytes_total() const override { return inner_.bytes_total(); }

 private:
  Backend& inner_;
  int failures_ = 0;
};

// A store on a host. Small values and slices, so that a few writes reach every path.
template <class Host>
struct Shard {
  Host host;
  StoreOptions options{.journal_value_bytes = 128, .slice_bytes = 1, .trim_values_max = 3, .chunk_bytes = 256};
  std::unique_ptr<FullDisk> disk;
  std::unique_ptr<Store> store;
  std::map<BucketId, uint64_t> positions;

  Shard() { open(); }
  void open() {
    disk = std::make_unique<FullDisk>(host.backend());
    auto opened = Store::open(*disk, options);
    REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().message));
    store = std::move(*opened);
  }
  // What was not committed is lost.
  void crash() {
    store.reset();
    disk.reset();
    host.crash();
    open();
  }
  void apply(int bucket, const Writes& writes) {
    const BucketId b(static_cast<uint16_t>(bucket));
    store->apply(b, store->position(b).next(), writes);
  }
  void commit() { REQUIRE(store->commit().has_value()); }
  void checkpoint_all() {
    for (int slices = 0;; ++slices) {
      REQUIRE(slices < 100'000);
      const auto more = store->checkpoint();
      REQUIRE(more.has_value());
      if (!*more) return;
    }
  }
};

inline std::string test_key(int bucket, std::string_view name) {
  return KeyBuilder(BucketId(static_cast<uint16_t>(bucket)), Table::entity_no).add(name);
}

// "name=value name=value" of a range, or of everything.
template <class Range>
std::string listing(const Range& visit_all) {
  std::string out;
  visit_all([&](std::string_view key, std::string_view value) {
    if (!out.empty()) out += ' ';
    out.append(key.substr(3)).append("=").append(value);
    return true;
  });
  return out;
}
inline std::string forth(const Reader& reader, std::string_view from, std::string_view to) {
  return listing([&](const Reader::Visit& visit) { reader.scan(from, to, visit); });
}
inline std::string back(const Reader& reader, std::string_view from, std::string_view to) {
  return listing([&](const Reader::Visit& visit) { reader.scan_back(from, to, visit); });
}

inline BodyRef test_ref(uint64_t id, uint32_t hash = 7) { return {MessageId(id), hash}; }

}  // namespace canopy::store

TYPE_TO_STRING(canopy::store::MemHost);
TYPE_TO_STRING(canopy::store::LmdbHost);
#define BOTH_HOSTS canopy::store::MemHost, canopy::store::LmdbHost
