#include "store/places.h"

#include "hosts.h"

namespace canopy::store {
namespace {

constexpr BucketId here(3);

std::string shown(const Place& place) {
  return fmt::format("{}:{}/{}@{}", static_cast<int>(place.kind), place.number, place.second, place.at);
}
std::string shown(MessageId id, const Reader& reader) {
  std::string all;
  visit_places(here, id, reader, [&](const Place& place) {
    all += shown(place) + " ";
    return true;
  });
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("places: all of a message are visited, by kind and number, and nobody else's", Host, BOTH_HOSTS) {
  Shard<Host> shard;
  Writes writes;
  const MessageId id(0xff00), before(0xfeff), behind(0xff01);
  for (const MessageId other : {before, behind}) put_place(here, other, PlaceKind::topic, 1, 1, writes);
  put_place(here, id, PlaceKind::passed, 5, 50, writes);
  put_place(here, id, PlaceKind::backfill, 6, 60, writes, 7);
  put_place(here, id, PlaceKind::backfill, 6, 61, writes, 300);
  put_place(here, id, PlaceKind::delivery, 300, 10, writes);
  put_place(here, id, PlaceKind::delivery, 2, 11, writes);
  put_place(here, id, PlaceKind::stream, 1, 20, writes);
  shard.apply(3, writes);
  writes.clear();
  put_place(BucketId(4), id, PlaceKind::topic, 1, 1, writes);
  shard.apply(4, writes);
  CHECK(shown(id, *shard.store) == "1:2/0@11 1:300/0@10 2:1/0@20 7:6/7@60 7:6/300@61 8:5/0@50 ");

  int visited = 0;
  visit_places(here, id, *shard.store, [&](const Place&) { return ++visited < 2; });
  CHECK(visited == 2);
  CHECK(find_place(here, id, PlaceKind::delivery, 300, *shard.store) == 10);
  CHECK_FALSE(find_place(here, id, PlaceKind::delivery, 301, *shard.store));
  CHECK_FALSE(find_place(here, id, PlaceKind::mentions, 1, *shard.store));

  writes.clear();
  put_place(here, id, PlaceKind::stream, 1, 21, writes);
  writes.erase(place_key(here, id, PlaceKind::backfill, 6, 7));
  shard.apply(3, writes);
  CHECK(shown(id, *shard.store) == "1:2/0@11 1:300/0@10 2:1/0@21 7:6/300@61 8:5/0@50 ");
}

TEST_CASE("places: the bytes of a key never change") {
  CHECK(place_key(BucketId(0x0102), MessageId(5), PlaceKind::topic, 9) == std::string("\x01\x02w\0\0\0\0\0\0\0\x05\x05\0\0\0\x09", 16));
  CHECK(place_key(BucketId(0x0102), MessageId(5), PlaceKind::backfill, 9, 8) ==
        std::string("\x01\x02w\0\0\0\0\0\0\0\x05\x07\0\0\0\x09\0\0\0\x08", 20));
}

}  // namespace canopy::store
