// What a Store promises, on both backends.
#include <algorithm>

#include "hosts.h"
#include "store/packed_set.h"

namespace canopy::store {
namespace {

Writes put(int bucket, std::string_view name, std::string value) {
  Writes w;
  w.put(test_key(bucket, name), std::move(value));
  return w;
}

Writes erase(int bucket, std::string_view name) {
  Writes w;
  w.erase(test_key(bucket, name));
  return w;
}

Writes members(int bucket, std::string_view name, std::initializer_list<uint32_t> in, std::initializer_list<uint32_t> out) {
  Writes w;
  for (const uint32_t m : in) w.insert(test_key(bucket, name), m);
  for (const uint32_t m : out) w.remove(test_key(bucket, name), m);
  return w;
}

Writes ref(uint64_t id, const char* body) {
  Writes w;
  w.ref(test_ref(id), body ? make_blob(body) : nullptr);
  return w;
}

Writes unref(uint64_t id) {
  Writes w;
  w.unref(test_ref(id));
  return w;
}

std::string numbers(std::string_view set) {
  std::string out;
  for (size_t i = 0; i < set_size(set); ++i) out += fmt::format("{}{}", i ? "," : "", set_at(set, i));
  return out;
}

}  // namespace

TEST_CASE_TEMPLATE("store: a write is seen at once, after the commit, after a restart and after a checkpoint", Host, BOTH_HOSTS) {
  Shard<Host> s;
  const std::string key = test_key(1, "a");
  CHECK(!s.store->get(key));
  CHECK(!s.store->dirty());
  s.apply(1, put(1, "a", "one"));
  CHECK(s.store->dirty());
  CHECK(s.store->get(key) == "one");
  s.commit();
  CHECK(!s.store->dirty());
  CHECK(s.store->get(key) == "one");
  s.crash();
  CHECK(s.store->get(key) == "one");
  CHECK(s.store->position(BucketId(1)) == Position(1));
  s.checkpoint_all();
  CHECK(s.store->get(key) == "one");
  CHECK(s.store->status().overlay_bytes == 0);
  CHECK(s.store->status().journal_bytes == 0);
  s.crash();
  CHECK(s.store->status().replayed == 0);
  CHECK(s.store->get(key) == "one");
  CHECK(s.store->position(BucketId(1)) == Position(1));
  s.apply(1, put(1, "b", "two"));
  s.commit();
  s.crash();
  CHECK(s.store->get(test_key(1, "b")) == "two");
}

TEST_CASE_TEMPLATE("store: what was not committed is gone after a crash", Host, BOTH_HOSTS) {
  Shard<Host> s;
  s.apply(1, put(1, "a", "kept"));
  s.commit();
  s.apply(1, put(1, "a", "lost"));
  s.apply(2, put(2, "b", "lost"));
  s.crash();
  CHECK(s.store->get(test_key(1, "a")) == "kept");
  CHECK(!s.store->get(test_key(2, "b")));
  CHECK(s.store->position(BucketId(2)).zero());
}

TEST_CASE_TEMPLATE("store: an erased key stays away, over the tables too", Host, BOTH_HOSTS) {
  Shard<Host> s;
  s.apply(1, put(1, "a", "1"));
  s.commit();
  s.checkpoint_all();
  s.apply(1, erase(1, "a"));
  CHECK(!s.store->get(test_key(1, "a")));
  s.commit();
  s.crash();
  CHECK(!s.store->get(test_key(1, "a")));
  s.checkpoint_all();
  CHECK(!s.store->get(test_key(1, "a")));
  s.crash();
  CHECK(!s.store->get(test_key(1, "a")));
}

TEST_CASE_TEMPLATE("store: a scan merges overlay and tables in order, both ways", Host, BOTH_HOSTS) {
  Shard<Host> s;
  for (const char* name : {"b", "d", "f", "h"}) s.apply(1, put(1, name, "t"));
  s.apply(2, put(2, "x", "t"));
  s.commit();
  s.checkpoint_all();
  s.apply(1, put(1, "a", "o"));
  s.apply(1, put(1, "d", "o"));
  s.apply(1, erase(1, "f"));
  s.apply(1, put(1, "i", "o"));
  s.commit();
  s.apply(1, put(1, "e", "s"));
  s.apply(4, put(4, "z", "s"));

  const std::string all_from = test_key(0, ""), all_to = test_key(4095, "");
  CHECK(forth(*s.store, all_from, all_to) == "a=o b=t d=o e=s h=t i=o x=t z=s");
  CHECK(back(*s.store, all_from, all_to) == "z=s x=t i=o h=t e=s d=o b=t a=o");
  CHECK(forth(*s.store, test_key(1, "b"), test_key(1, "h")) == "b=t d=o e=s");
  CHECK(back(*s.store, test_key(1, "b"), test_key(1, "h")) == "e=s d=o b=t");
  CHECK(forth(*s.store, test_key(1, "f"), test_key(1, "g")) == "");
  CHECK(back(*s.store, test_key(1, "f"), test_key(1, "g")) == "");
  CHECK(forth(*s.store, all_to, all_from) == "");
  CHECK(back(*s.store, all_to, all_from) == "");
  // The store's own rows are behind every bucket's and are not shown.
  CHECK(forth(*s.store, test_key(3, ""), "\xff\xff\xff\xff") == "z=s");
  CHECK(back(*s.store, test_key(3, ""), "\xff\xff\xff\xff") == "z=s");
}

TEST_CASE_TEMPLATE("store: a scan stops when its visitor says so", Host, BOTH_HOSTS) {
  Shard<Host> s;
  for (const char* name : {"a", "c"}) s.apply(1, put(1, name, "t"));
  s.commit();
  s.checkpoint_all();
  for (const char* name : {"b", "d"}) s.apply(1, put(1, name, "o"));
  for (int stop = 1; stop <= 4; ++stop) {
    int seen = 0;
    const Reader::Visit visit = [&](std::string_view, std::string_view) { return ++seen < stop; };
    s.store->scan(test_key(1, ""), test_key(2, ""), visit);
    CHECK(seen == stop);
    seen = 0;
    s.store->scan_back(test_key(1, ""), test_key(2, ""), visit);
    CHECK(seen == stop);
  }
}

TEST_CASE_TEMPLATE("store: a visitor may read while it is being shown a range", Host, BOTH_HOSTS) {
  Shard<Host> s;
  for (const char* name : {"a", "b"}) s.apply(1, put(1, name, name));
  s.commit();
  s.checkpoint_all();
  std::string seen;
  s.store->scan(test_key(1, ""), test_key(2, ""), [&](std::string_view key, std::string_view) {
    seen += *s.store->get(key);
    seen += forth(*s.store, test_key(1, ""), test_key(2, ""));
    return true;
  });
  CHECK(seen == "aa=a b=bba=a b=b");
}

TEST_CASE_TEMPLATE("store: insert and remove keep a sorted set, and an empty set is no key", Host, BOTH_HOSTS) {
  Shard<Host> s;
  const std::string key = test_key(1, "set");
  s.apply(1, members(1, "set", {5, 70'000, 1, 5}, {}));
  CHECK(numbers(*s.store->get(key)) == "1,5,70000");
  s.commit();
  s.checkpoint_all();
  s.apply(1, members(1, "set", {3}, {5, 99}));
  CHECK(numbers(*s.store->get(key)) == "1,3,70000");
  s.commit();
  s.crash();
  CHECK(numbers(*s.store->get(key)) == "1,3,70000");
  s.apply(1, members(1, "set", {}, {1, 3, 70'000}));
  CHECK(!s.store->get(key));
  s.commit();
  s.crash();
  CHECK(!s.store->get(key));
  s.checkpoint_all();
  CHECK(!s.store->get(key));
  s.apply(1, members(1, "set", {4}, {}));
  CHECK(numbers(*s.store->get(key)) == "4");
}

TEST_CASE_TEMPLATE("store: a full disk undoes the whole batch and nothing else", Host, BOTH_HOSTS) {
  Shard<Host> s;
  s.apply(1, put(1, "a", "old"));
  s.apply(1, members(1, "set", {1, 2}, {}));
  s.apply(1, ref(10, "ten"));
  s.apply(1, ref(11, "eleven"));
  s.commit();
  const StoreStatus before = s.store->status();

  s.apply(1, put(1, "a", "new"));
  s.apply(1, put(1, "a", "newer"));
  s.apply(1, put(1, "b", "new"));
  s.apply(1, erase(1, "b"));
  s.apply(1, members(1, "set", {3, 4}, {1}));
  s.apply(1, unref(10));
  s.apply(2, ref(11, nullptr));
  s.apply(2, ref(12, "twelve"));
  s.apply(2, put(2, "c", "new"));
  s.disk->fail_commits(1);
  const auto failed = s.store->commit();
  REQUIRE(!failed.has_value());
  CHECK(failed.error().code == Code::busy);

  CHECK(!s.store->dirty());
  CHECK(s.store->get(test_key(1, "a")) == "old");
  CHECK(!s.store->get(test_key(1, "b")));
  CHECK(!s.store->get(test_key(2, "c")));
  CHECK(numbers(*s.store->get(test_key(1, "set"))) == "1,2");
  CHECK(s.store->position(BucketId(1)) == Position(4));
  CHECK(s.store->position(BucketId(2)).zero());
  CHECK(s.store->body_references(test_ref(10)) == 1);
  CHECK(s.store->body_references(test_ref(11)) == 1);
  CHECK(s.store->body_references(test_ref(12)) == 0);
  CHECK(*s.store->body(test_ref(10)) == "ten");
  CHECK(!s.store->body(test_ref(12)));
  CHECK(s.store->status().overlay_bytes == before.overlay_bytes);
  CHECK(s.store->status().journal_bytes == before.journal_bytes);
  CHECK(s.store->status().bodies == 2);

  // The next batch works, and a restart sees it and not the one that failed.
  s.apply(1, put(1, "b", "next"));
  s.commit();
  s.crash();
  CHECK(s.store->get(test_key(1, "a")) == "old");
  CHECK(s.store->get(test_key(1, "b")) == "next");
  CHECK(!s.store->get(test_key(2, "c")));
}

TEST_CASE_TEMPLATE("store: a checkpoint that fails for lack of space changes nothing", Host, BOTH_HOSTS) {
  Shard<Host> s;
  s.apply(1, put(1, "a", "1"));
  s.apply(2, ref(10, "ten"));
  s.commit();
  const StoreStatus before = s.store->status();
  s.disk->fail_commits(1);
  CHECK(s.store->checkpoint().error().code == Code::busy);
  CHECK(s.store->status().overlay_bytes == before.overlay_bytes);
  CHECK(s.store->status().journal_bytes == before.journal_bytes);
  s.crash();
  CHECK(s.store->status().replayed == 2);
  s.checkpoint_all();
  CHECK(s.store->get(test_key(1, "a")) == "1");
  CHECK(*s.store->body(test_ref(10)) == "ten");
}

TEST_CASE_TEMPLATE("store: replay skips what a bucket has in its tables", Host, BOTH_HOSTS) {
  Shard<Host> s;
  // Bucket 2 keeps the journal from its first run on, bucket 1 moves ahead of it.
  s.apply(1, put(1, "a", "1"));
  s.apply(1, ref(10, "ten"));
  s.commit();
  s.apply(2, put(2, "b", "1"));
  s.apply(1, unref(10));
  s.apply(1, put(1, "a", "2"));
  s.commit();
  REQUIRE(s.store->checkpoint().has_value());
  CHECK(s.store->status().slices == 1);
  s.crash();
  CHECK(s.store->status().replayed == 1);
  CHECK(s.store->get(test_key(1, "a")) == "2");
  CHECK(s.store->get(test_key(2, "b")) == "1");
  CHECK(s.store->position(BucketId(1)) == Position(4));
  CHECK(s.store->body_references(test_ref(10)) == 0);
  CHECK(s.store->status().bodies == 0);
}

TEST_CASE_TEMPLATE("store: a body lives as long as anything points at it", Host, BOTH_HOSTS) {
  Shard<Host> s;
  CHECK(!s.store->body(test_ref(10)));
  s.apply(1, ref(10, "ten"));
  s.apply(2, ref(10, nullptr));
  CHECK(*s.store->body(test_ref(10)) == "ten");
  CHECK(!s.store->body(test_ref(10, 8)));  // another hash is another body
  s.commit();
  s.apply(1, unref(10));
  s.commit();
  CHECK(*s.store->body(test_ref(10)) == "ten");
  s.apply(2, unref(10));
  CHECK(s.store->body_references(test_ref(10)) == 0);
  CHECK(*s.store->body(test_ref(10)) == "ten");  // until the commit
  s.commit();
  CHECK(!s.store->body(test_ref(10)));
  CHECK(s.store->status().bodies == 0);
  s.crash();
  CHECK(!s.store->body(test_ref(10)));
  s.apply(2, ref(10, "ten"));
  s.commit();
  s.crash();
  CHECK(*s.store->body(test_ref(10)) == "ten");
}

TEST_CASE_TEMPLATE("store: a body outlives the checkpoint of the bucket that brought it", Host, BOTH_HOSTS) {
  Shard<Host> s;
  s.apply(1, ref(10, "ten"));
  s.commit();
  s.apply(2, ref(10, nullptr));
  s.apply(1, unref(10));
  s.commit();
  REQUIRE(s.store->checkpoint().has_value());  // bucket 1: its count is zero, its record is trimmed
  CHECK(*s.store->body(test_ref(10)) == "ten");
  s.crash();
  CHECK(*s.store->body(test_ref(10)) == "ten");
  CHECK(s.store->body_references(test_ref(10)) == 1);
  s.apply(2, unref(10));
  s.commit();
  CHECK(!s.store->body(test_ref(10)));  // though the tables have the bytes until the checkpoint
  s.crash();
  CHECK(!s.store->body(test_ref(10)));
  s.checkpoint_all();
  int rows = 0;
  s.host.backend().scan(Space::tables, "\xff\xff" "b", "\xff\xff" "c", [&](std::string_view, std::string_view) { return ++rows > 0; });
  CHECK(rows == 0);
}

TEST_CASE_TEMPLATE("store: a body of any size comes back as it was", Host, BOTH_HOSTS) {
  Shard<Host> s;
  const size_t sizes[] = {0, 1, 1899, 1900, 1901, 3899, 3900, 3901, 4000, 100'000};
  for (size_t i = 0; i < std::size(sizes); ++i) {
    std::string bytes;
    for (size_t b = 0; b < sizes[i]; ++b) bytes.push_back(static_cast<char>(b * 7 + i));
    Writes w;
    w.ref(test_ref(i + 1), make_blob(bytes));
    s.apply(3, w);
    s.commit();
    CHECK(*s.store->body(test_ref(i + 1)) == bytes);
    s.crash();
    CHECK(*s.store->body(test_ref(i + 1)) == bytes);
    s.checkpoint_all();
    CHECK(*s.store->body(test_ref(i + 1)) == bytes);
  }
  CHECK(s.store->status().bodies == std::size(sizes));
  s.crash();
  CHECK(s.store->status().bodies == std::size(sizes));
}

TEST_CASE_TEMPLATE("store: overlay and journal stay near their bounds whatever is written", Host, BOTH_HOSTS) {
  Shard<Host> s;
  s.options.overlay_bytes_max = 4'000;
  s.options.journal_bytes_max = 8'000;
  s.crash();
  uint64_t overlay = 0, journal = 0;
  for (int i = 0; i < 300; ++i) {
    const int bucket = i % 16;
    s.apply(bucket, put(bucket, std::to_string(i % 40), std::string(100, 'x')));
    s.commit();
    overlay = std::max(overlay, s.store->status().overlay_bytes);
    journal = std::max(journal, s.store->status().journal_bytes);
  }
  CHECK(overlay < 6'000);
  CHECK(journal < 20'000);
  // One key again and again: the overlay stays small, the journal would not.
  s.checkpoint_all();
  journal = 0;
  for (int i = 0; i < 300; ++i) {
    s.apply(1, put(1, "same", std::to_string(i)));
    s.commit();
    journal = std::max(journal, s.store->status().journal_bytes);
  }
  CHECK(journal < 20'000);
  s.crash();
  CHECK(s.store->get(test_key(1, "same")) == "299");
}

TEST_CASE_TEMPLATE("store: batches larger than a slice do not outrun it", Host, BOTH_HOSTS) {
  Shard<Host> s;
  s.options.overlay_bytes_max = 4'000;
  s.crash();
  for (int i = 0; i < 40; ++i) {
    for (int bucket = 0; bucket < 16; ++bucket)
      s.apply(bucket, put(bucket, std::to_string(i), std::string(100, 'x')));
    s.commit();
    CHECK(s.store->status().overlay_bytes <= 4'000);
  }
}

TEST_CASE_TEMPLATE("store: a body without references takes no memory after the commit", Host, BOTH_HOSTS) {
  Shard<Host> s;
  Writes w;
  w.ref(test_ref(1), make_blob(std::string(10'000, 'x')));
  s.apply(1, w);
  s.commit();
  CHECK(s.store->status().overlay_bytes > 10'000);
  s.apply(1, unref(1));
  s.commit();
  CHECK(s.store->status().overlay_bytes < 1'000);
}

TEST_CASE_TEMPLATE("store: a position may advance without writes", Host, BOTH_HOSTS) {
  Shard<Host> s;
  s.store->apply(BucketId(1), Position(), Writes());
  CHECK(!s.store->dirty());
  s.store->apply(BucketId(1), Position(3, 9), Writes());
  s.commit();
  s.crash();
  CHECK(s.store->position(BucketId(1)) == Position(3, 9));
  s.checkpoint_all();
  s.crash();
  CHECK(s.store->position(BucketId(1)) == Position(3, 9));
}

}  // namespace canopy::store
