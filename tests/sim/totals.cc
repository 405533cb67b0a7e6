#include "sim/sim.h"

namespace canopy::sim {
namespace {

// All that is counted, once, for sums, prints and the question what never happened.
template <class T, class F>
void each(T& t, F f) {
  auto& m = t.machines;
  auto& b = m.buckets;
  f("starts", m.starts), f("crashes", m.crashes);
  f("crashes between commit and send", m.crashes_between_commit_and_send);
  f("crashes between the commits of two shards", m.crashes_between_shards);
  f("failed commits", m.commits_failed), f("aborted batches", m.batches_aborted), f("cycles", m.cycles);
  f("checkpoints", m.checkpoints), f("sends lost in crashes", m.outs_lost);
  f("publishes", b.publishes), f("follows", b.follows), f("unfollows", b.unfollows), f("reads", b.reads);
  f("deliveries", b.deliveries), f("deliveries without a step", b.deliveries_plain), f("timelines written to", b.timeline_writes);
  f("deferred", b.rows_deferred), f("merges at a read", b.merges), f("rows merged", b.rows_merged), f("merged rows that were there", b.merge_repeats);
  f("reads too far behind to merge", b.merges_given_up), f("changes of a leaf's mode", b.mode_switches);
  f("leaves made lazy", b.to_lazy), f("leaves that want letters again", b.to_pushed), f("requests that waited for lazy leaves", b.waited);
  f("waited in vain", b.waited_in_vain), f("fetches waited for", b.fetches_waited_for);
  f("stream letters cut short", m.letters_cut), f("rows of deliveries trimmed", b.rows_trimmed);
  f("repeats", b.repeats), f("parks", b.parks);
  f("fetches", b.fetches), f("fetched", b.fetched), f("tails", b.tails), f("letters", b.letters);
  f("letter repeats", b.letter_repeats), f("letter gaps", b.letter_gaps);
  f("forwards", m.forwards), f("repeated forwards", m.forwards_repeated), f("frames timed out", m.frames_timed_out);
  f("sessions ended", m.sessions_ended), f("late answers", m.late_answers), f("relayed letters", m.relayed);
  f("frames sent", t.network.sent), f("frames dropped", t.network.dropped), f("frames repeated", t.network.repeated);
  f("frames late", t.network.late), f("frames cut", t.network.cut), f("frames held", t.network.held);
  f("requests", t.clients.asked), f("requests done", t.clients.done), f("requests untouched", t.clients.untouched);
  f("requests of unknown outcome", t.clients.unknown), f("requests given up", t.clients.given_up);
  f("messages", t.publishes), f("homes checked", t.homes_checked), f("entries checked", t.entries_checked);
  f("live entries", t.feed_entries), f("live beats", t.feed_beats), f("trees of three levels", t.trees_deep);
  if (supported.lists) {
    f("clones", b.clones), f("repeats in a list", b.clone_repeats), f("replies to nothing", b.replies_to_nothing);
    f("not shown by a second way", b.other_ways), f("lists checked", t.lists_checked);
  }
  if (supported.retract) {
    f("retractions", b.retractions), f("retractions in leaves", b.retracted), f("dead rows joined", b.rows_joined), f("overtaken by a retraction", b.dropped_dead);
    f("retractions asked for after a long absence", b.checked_dead);
    f("retracted", t.graph.retracted), f("refused to others", t.graph.refused_to_others), f("live retractions", t.feed_retractions);
  }
  if (supported.thread) f("threads", t.graph.threads), f("threads checked", t.threads_checked);
  if (supported.mark) f("marks", t.graph.marked), f("markers checked", t.markers_checked);
  if (supported.backfill)
    f("follows with backfill", t.graph.backfilled), f("backfilled", b.backfilled), f("left to the stream by a backfill", b.backfill_repeats);
  if (supported.retention) f("retains", t.graph.retained), f("trimmed from lists", b.trimmed);
  if (supported.forward) {
    f("forwards asked for", t.graph.forwards), f("forwarded", b.forwarded), f("ended: it has it already", b.stream_repeats);
    f("ended: too many hops", b.hops_ended);
  }
  if (supported.alias) {
    f("aliases", t.graph.aliases), f("aliases refused", t.graph.aliases_refused), f("requests by alias", t.graph.by_alias);
    f("requests moved", b.moved), f("redirects", b.redirects), f("clones passed on", b.clones_passed_on);
  }
  if (supported.erase) f("deletions asked for", t.graph.deleted), f("deletions", b.deleted), f("came for one that ends", b.dropped_ending);
}

}  // namespace

void Totals::add(const Totals& other) {
  runs += other.runs;
  events += other.events;
  std::vector<uint64_t> more;
  each(other, [&](const char*, const uint64_t& v) { more.push_back(v); });
  size_t i = 0;
  each(*this, [&](const char*, uint64_t& v) { v += more[i++]; });
}

std::vector<std::string> Totals::missing() const {
  std::vector<std::string> names;
  each(*this, [&](const char* name, const uint64_t& v) {
    if (v == 0) names.emplace_back(name);
  });
  return names;
}

std::string Totals::describe() const {
  std::string text = std::to_string(runs) + " runs, " + std::to_string(events) + " events\n";
  each(*this, [&](const char* name, const uint64_t& v) { text += "  " + std::string(name) + ": " + std::to_string(v) + "\n"; });
  return text;
}

}  // namespace canopy::sim
