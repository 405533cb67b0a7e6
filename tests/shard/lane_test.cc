// Stream letters that wait for a later turn.
#include "shard/lane.h"

#include <doctest/doctest.h>

#include <string>

using namespace canopy;
using shard::Deliver;
using shard::Lane;

namespace {

Deliver letter(const char* reflector, uint64_t ticket) {
  Deliver deliver;
  deliver.reflector = reflector;
  deliver.ticket = ticket;
  return deliver;
}

// Takes all out, each in one turn.
std::string order(Lane& lane) {
  std::string tickets;
  for (; !lane.empty(); lane.next(false)) tickets += std::to_string(lane.front().ticket);
  return tickets;
}

}  // namespace

TEST_CASE("lane: streams have turns, the letters of each stay in order") {
  Lane lane;
  lane.add(letter("a", 1), Instant());
  lane.add(letter("a", 2), Instant());
  lane.add(letter("a", 3), Instant());
  lane.add(letter("b", 4), Instant());
  lane.add(letter("c", 5), Instant());
  lane.add(letter("b", 6), Instant());
  CHECK(lane.letters() == 6);
  CHECK(order(lane) == "145263");
  CHECK(!lane.contains("a"));
}

TEST_CASE("lane: a letter that goes on lets the other streams have their turn first") {
  Lane lane;
  lane.add(letter("a", 1), Instant());
  lane.add(letter("a", 2), Instant());
  lane.add(letter("b", 3), Instant());
  lane.next(true);
  CHECK(lane.letters() == 3);
  CHECK(order(lane) == "312");
}

TEST_CASE("lane: a stream that is wanted soon has the next turn, in its own order") {
  Lane lane;
  lane.add(letter("a", 1), Instant());
  lane.add(letter("b", 2), Instant());
  lane.add(letter("c", 3), Instant());
  lane.add(letter("c", 4), Instant(), true);
  lane.add(letter("d", 5), Instant(), true);
  CHECK(order(lane) == "53124");
}

TEST_CASE("lane: it knows since when the oldest letter has waited") {
  Lane lane;
  CHECK(lane.oldest() == Instant::never());
  lane.add(letter("a", 1), Instant{5});
  lane.add(letter("b", 2), Instant{3});
  lane.add(letter("b", 3), Instant{9});
  CHECK(lane.oldest() == Instant{3});
  lane.next(false);
  CHECK(lane.oldest() == Instant{3});
  lane.next(false);
  CHECK(lane.oldest() == Instant{9});
}
