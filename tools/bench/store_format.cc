// Decides by measurement between two store formats on LMDB, with the same workload and real fsync:
//   plain    each batch's writes go straight into the tables, one transaction;
//   journal  each batch is a run of sequential values of one fixed size; the writes stay in an overlay in RAM until
//            a checkpoint moves them into the tables, in slices that ride in the transaction of a later batch.
// One thread, closed loop (or paced by --rate). Latency is what a publisher waits for: puts, slice, commit, overlay.

#include <lmdb.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "store_workload.h"

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// A failed LMDB call ends the measurement: every figure after it would be worth nothing.
void must(int rc, const char* what) {
  if (rc == 0) return;
  fmt::print(stderr, "{}: {}\n", what, mdb_strerror(rc));
  std::exit(1);
}

// A key of at most 15 bytes as two numbers in the same order: std::map over strings spent over half of the whole
// run comparing them. The last byte is the size, the rest is filled with zeros.
struct MapKey {
  uint64_t high = 0, low = 0;
  MapKey() = default;
  explicit MapKey(std::string_view key) {
    char bytes[16] = {};
    std::memcpy(bytes, key.data(), key.size());
    bytes[15] = char(key.size());
    std::memcpy(this, bytes, 16);
    high = __builtin_bswap64(high), low = __builtin_bswap64(low);
  }
  std::string bytes() const {
    uint64_t words[2] = {__builtin_bswap64(high), __builtin_bswap64(low)};
    return {reinterpret_cast<const char*>(words), low & 0xff};
  }
  auto operator<=>(const MapKey&) const = default;
};
using Map = std::map<MapKey, std::string>;  // an empty value is an erasure that the tables have yet to see

MDB_val val(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
std::string_view view(const MDB_val& v) { return {static_cast<char*>(v.mv_data), v.mv_size}; }

class Store {
 public:
  explicit Store(const Options& options, const std::string& name) : options_(options) {
    std::string path = options.data + "/" + name;
    std::filesystem::create_directories(path);
    must(mdb_env_create(&env_), "mdb_env_create");
    must(mdb_env_set_mapsize(env_, options.map_gib << 30), "mdb_env_set_mapsize");
    must(mdb_env_set_maxdbs(env_, 2), "mdb_env_set_maxdbs");
    must(mdb_env_open(env_, path.c_str(), 0, 0644), "mdb_env_open");
    MDB_txn* txn = begin();
    must(mdb_dbi_open(txn, "tables", MDB_CREATE, &tables_), "mdb_dbi_open");
    must(mdb_dbi_open(txn, "journal", MDB_CREATE, &journal_), "mdb_dbi_open");
    commit(txn);
  }
  virtual ~Store() { mdb_env_close(env_); }

  virtual void commit(const Batch& batch) = 0;
  virtual size_t overlay_bytes() const { return 0; }
  virtual void apply_overlay(Map&) const {}

  void load(const Batch& batch) {  // straight into the tables, in the order of arrival: pages fill as in real life
    MDB_txn* txn = begin();
    for_each_write(batch.bytes, [&](const Write& write) { put(txn, write.key, write.value); });
    commit(txn);
  }

  struct Size { double file, free, journal; };  // MB
  Size size() const {
    MDB_envinfo info;
    must(mdb_env_info(env_, &info), "mdb_env_info");
    MDB_txn* txn = begin(MDB_RDONLY);
    MDB_stat stat;
    must(mdb_stat(txn, journal_, &stat), "mdb_stat");
    size_t free_pages = 0;
    scan(txn, 0, [&](std::string_view, std::string_view pages) {  // 0 is LMDB's free list: transaction → page numbers
      size_t count;
      std::memcpy(&count, pages.data(), sizeof count);
      free_pages += count;
    });
    mdb_txn_abort(txn);
    double page = stat.ms_psize / 1e6;
    return {double(info.me_last_pgno + 1) * page, double(free_pages) * page,
            double(stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * page};
  }

  Map contents() const {
    Map all;
    MDB_txn* txn = begin(MDB_RDONLY);
    scan(txn, tables_, [&](std::string_view key, std::string_view value) { if (key[2] != '!') all[MapKey(key)] = value; });
    mdb_txn_abort(txn);
    return all;
  }

 protected:
  // Of repeats only the last: the best that either format can do within a batch. Valid until the next call.
  const std::vector<Write>& sorted(const Batch& batch) {
    sorted_.clear();
    for_each_write(batch.bytes, [&](const Write& write) { sorted_.push_back(write); });
    std::stable_sort(sorted_.begin(), sorted_.end(), [](auto& a, auto& b) { return a.key < b.key; });
    auto repeat = [](auto& a, auto& b) { return a.key == b.key; };  // unique keeps the first: hence from behind
    auto first = std::unique(sorted_.rbegin(), sorted_.rend(), repeat).base();
    sorted_.erase(sorted_.begin(), first);
    return sorted_;
  }
  MDB_txn* begin(unsigned flags = 0) const {
    MDB_txn* txn;
    must(mdb_txn_begin(env_, nullptr, flags, &txn), "mdb_txn_begin");
    return txn;
  }
  void commit(MDB_txn* txn) const { must(mdb_txn_commit(txn), "mdb_txn_commit"); }
  void put(MDB_txn* txn, std::string_view key, std::string_view value) const {
    MDB_val k = val(key), v = val(value);
    if (!value.empty()) return must(mdb_put(txn, tables_, &k, &v, 0), "mdb_put");
    int rc = mdb_del(txn, tables_, &k, nullptr);
    must(rc == MDB_NOTFOUND ? 0 : rc, "mdb_del");  // put and erased within one overlay: the tables never had it
  }
  template <class Visit>
  void scan(MDB_txn* txn, MDB_dbi dbi, Visit visit) const {
    MDB_cursor* cursor;
    must(mdb_cursor_open(txn, dbi, &cursor), "mdb_cursor_open");
    MDB_val k, v;
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) visit(view(k), view(v));
    mdb_cursor_close(cursor);
  }

  const Options& options_;
  MDB_env* env_ = nullptr;
  MDB_dbi tables_ = 0, journal_ = 0;

 private:
  std::vector<Write> sorted_;
};

class PlainStore : public Store {
 public:
  explicit PlainStore(const Options& options) : Store(options, "plain") {}
  using Store::commit;

  void commit(const Batch& batch) override {
    MDB_txn* txn = begin();
    for (const Write& write : sorted(batch)) put(txn, write.key, write.value);
    commit(txn);
  }
};

class JournalStore : public Store {
 public:
  explicit JournalStore(const Options& options) : Store(options, "journal"), buckets_(options.buckets) {}
  using Store::commit;

  void commit(const Batch& batch) override {
    MDB_txn* txn = begin();
    uint64_t record = next_record_;
    append(txn, batch.bytes);
    checkpoint_slice(txn, record);
    trim(txn, next_record_ - record);
    commit(txn);
    for (const Write& write : sorted(batch)) overlay_put(write, record);
  }
  size_t overlay_bytes() const override { return overlay_bytes_; }
  void apply_overlay(Map& all) const override {
    for (auto& bucket : buckets_) apply(bucket.overlay, all);
  }
  static void apply(const Map& overlay, Map& all) {
    for (auto& [key, value] : overlay) value.empty() ? void(all.erase(key)) : void(all[key] = value);
  }

  // What a restart does: an overlay of all writes above their bucket's checkpointed position.
  Map replay() const {
    Map overlay;
    std::vector<uint64_t> checkpointed(buckets_.size(), 0);
    MDB_txn* txn = begin(MDB_RDONLY);
    for (size_t i = 0; i < buckets_.size(); ++i) {
      Key key(uint16_t(i), '!');
      MDB_val k = val(key), v;
      if (mdb_get(txn, tables_, &k, &v) == 0) std::memcpy(&checkpointed[i], v.mv_data, 8);
    }
    std::string batch;
    scan(txn, journal_, [&](std::string_view, std::string_view value) {
      Header header;
      std::memcpy(&header, value.data(), sizeof header);
      batch.append(value.substr(sizeof header, header.used));
      if (header.values_left > 0) return;
      for_each_write(batch, [&](const Write& write) {
        if (write.position > checkpointed[write.bucket()]) overlay[MapKey(write.key)] = write.value;
      });
      batch.clear();
    });
    mdb_txn_abort(txn);
    return overlay;
  }

 private:
  struct Header { uint32_t values_left, used; };  // of each journal value; the rest of the value is padding
  struct Bucket {
    Map overlay;
    uint64_t position = 0;      // of the last write in the overlay
    uint64_t first_record = 0;  // no write in the overlay is in an earlier record; 0: the overlay is empty
    bool moving = false;        // a checkpoint has begun, and goes on at `cursor`
    uint64_t moving_position = 0, moving_record = 0;
    MapKey cursor;
  };

  // About what an entry costs: the tree's node, key, string, the allocator, a value too long for the string itself.
  static size_t entry_bytes(std::string_view value) { return 32 + 16 + 32 + 16 + (value.size() > 15 ? value.size() + 17 : 0); }

  void append(MDB_txn* txn, std::string_view bytes) {
    size_t room = options_.journal_value - sizeof(Header), values = (bytes.size() + room - 1) / room;
    for (; values > 0; --values) {
      Header header{uint32_t(values - 1), uint32_t(std::min(room, bytes.size()))};
      uint64_t number = __builtin_bswap64(next_record_++);
      MDB_val k{8, &number}, v{options_.journal_value, nullptr};
      must(mdb_put(txn, journal_, &k, &v, MDB_RESERVE | MDB_APPEND), "append");
      auto* at = static_cast<char*>(v.mv_data);
      std::memcpy(at, &header, sizeof header);
      std::memcpy(at + sizeof header, bytes.data(), header.used);
      std::memset(at + sizeof header + header.used, 0, room - header.used);
      bytes.remove_prefix(header.used);
    }
  }

  void overlay_put(const Write& write, uint64_t record) {
    uint16_t number = write.bucket();
    Bucket& bucket = buckets_[number];
    auto [entry, added] = bucket.overlay.try_emplace(MapKey(write.key));
    if (!added) overlay_bytes_ -= entry_bytes(entry->second);
    entry->second = write.value;
    overlay_bytes_ += entry_bytes(entry->second);
    bucket.position = std::max(bucket.position, write.position);
    if (bucket.first_record == 0) dirty_.insert({bucket.first_record = record, number});
  }

  // Moves entries of the oldest bucket until the overlay is at 7/8 of its bound or the slice's time is over; above
  // the bound time does not count. A slice may end inside a bucket: its position is written at the end only, and
  // replay repeats puts and erasures over what had been moved, with the same result.
  void checkpoint_slice(MDB_txn* txn, uint64_t record) {
    auto start = Clock::now();
    size_t bound = options_.overlay_mib << 20, steps = 0;
    bool over = false;  // once the time is over it stays so, whoever asks next
    auto enough = [&] {
      over = over || (++steps % 32 == 0 && ms_since(start) > options_.checkpoint_ms);
      if (overlay_bytes_ > bound) return dirty_.empty();
      return over || dirty_.empty() || overlay_bytes_ <= bound / 8 * 7;
    };
    while (!enough()) {
      uint16_t number = dirty_.begin()->second;
      Bucket& bucket = buckets_[number];
      if (!bucket.moving) {
        bucket.moving = true, bucket.moving_position = bucket.position, bucket.moving_record = record;
        bucket.cursor = {};
      }
      auto entry = bucket.overlay.lower_bound(bucket.cursor);
      while (entry != bucket.overlay.end() && !enough()) {
        put(txn, entry->first.bytes(), entry->second);
        overlay_bytes_ -= entry_bytes(entry->second);
        entry = bucket.overlay.erase(entry);
      }
      if (entry == bucket.overlay.end()) finish(txn, number);
      else bucket.cursor = entry->first;
    }
  }

  void finish(MDB_txn* txn, uint16_t number) {
    Bucket& bucket = buckets_[number];
    put(txn, Key(number, '!'), {reinterpret_cast<char*>(&bucket.moving_position), 8});
    bucket.moving = false;
    dirty_.erase({bucket.first_record, number});
    bucket.first_record = bucket.overlay.empty() ? 0 : bucket.moving_record;  // written while its bucket was moving
    if (bucket.first_record != 0) dirty_.insert({bucket.first_record, number});
  }

  void trim(MDB_txn* txn, uint64_t appended) {
    uint64_t erasures = 1000 + 2 * appended;  // bounded for LMDB's free list, and yet the journal cannot run away
    uint64_t keep = dirty_.empty() ? first_record_ : dirty_.begin()->first;
    for (; erasures > 0 && first_record_ < keep; --erasures) {
      uint64_t number = __builtin_bswap64(first_record_++);
      MDB_val k{8, &number};
      must(mdb_del(txn, journal_, &k, nullptr), "trim");
    }
  }

  std::vector<Bucket> buckets_;
  std::set<std::pair<uint64_t, uint16_t>> dirty_;  // (first record, bucket) of buckets with an overlay
  uint64_t next_record_ = 1, first_record_ = 1;    // the journal holds [first, next)
  size_t overlay_bytes_ = 0;
};

// --- Measuring.

// "wchar:" is what LMDB passed to pwrite and pwritev; "write_bytes:" is what the page cache took for dirty, which
// with large folios (Linux 6) can be many times as much, and also more than what reaches the disk.
uint64_t own_io(std::string_view field) {
  std::ifstream file("/proc/self/io");
  for (std::string word; file >> word;)
    if (uint64_t n; word == field && file >> n) return n;
  return 0;
}

struct Figures {
  double seconds = 0;
  uint64_t publishes = 0, written = 0, dirtied = 0;
  std::vector<float> latency_ms;
  void add(const Figures& other) {
    seconds += other.seconds, publishes += other.publishes, written += other.written, dirtied += other.dirtied;
    latency_ms.insert(latency_ms.end(), other.latency_ms.begin(), other.latency_ms.end());
  }
};

struct Run {
  std::string name;
  std::unique_ptr<Store> store;
  std::unique_ptr<Workload> workload;
  std::vector<Figures> slices;
};

void print_row(const Options& options, const Run& run, const std::string& when, Figures figures) {
  auto& sorted = figures.latency_ms;
  std::sort(sorted.begin(), sorted.end());
  auto at = [&](double part) { return sorted.empty() ? 0.f : sorted[size_t(part * double(sorted.size() - 1))]; };
  auto size = run.store->size();
  double deliveries = double(figures.publishes) * options.followers;
  fmt::print("| {} | {} | {} | {:.0f} | {:.3f} | {:.2f} / {:.2f} / {:.1f} | {:.0f} | {:.0f} | {:.1f} | {:.1f} | {:.0f} | {:.0f} | {:.1f} |\n",
             run.name, when, sorted.size(), double(figures.publishes) / figures.seconds, deliveries / figures.seconds / 1e6,
             at(.5), at(.99), at(1), size.file, size.free, size.journal, double(run.store->overlay_bytes()) / 1e6,
             double(figures.written) / 1e6, double(figures.dirtied) / 1e6,
             double(figures.written) / deliveries);
  std::fflush(stdout);
}

Figures measure(const Options& options, Run& run, double seconds) {
  Figures figures;
  Batch batch;
  uint64_t written = own_io("wchar:"), dirtied = own_io("write_bytes:");
  auto start = Clock::now();
  while (options.publishes > 0 ? figures.publishes < options.publishes : ms_since(start) < seconds * 1000) {
    batch.clear();
    while (batch.publishes < options.batch) run.workload->publish(batch);
    if (options.rate > 0)
      std::this_thread::sleep_until(start + std::chrono::microseconds(int64_t(1e6 * double(figures.publishes) / options.rate)));
    auto begun = Clock::now();
    run.store->commit(batch);
    figures.latency_ms.push_back(float(ms_since(begun)));
    figures.publishes += batch.publishes;
  }
  figures.seconds = ms_since(start) / 1000;
  figures.written = own_io("wchar:") - written, figures.dirtied = own_io("write_bytes:") - dirtied;
  return figures;
}

void prefill(const Options& options, Run& run) {
  Batch batch;
  for (unsigned bucket = 0; bucket < options.buckets; ++bucket) {
    batch.clear();
    run.workload->prefill(batch, uint16_t(bucket));
    run.store->load(batch);
  }
}

uint64_t digest(const Map& all) {
  uint64_t sum = all.size();
  for (auto& [key, value] : all) sum = Random{sum ^ std::hash<std::string>()(key.bytes() + value)}.next();
  return sum;
}

// Both formats must hold the same after the same publishes, and the journal must give it again after a restart.
void check(const Run& run) {
  Map all = run.store->contents();
  auto* journal = dynamic_cast<JournalStore*>(run.store.get());
  Map tables = journal ? all : Map();
  run.store->apply_overlay(all);
  fmt::print("{}: {} records, digest {:016x}\n", run.name, all.size(), digest(all));
  if (!journal) return;
  auto start = Clock::now();
  Map overlay = journal->replay();
  double took = ms_since(start);
  JournalStore::apply(overlay, tables);
  fmt::print("{}: replay of {} entries in {:.0f} ms, digest {:016x}: {}\n", run.name, overlay.size(), took,
             digest(tables), tables == all ? "the same" : "DIFFERENT");
}

void run_all(const Options& options) {
  Followers followers(options);
  std::vector<Run> runs;
  for (std::string name : {"journal", "plain"}) {
    if (options.format != "both" && options.format != name) continue;
    std::unique_ptr<Store> store;
    if (name == "journal") store = std::make_unique<JournalStore>(options);
    else store = std::make_unique<PlainStore>(options);
    runs.push_back({name, std::move(store), std::make_unique<Workload>(options, followers), {}});
    prefill(options, runs.back());
  }
  fmt::print("| format | when | commits | publishes/s | M deliveries/s | batch ms p50 / p99 / max | file MB | free MB "
             "| journal MB | overlay MB | written MB | dirtied MB | bytes/delivery |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
  auto slice_count = size_t(std::ceil(options.minutes * 60 / options.slice_seconds / double(runs.size())));
  if (options.publishes > 0) slice_count = 1;
  for (size_t i = 0; i < runs.size() * slice_count; ++i) {
    Run& run = options.alternate ? runs[i % runs.size()] : runs[i / slice_count];
    run.slices.push_back(measure(options, run, options.slice_seconds));
    print_row(options, run, fmt::format("slice {}", run.slices.size()), run.slices.back());
  }
  for (Run& run : runs) {
    Figures total, last;
    for (size_t i = 0; i < run.slices.size(); ++i) {
      total.add(run.slices[i]);
      if (i >= run.slices.size() / 3 * 2) last.add(run.slices[i]);
    }
    print_row(options, run, "total", total);
    print_row(options, run, "last third", last);
  }
  if (options.check)
    for (Run& run : runs) check(run);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app{"Measures two store formats on LMDB with one workload: journal and tables, against plain tables.\n"
               "Prints a Markdown row per format and time slice. The data directory is removed afterwards."};
  app.option_defaults()->always_capture_default();
  app.add_option("--data", o.data, "Directory for the two environments, on a local disk; must not exist")->required();
  app.add_option("--format", o.format, "Which format")->check(CLI::IsMember({"journal", "plain", "both"}));
  app.add_flag("--alternate", o.alternate, "Run both formats in turns, slice by slice, so that noise hits both alike");
  app.add_option("--minutes", o.minutes, "Minutes in all, of both formats together, without the prefill");
  app.add_option("--slice-seconds", o.slice_seconds, "Length of a time slice");
  app.add_option("--publishes", o.publishes, "Stop each format after so many publishes instead; 0: by time");
  app.add_option("--rate", o.rate, "Publishes a second at most; 0: as fast as it goes");
  app.add_option("--batch", o.batch, "Publishes a commit");
  app.add_option("--buckets", o.buckets, "Number of buckets")->check(CLI::Range(1, 65535));
  app.add_option("--followers", o.followers, "Followers of each author");
  app.add_option("--authors", o.authors, "Number of authors");
  app.add_option("--skew", o.skew, "1: all authors publish alike; more: some publish more");
  app.add_option("--order", o.order, "Keys of deliveries: (leaf, position) or (position, leaf)")
      ->check(CLI::IsMember({"leaf", "position"}));
  app.add_option("--prefill", o.prefill, "Delivery records beforehand, and kept: each new one erases the oldest");
  app.add_option("--publishes-kept", o.publishes_kept, "Bodies, sent and stream entries kept");
  app.add_option("--journal-value", o.journal_value, "Bytes of a journal value: 2000, or 4096 n - 16 to fill n pages")
      ->check(CLI::Range(256, 1 << 20));
  app.add_option("--overlay-mib", o.overlay_mib, "Bound of the overlay, with the overhead of its entries")
      ->check(CLI::Range(1, 1 << 14));
  app.add_option("--checkpoint-ms", o.checkpoint_ms, "Time of a checkpoint slice, while the overlay is within its bound");
  app.add_option("--map-gib", o.map_gib, "LMDB map size of each environment")->check(CLI::Range(1, 1024));
  app.add_option("--seed", o.seed, "Seed of the workload");
  app.add_flag("--check", o.check, "Afterwards compare what both hold, and replay the journal (small runs: needs RAM)");
  CLI11_PARSE(app, argc, argv);
  if (std::filesystem::exists(o.data)) {
    fmt::print(stderr, "--data {}: exists already\n", o.data);
    return 1;
  }
  run_all(o);
  std::filesystem::remove_all(o.data);
}
