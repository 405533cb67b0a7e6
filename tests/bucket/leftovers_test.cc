// Whatever a small fabric has lived through: no timeline has a message twice or one that is retracted, and when
// everybody is deleted nothing is left.
#include "life.h"

using namespace canopy;
using bucket::Life;
using store::Table;

TEST_CASE("leftovers: no message is there twice or after its retraction, and of who was deleted nothing is left") {
  bucket::Bucket::Counters all;
  for (uint64_t seed = 1; seed <= 80; ++seed) {
    CAPTURE(seed);
    Life life(seed, {}, seed > 60);
    for (int i = 0; i < 150; ++i) {
      life.act();
      life.fate();
    }
    life.look();
    life.end();
    for (const Table table : {Table::entity_no, Table::entity, Table::sent, Table::message, Table::edge, Table::leaf_no, Table::leaf,
                              Table::applied, Table::followers, Table::delivery, Table::retired, Table::root, Table::tree, Table::stream,
                              Table::pending, Table::outbox, Table::mentions, Table::replies, Table::topic, Table::direct,
                              Table::list_head, Table::thread, Table::retain, Table::place, Table::backfill, Table::marker,
                              Table::alias_of, Table::forward, Table::forward_of, Table::ending, Table::lazy}) {
      CAPTURE(static_cast<char>(table));
      CHECK(life.desk.rows(table) == 0);
    }
    CHECK(life.desk.bodies_kept() == 0);
    all.add(life.desk.counters());
  }
  // It all happened.
  const std::pair<std::string, uint64_t> happened[] = {
      {"clones", all.clones}, {"clones_passed_on", all.clones_passed_on}, {"replies_to_nothing", all.replies_to_nothing},
      {"dropped_dead", all.dropped_dead}, {"retracted", all.retracted}, {"forwarded", all.forwarded},
      {"stream_repeats", all.stream_repeats}, {"hops_ended", all.hops_ended}, {"other_ways", all.other_ways},
      {"backfilled", all.backfilled}, {"redirects", all.redirects}, {"deleted", all.deleted}, {"trimmed", all.trimmed},
      {"parks", all.parks}, {"fetches", all.fetches}, {"letter_repeats", all.letter_repeats}, {"letter_gaps", all.letter_gaps},
      {"to_lazy", all.to_lazy}, {"to_pushed", all.to_pushed}, {"waited", all.waited}, {"waited_in_vain", all.waited_in_vain}};
  for (const auto& [what, times] : happened) {
    CAPTURE(what);
    CHECK(times > 0);
  }
}
