// What a Backend promises, on both; then what each adds.
#include <atomic>
#include <fstream>
#include <thread>

#include "hosts.h"
#include "store/verify.h"

namespace canopy::store {
namespace {

std::string rows(const Backend& backend, Space space, std::string_view from, std::string_view to, bool forward = true) {
  std::string out;
  const Backend::Visit visit = [&](std::string_view key, std::string_view value) {
    out.append(out.empty() ? "" : " ").append(key).append("=").append(value);
    return true;
  };
  forward ? backend.scan(space, from, to, visit) : backend.scan_back(space, from, to, visit);
  return out;
}

void put(Backend& backend, Space space, std::string_view key, std::string_view value) {
  REQUIRE(backend.put(space, key, value).has_value());
}

}  // namespace

TEST_CASE_TEMPLATE("backend: reads see the open transaction, and an abort takes it back", Host, BOTH_HOSTS) {
  Host host;
  Backend* backend = &host.backend();
  REQUIRE(backend->begin().has_value());
  put(*backend, Space::tables, "b", "1");
  put(*backend, Space::tables, "a", "1");
  put(*backend, Space::journal, "a", "journal");
  CHECK(backend->get(Space::tables, "b") == "1");
  CHECK(rows(*backend, Space::tables, "", "z") == "a=1 b=1");
  REQUIRE(backend->commit().has_value());
  CHECK(backend->get(Space::journal, "a") == "journal");

  REQUIRE(backend->begin().has_value());
  put(*backend, Space::tables, "b", "22");
  put(*backend, Space::tables, "c", "2");
  REQUIRE(backend->erase(Space::tables, "a").has_value());
  REQUIRE(backend->erase(Space::tables, "absent").has_value());
  CHECK(rows(*backend, Space::tables, "", "z") == "b=22 c=2");
  CHECK(rows(*backend, Space::tables, "", "z", false) == "c=2 b=22");
  backend->abort();
  backend->abort();
  CHECK(rows(*backend, Space::tables, "", "z") == "a=1 b=1");

  REQUIRE(backend->begin().has_value());
  put(*backend, Space::tables, "b", "lost");
  host.crash();
  backend = &host.backend();
  CHECK(rows(*backend, Space::tables, "", "z") == "a=1 b=1");
  CHECK(backend->bytes_free() > 0);
  CHECK(backend->bytes_free() <= backend->bytes_total());
}

TEST_CASE_TEMPLATE("backend: a range has its first key and not its last, both ways", Host, BOTH_HOSTS) {
  Host host;
  Backend& backend = host.backend();
  CHECK(rows(backend, Space::tables, "", "z") == "");
  CHECK(rows(backend, Space::tables, "", "z", false) == "");
  REQUIRE(backend.begin().has_value());
  for (const char* key : {"b", "d", "f"}) put(backend, Space::tables, key, "1");
  REQUIRE(backend.commit().has_value());
  CHECK(rows(backend, Space::tables, "b", "f") == "b=1 d=1");
  CHECK(rows(backend, Space::tables, "b", "f", false) == "d=1 b=1");
  CHECK(rows(backend, Space::tables, "c", "e") == "d=1");
  CHECK(rows(backend, Space::tables, "c", "e", false) == "d=1");
  CHECK(rows(backend, Space::tables, "g", "z", false) == "");
  CHECK(rows(backend, Space::tables, "", "b", false) == "");
  CHECK(rows(backend, Space::tables, "", "", false) == "");
  CHECK(rows(backend, Space::tables, "f", "b") == "");
}

TEST_CASE("memory backend: a failed commit keeps nothing, or everything when asked to") {
  MemBackend backend;
  for (const bool durable : {false, true}) {
    backend.fail_commits(1, durable ? Code::internal : Code::busy, durable);
    REQUIRE(backend.begin().has_value());
    put(backend, Space::tables, "a", "1");
    CHECK(backend.commit().error().code == (durable ? Code::internal : Code::busy));
    CHECK(backend.get(Space::tables, "a").has_value() == durable);
  }
  REQUIRE(backend.begin().has_value());
  put(backend, Space::tables, "b", "open");
  CHECK(MemBackend(backend.image()).get(Space::tables, "b") == std::nullopt);
  REQUIRE(backend.commit().has_value());
  CHECK(MemBackend(backend.image()).get(Space::tables, "b") == "open");
  CHECK(backend.commits() == 1);
}

TEST_CASE("memory backend: full is busy") {
  MemBackend backend;
  backend.set_bytes_total(10);
  REQUIRE(backend.begin().has_value());
  put(backend, Space::tables, "a", "1234");
  CHECK(backend.put(Space::tables, "b", "123456").error().code == Code::busy);
  backend.abort();
  CHECK(backend.bytes_free() == 10);
}

TEST_CASE("lmdb backend: a directory in use is refused, also inside one process") {
  LmdbHost host;
  const auto second = LmdbBackend::open({host.dir.file("store"), 64u << 20});
  REQUIRE(!second.has_value());
  CHECK(second.error().code == Code::unavailable);
  CHECK(second.error().message.find("is in use by another process") != std::string::npos);
  host.lmdb.reset();
  CHECK(LmdbBackend::open({host.dir.file("store"), 64u << 20}).has_value());
}

TEST_CASE("lmdb backend: a creation that was cut short is begun again") {
  TestDir dir;
  std::filesystem::create_directories(dir.file("store.new"));
  std::ofstream(dir.file("store.new") + "/data.mdb") << "half a page";
  CHECK(LmdbBackend::open({dir.file("store"), 64u << 20}).has_value());
  CHECK(!std::filesystem::exists(dir.file("store.new")));
}

TEST_CASE("lmdb backend: an empty directory becomes a store, a foreign one is left alone") {
  TestDir dir;
  std::filesystem::create_directories(dir.file("empty"));
  CHECK(LmdbBackend::open({dir.file("empty") + "/", 64u << 20}).has_value());
  std::filesystem::create_directories(dir.file("foreign"));
  std::ofstream(dir.file("foreign") + "/letters") << "from home";
  CHECK(LmdbBackend::open({dir.file("foreign"), 64u << 20}).error().code == Code::unavailable);
  CHECK(std::filesystem::exists(dir.file("foreign") + "/letters"));
  std::filesystem::create_directories(dir.file("broken"));
  std::ofstream(dir.file("broken") + "/data.mdb") << std::string(10'000, 'x');
  CHECK(LmdbBackend::open({dir.file("broken"), 64u << 20}).error().code == Code::unavailable);
}

TEST_CASE("lmdb backend: without a sync of each commit all is there for the next process, and the mode may change") {
  TestDir dir;
  int number = 0;
  for (const Sync sync : {Sync::every_commit, Sync::on_demand, Sync::on_demand, Sync::every_commit}) {
    auto opened = LmdbBackend::open({dir.file("store"), 8u << 20, sync});
    REQUIRE(opened.has_value());
    for (int before = 0; before < number; ++before) CHECK((*opened)->get(Space::tables, std::to_string(before)) == "x");
    REQUIRE((*opened)->begin().has_value());
    put(**opened, Space::tables, std::to_string(number++), "x");
    REQUIRE((*opened)->commit().has_value());
    CHECK((*opened)->sync().has_value());
  }
}

TEST_CASE("lmdb backend: a sync on another thread does not wait for a commit, nor a commit for it") {
  TestDir dir;
  auto opened = LmdbBackend::open({dir.file("store"), 8u << 20, Sync::on_demand});
  REQUIRE(opened.has_value());
  std::atomic<int> failures{0};
  std::atomic<bool> end{false};
  std::thread beside([&] {
    while (!end) failures += (*opened)->sync() ? 0 : 1;
  });
  for (int i = 0; i < 200; ++i) {
    REQUIRE((*opened)->begin().has_value());
    put(**opened, Space::tables, std::to_string(i), "x");
    CHECK((*opened)->sync().has_value());  // with the transaction open
    REQUIRE((*opened)->commit().has_value());
  }
  end = true;
  beside.join();
  CHECK(failures == 0);
}

TEST_CASE("verify: a sound store is counted, a damaged row or journal is named") {
  MemBackend mem;
  auto store = Store::open(mem, {});
  REQUIRE(store.has_value());
  for (uint64_t i = 1; i <= 20; ++i) {
    Writes w;
    w.put(test_key(1, std::to_string(i)), std::string(100, 'x'));
    (*store)->apply(BucketId(1), Position(i), w);
    REQUIRE((*store)->commit().has_value());
    if (i == 10)
      while (*(*store)->checkpoint()) {}
  }
  store->reset();
  const auto sound = verify(mem);
  CHECK(sound.damage == "");
  CHECK(sound.rows >= 10);
  CHECK(sound.replayed == 10);

  const auto damaged = [&](Space space, size_t nth) {
    MemBackend::Image image = mem.image();
    auto& rows = image[static_cast<size_t>(space)];
    auto row = std::next(rows.begin(), static_cast<long>(nth));
    row->second[20] = static_cast<char>(row->second[20] ^ 1);
    MemBackend other(std::move(image));
    return verify(other).damage;
  };
  CHECK(damaged(Space::tables, 3).find("is damaged") != std::string::npos);
  CHECK(damaged(Space::journal, mem.image()[0].size() - 1).find("journal: ") != std::string::npos);
  MemBackend empty;
  CHECK(verify(empty).damage == "");
}

TEST_CASE("lmdb backend: a full map is busy, the last commit stays, and space that is freed is used again") {
  TestDir dir;
  auto opened = LmdbBackend::open({dir.file("store"), 1u << 20});
  REQUIRE(opened.has_value());
  auto store = Store::open(**opened, {});
  REQUIRE(store.has_value());
  uint64_t kept = 0;
  Code refused{};
  for (uint64_t i = 0; i < 1'000; ++i) {
    Writes w;
    w.put(test_key(1, std::to_string(i)), std::string(5'000, 'x'));
    (*store)->apply(BucketId(1), Position(i + 1), w);
    if (const auto done = (*store)->commit(); !done) {
      refused = done.error().code;
      break;
    }
    kept = i + 1;
  }
  CHECK(refused == Code::busy);
  CHECK(kept > 20);
  CHECK((*store)->position(BucketId(1)) == Position(kept));
  CHECK((*opened)->bytes_free() < (*opened)->bytes_total() / 4);
  store->reset();
  opened->reset();
  // A larger map is how an operator helps.
  opened = LmdbBackend::open({dir.file("store"), 8u << 20});
  REQUIRE(opened.has_value());
  store = Store::open(**opened, {});
  REQUIRE(store.has_value());
  CHECK((*store)->position(BucketId(1)) == Position(kept));
  while (*(*store)->checkpoint()) {}
  CHECK((*store)->get(test_key(1, std::to_string(kept - 1))) == std::string(5'000, 'x'));
  CHECK(!(*store)->get(test_key(1, std::to_string(kept))));
}

}  // namespace canopy::store
