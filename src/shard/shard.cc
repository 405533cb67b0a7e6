#include "shard/shard.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "shard/lane.h"
#include "shard/plain.h"

namespace canopy::shard {
namespace {

constexpr Duration report_interval = Duration::of_s(1);
constexpr uint32_t busy_retry_ms = 1'000;
constexpr Duration refused_pause = Duration::of_ms(200);
constexpr size_t batch_row_bytes = 32;  // of a delivery in a batch, about
// What a retraction costs, in timelines that a delivery is written to: at the author or in a leaf; for each timeline
// that it is looked for in, and for each line of one that it goes through beside the newest. Measured: 4 to 9 ns a
// delivery, 50 to 90 ns a look, 10 to 80 ns a line, by how they lie in memory.
constexpr uint64_t retraction_cost = 2'000, retraction_look_cost = 10, retraction_line_cost = 4;

size_t bytes_of(const store::Writes& writes) {
  size_t n = 0;
  for (const auto& w : writes.all()) n += 16 + w.key.size() + w.value.size() + (w.body ? w.body->size() : 0);
  return n;
}

// Of bodies in answers: they are in memory until the core has sent them.
size_t bytes_of(const Out& out) {
  const auto* answer = std::get_if<Answer>(&out);
  const auto* read = answer ? std::get_if<wire::ReadResult>(&answer->reply) : nullptr;
  size_t n = 0;
  if (!read) return n;
  for (const auto& one : read->pages)
    if (const auto* page = std::get_if<wire::TimelinePage>(&one))
      for (const auto& entry : page->entries) n += entry.message->size();
  return n;
}

// Only the newest acknowledgement of a channel says anything.
void drop_older_acks(std::vector<Out>& held) {
  std::set<std::pair<BucketId, BucketId>> seen;
  const auto older = [&](const Out& out) {
    const auto* depart = std::get_if<Depart>(&out);
    const auto* ack = depart ? std::get_if<wire::ChannelAck>(&depart->packet) : nullptr;
    return ack && !seen.emplace(ack->from, ack->to).second;
  };
  std::reverse(held.begin(), held.end());
  held.erase(std::remove_if(held.begin(), held.end(), older), held.end());
  std::reverse(held.begin(), held.end());
}

// Some of the buckets, each once.
class BucketSet {
 public:
  void insert(BucketId id) {
    if (has_.size() <= id.value()) has_.resize(id.value() + 1u);
    if (std::exchange(has_[id.value()], true)) return;
    all_.push_back(id);
  }
  bool contains(BucketId id) const { return id.value() < has_.size() && has_[id.value()]; }
  void clear() {
    for (const BucketId id : all_) has_[id.value()] = false;
    all_.clear();
  }
  const std::vector<BucketId>& all() const { return all_; }

 private:
  std::vector<char> has_;
  std::vector<BucketId> all_;
};

}  // namespace

struct Shard::Impl {
  Impl(store::Store& s, ShardOptions o) : store(s), options(std::move(o)) {}

  store::Store& store;
  ShardOptions options;
  MapRef map;
  NodeIndex self;
  std::map<BucketId, std::unique_ptr<bucket::Bucket>> buckets;
  // The same by number; when each wants a Tick, as it was when it was last asked.
  struct Slot {
    bucket::Bucket* bucket = nullptr;
    Instant due = Instant::never();
    bool ask = true;
  };
  std::vector<Slot> slots;
  BucketTable table;
  std::deque<In> inbox;
  // What goes behind the inbox, each with a quantum of its own: stream letters that were cut; retractions; either
  // with what is behind them in their streams. A stream is in one of them at most.
  Lane large, retractions;
  struct Retract {
    Ask ask;
    Instant since;
  };
  std::deque<Retract> retracts;          // requests for it
  // Of letters that were cut, by ticket: their leaves that did not take theirs so far.
  std::map<uint64_t, std::vector<BucketId>> unfinished;
  Instant report_at;
  bool space_low = false;
  uint64_t cycles = 0, commits = 0, commits_refused = 0, answered_busy = 0, letters_cut = 0;

  // Of the batch that is being made.
  std::vector<Out> held;
  std::vector<std::pair<uint64_t, BucketId>> asks;
  BucketSet touched;                     // has writes in it
  BucketSet stepped;
  size_t batch_bytes = 0;
  bucket::Effects effects;               // of one step: kept for its memory
  uint64_t spent = 0, quantum = 0;       // of this part of the cycle, in timelines that deliveries write to
  PlainDeliveries plain_deliveries;

  bucket::Bucket* find(BucketId id) const { return id.value() < table.size() ? table[id.value()] : nullptr; }

  // Returns when the bucket of a slot wants a Tick; never() without one.
  static Instant due(Slot& slot) {
    if (slot.bucket && std::exchange(slot.ask, false)) slot.due = slot.bucket->next_deadline();
    return slot.due;
  }

  // Steps one event through all its parts. Returns false when it was a stream item that was not taken.
  bool step(bucket::Bucket& bucket, BucketId id, const bucket::Event& event, Now now) {
    bool taken = true;
    stepped.insert(id);
    slots[id.value()].ask = true;
    const size_t parts = bucket::Bucket::parts(event);
    for (size_t part = 0; part < parts; ++part) {
      effects.clear();
      bucket.step(event, part, now, store, effects);
      if (!effects.writes.empty()) {
        batch_bytes += bytes_of(effects.writes);
        store.apply(id, effects.upto, effects.writes);
        touched.insert(id);
      }
      taken = effects.taken;
      for (const auto& out : effects.held) batch_bytes += bytes_of(out);
      std::move(effects.held.begin(), effects.held.end(), std::back_inserter(held));
    }
    while (bucket.due_at_once()) tick(bucket, id, now);
    return taken;
  }

  void tick(bucket::Bucket& bucket, BucketId id, Now now) {
    stepped.insert(id);
    slots[id.value()].ask = true;
    effects.clear();
    bucket.step(bucket::Tick{}, 0, now, store, effects);
    if (effects.ask != 0) asks.emplace_back(effects.ask, id);
    if (!effects.writes.empty()) {
      batch_bytes += bytes_of(effects.writes);
      store.apply(id, effects.upto, effects.writes);
      touched.insert(id);
    }
    std::move(effects.held.begin(), effects.held.end(), std::back_inserter(held));
  }

  void answer(uint64_t ask, Error error) { held.push_back(Answer{ask, std::move(error)}); }

  void on(Ask& ask, Now now) {
    if (std::holds_alternative<wire::Retract>(ask.request)) retracts.push_back({std::move(ask), now.instant});
    else do_ask(ask, now);
  }
  void do_ask(Ask& ask, Now now) {
    bucket::Bucket* const bucket = find(ask.bucket);
    if (!bucket) return answer(ask.ask, {Code::unavailable, "the bucket has moved", 100});
    if (ask.deadline <= now.instant) return;  // whoever asked has been told TIMEOUT
    const bool grows = std::holds_alternative<wire::Publish>(ask.request) || std::holds_alternative<wire::Follow>(ask.request);
    if (grows && space_low) {
      ++answered_busy;
      return answer(ask.ask, {Code::busy, "less than 10 % of the store's space is free", busy_retry_ms});
    }
    const uint64_t number = ask.ask;
    const BucketId id = ask.bucket;
    asks.emplace_back(number, id);
    step(*bucket, id, std::move(ask), now);
  }
  static uint64_t cost_so_far(const bucket::Bucket& bucket) {
    const auto& c = bucket.counters();
    return c.timeline_writes + retraction_cost * c.retracted + retraction_look_cost * c.retraction_looks +
           retraction_line_cost * c.retraction_lines;
  }
  void on(Forget& forget, Now now) {
    const BucketId id = forget.bucket;
    std::erase_if(retracts, [&](const Retract& waiting) { return waiting.ask.ask == forget.ask; });
    if (bucket::Bucket* const bucket = find(id)) step(*bucket, id, forget, now);
  }
  void on(Arrive& arrive, Now now) {
    const BucketId id = wire::packet_to(arrive.packet);
    bucket::Bucket* const bucket = find(id);
    if (!bucket) return;
    const uint64_t before = cost_so_far(*bucket);
    step(*bucket, id, std::move(arrive), now);
    spent += cost_so_far(*bucket) - before;  // what was fetched may be much
  }
  // A retraction waits for its turn, and what is behind one in its stream. Other letters go at once; when one is
  // large, it is cut and goes on in a lane.
  void on(Deliver& deliver, Now now) {
    const bool retraction = deliver.item.kind == wire::StreamItem::Kind::retraction;
    if (large.contains(deliver.reflector)) return large.add(std::move(deliver), now.instant);
    if (retraction || retractions.contains(deliver.reflector)) return retractions.add(std::move(deliver), now.instant, !retraction);
    const uint64_t whole = std::exchange(quantum, std::min(quantum, spent + options.cycle_timelines_max / 2 + 1));
    if (!deliver_some(deliver, now)) large.add(std::move(deliver), now.instant);
    quantum = whole;
  }
  void work(Lane& lane, Now now) {
    while (!lane.empty() && left() > 0) lane.next(!deliver_some(lane.front(), now));
  }
  // Ordinary work has had its quantum: this has its own, so that neither waits for the other to be over. It is smaller
  // when there was any, which then does not wait long for the next cycle.
  void work_behind(bool busy, Now now) {
    const auto begin = [&] {
      spent = 0;
      quantum = busy ? options.cycle_timelines_max * 2 / 5 + 1 : options.cycle_timelines_max;
    };
    begin();
    work(large, now);
    begin();
    work(retractions, now);
    for (size_t n = 0; !retracts.empty() && (n == 0 || left() > 0); ++n) {
      Retract next = std::move(retracts.front());
      retracts.pop_front();
      spent += retraction_cost;
      do_ask(next.ask, now);
    }
  }
  uint64_t left() const { return quantum - std::min(spent, quantum); }

  // The leaves for which it is the plain case get it in one batch, then the others a step each. Returns false
  // when so many followers' timelines were written to that the rest is for later cycles.
  bool deliver_some(Deliver& deliver, Now now) {
    Attempt attempt{deliver.ticket, {}, {}, true};
    if (const auto before = unfinished.extract(deliver.ticket)) attempt.before = std::move(before.mapped());
    std::vector<BucketId> not_taken = attempt.before, rest;

    const auto& plain = plain_deliveries.deliver(deliver.reflector, deliver.item, deliver.leaves, left(), table, store);
    for (const BucketId id : plain.delivered) {
      touched.insert(id);
      stepped.insert(id);
    }
    attempt.tried = plain.delivered;
    spent += plain.timeline_writes;
    if (!plain.delivered.empty())
      batch_bytes += plain.delivered.size() * batch_row_bytes + (deliver.item.message ? deliver.item.message->size() : 0);
    rest.assign(deliver.leaves.begin() + static_cast<ptrdiff_t>(plain.next), deliver.leaves.end());
    for (const BucketId id : plain.others) {
      bucket::Bucket* const bucket = find(id);
      if (bucket && left() == 0) {
        rest.push_back(id);
        continue;
      }
      const uint64_t before = bucket ? cost_so_far(*bucket) : 0;
      attempt.tried.push_back(id);
      if (!bucket || !step(*bucket, id, bucket::StreamIn{deliver.root, deliver.reflector, deliver.item}, now)) not_taken.push_back(id);
      if (bucket) spent += 1 + cost_so_far(*bucket) - before;
    }
    if (planted("cut letter loses its rest")) rest.clear();
    attempt.last = rest.empty();
    if (attempt.last) {
      held.push_back(Delivered{deliver.ticket, std::move(not_taken)});
    } else {
      ++letters_cut;
      unfinished[deliver.ticket] = std::move(not_taken);
      std::sort(rest.begin(), rest.end());
      deliver.leaves = std::move(rest);
    }
    attempts.push_back(std::move(attempt));
    return attempts.back().last;
  }
  void on(Pushed& pushed, Now now) {
    const BucketId id = pushed.root;
    if (bucket::Bucket* const bucket = find(id)) step(*bucket, id, std::move(pushed), now);
  }
  void on(Audience& audience, Now now) {
    const BucketId id = audience.bucket;
    if (bucket::Bucket* const bucket = find(id)) step(*bucket, id, std::move(audience), now);
  }
  void on(Turn& turn, Now now) {
    const BucketId id = turn.bucket;
    if (bucket::Bucket* const bucket = find(id)) step(*bucket, id, std::move(turn), now);
  }
  void on(NewMap& news, Now now) {
    map = news.map;
    self = news.self;
    const size_t homes = options.home_bytes_max / std::max<size_t>(1, news.buckets.size());
    for (const BucketId id : news.buckets) {
      if (bucket::Bucket* const bucket = find(id)) {
        bucket->on_map(map, self);
        bucket->limit_homes(homes);
        slots[id.value()].ask = true;
      } else {
        auto& fresh = buckets[id] = std::make_unique<bucket::Bucket>(id, map, self, bucket::BucketOptions{homes, options.active_window, options.modes}, store, now);
        if (slots.size() <= id.value()) slots.resize(id.value() + 1u);
        slots[id.value()] = {fresh.get()};
        if (table.size() <= id.value()) table.resize(id.value() + 1u);
        table[id.value()] = fresh.get();
      }
    }
  }
  void on(NodeUp& up, Now now) {
    for (auto& [id, bucket] : buckets) step(*bucket, id, up, now);
  }

  // What became of a stream letter in this cycle.
  struct Attempt {
    uint64_t ticket = 0;
    std::vector<BucketId> before;        // did not take theirs in earlier cycles
    std::vector<BucketId> tried;
    bool last = true;                    // a Delivered says the rest
  };
  std::vector<Attempt> attempts;
  std::vector<BucketId> reopened;        // by the cycle before: timelines that somebody tails are to be open again first

  // A full disk or map: nothing of the batch happened. RAM goes back to the store; everybody who asked
  // a bucket of it hears BUSY, what came from other buckets comes again.
  void undo(Now now) {
    ++commits_refused;
    // What they owe is taken up again after a pause: a full disk must not be asked without end.
    const Now later{now.instant + refused_pause, now.wall_ms};
    for (const BucketId id : touched.all()) {
      buckets.at(id)->reopen(store, later);
      slots[id.value()].ask = true;
      reopened.push_back(id);
    }
    std::set<uint64_t> busy, asked_now, untouched;
    for (const auto& [ask, id] : asks) (touched.contains(id) ? asked_now : untouched).insert(ask);
    std::vector<Out> out;
    for (auto& h : held) {
      auto* const a = std::get_if<Answer>(&h);
      if (!a) continue;
      if (untouched.contains(a->ask)) {  // it rests on earlier batches only: reads go on
        out.push_back(std::move(*a));
        continue;
      }
      if (asked_now.contains(a->ask)) {
        busy.insert(a->ask);
        continue;
      }
      // What it asked for is in an earlier batch; only what it waited for is undone, and comes again.
      if (auto* const follow = std::get_if<wire::FollowResult>(&a->reply)) {
        for (auto& state : follow->states)
          if (std::holds_alternative<wire::FollowState>(state)) state = wire::FollowState::pending;
      } else if (auto* const forwarding = std::get_if<wire::ForwardingResult>(&a->reply)) {
        forwarding->state = wire::FollowState::pending;
      } else if (std::holds_alternative<wire::ReadResult>(a->reply) || std::holds_alternative<wire::MarkResult>(a->reply)) {
        busy.insert(a->ask);
        continue;
      } else {
        a->reply = Error{Code::timeout, "the store is full: what was asked for goes on by itself; ask again", busy_retry_ms};
      }
      out.push_back(std::move(*a));
    }
    for (const auto& [ask, id] : asks) {
      if (untouched.contains(ask)) continue;
      effects.clear();
      buckets.at(id)->step(Forget{ask, id}, 0, now, store, effects);
      slots[id.value()].ask = true;
      busy.insert(ask);
    }
    for (Attempt& attempt : attempts) {
      auto not_taken = std::move(attempt.before);
      not_taken.insert(not_taken.end(), attempt.tried.begin(), attempt.tried.end());
      // The same letter may have been tried before in this batch: that is undone, too.
      if (const auto earlier = unfinished.extract(attempt.ticket))
        not_taken.insert(not_taken.end(), earlier.mapped().begin(), earlier.mapped().end());
      if (attempt.last) out.push_back(Delivered{attempt.ticket, std::move(not_taken)});
      else unfinished[attempt.ticket] = std::move(not_taken);
    }
    for (const uint64_t ask : busy)
      out.push_back(Answer{ask, Error{Code::busy, "the store is full: nothing of this was done", busy_retry_ms}});
    held = std::move(out);
  }

  void report(Now now) {
    report_at = now.instant + report_interval;
    const auto status = store.status();
    space_low = status.bytes_total > 0 && status.bytes_free < status.bytes_total / 10;
    bucket::Bucket::Counters c;
    uint64_t waiting = 0, pending = 0, letters = 0, homes = 0, entries = 0, home_bytes = 0, lazy = 0;
    for (const auto& [id, bucket] : buckets) {
      c.add(bucket->counters());
      waiting += bucket->waiting();
      pending += bucket->pending_roots();
      letters += bucket->letters_waiting();
      homes += bucket->materialised();
      entries += bucket->home_entries();
      home_bytes += bucket->home_bytes();
      lazy += bucket->lazy_leaves();
    }
    wire::StatusSection section{options.name, {}};
    const auto add = [&](const char* name, uint64_t value) { section.fields.emplace_back(name, value); };
    add("buckets", buckets.size());
    add("cycles", cycles), add("commits", commits), add("commits_refused", commits_refused), add("answered_busy", answered_busy);
    add("publishes", c.publishes), add("follows", c.follows), add("unfollows", c.unfollows), add("reads", c.reads);
    add("deliveries", c.deliveries), add("deliveries_plain", c.deliveries_plain), add("timeline_writes", c.timeline_writes), add("letters_cut", letters_cut),
    add("rows_deferred", c.rows_deferred), add("merges", c.merges), add("rows_merged", c.rows_merged);
    add("merge_repeats", c.merge_repeats), add("merges_given_up", c.merges_given_up), add("mode_switches", c.mode_switches);
    add("rows_trimmed", c.rows_trimmed), add("rows_joined", c.rows_joined), add("repeats", c.repeats), add("parks", c.parks), add("refused", c.refused);
    add("tails", c.tails), add("fetches", c.fetches), add("fetched", c.fetched);
    add("lazy_leaves", lazy), add("to_lazy", c.to_lazy), add("to_pushed", c.to_pushed), add("requests_waited", c.waited);
    add("requests_waited_in_vain", c.waited_in_vain), add("fetches_waited_for", c.fetches_waited_for);
    add("letters", c.letters), add("letter_repeats", c.letter_repeats), add("letter_gaps", c.letter_gaps);
    add("clones", c.clones), add("clone_repeats", c.clone_repeats), add("clones_passed_on", c.clones_passed_on);
    add("replies_to_nothing", c.replies_to_nothing), add("dropped_dead", c.dropped_dead), add("dropped_ending", c.dropped_ending);
    add("retractions", c.retractions), add("retracted", c.retracted), add("checked_dead", c.checked_dead);
    add("forwarded", c.forwarded), add("stream_repeats", c.stream_repeats), add("hops_ended", c.hops_ended), add("other_ways", c.other_ways);
    add("backfilled", c.backfilled), add("backfill_repeats", c.backfill_repeats), add("backfills_cut", c.backfills_cut);
    add("redirects", c.redirects), add("moved", c.moved), add("deleted", c.deleted), add("trimmed", c.trimmed);
    add("waiting_requests", waiting), add("pending_roots", pending), add("outbox_letters", letters);
    add("materialised_timelines", homes), add("timeline_entries", entries), add("timeline_bytes", home_bytes), add("inbox", inbox.size());
    const auto age_ms = [&](Instant since) { return since == Instant::never() ? 0 : static_cast<uint64_t>((now.instant - since).ms()); };
    add("lane_letters", large.letters()), add("lane_age_ms", age_ms(large.oldest()));
    add("retractions_waiting", retractions.letters() + retracts.size());
    add("retractions_age_ms", age_ms(std::min(retractions.oldest(), retracts.empty() ? Instant::never() : retracts.front().since)));
    add("overlay_bytes", status.overlay_bytes), add("journal_bytes", status.journal_bytes);
    add("batches", status.batches), add("checkpoint_slices", status.slices), add("bodies", status.bodies);
    add("bytes_free", status.bytes_free);
    held.push_back(Report{std::move(section)});
  }
};

Shard::Shard(store::Store& store, ShardOptions options) : impl_(std::make_unique<Impl>(store, std::move(options))) {}
Shard::~Shard() = default;

void Shard::push(In in) { impl_->inbox.push_back(std::move(in)); }
size_t Shard::queued() const { return impl_->inbox.size() + impl_->large.letters() + impl_->retractions.letters() + impl_->retracts.size(); }
uint64_t Shard::letters_cut() const { return impl_->letters_cut; }

Result<void> Shard::cycle(Now now, std::vector<Out>& out) {
  Impl& shard = *impl_;
  ++shard.cycles;
  shard.asks.clear();
  shard.touched.clear();
  shard.stepped.clear();
  shard.attempts.clear();
  shard.spent = 0;
  shard.quantum = shard.options.cycle_timelines_max;
  shard.batch_bytes = 0;
  ASSERT(shard.held.empty());

  for (const BucketId id : std::exchange(shard.reopened, {}))
    while (shard.find(id)->due_at_once()) shard.tick(*shard.find(id), id, now);
  size_t events = 0;
  for (; events < shard.options.cycle_events_max && !shard.inbox.empty() && shard.batch_bytes < shard.options.cycle_bytes_max && shard.left() > 0; ++events) {
    In in = std::move(shard.inbox.front());
    shard.inbox.pop_front();
    std::visit([&](auto& event) { shard.on(event, now); }, in);
  }
  shard.work_behind(events > 0, now);
  for (size_t i = 0; i < shard.slots.size(); ++i)
    if (Impl::due(shard.slots[i]) <= now.instant) {
      const BucketId id(static_cast<uint16_t>(i));
      bucket::Bucket& bucket = *shard.slots[i].bucket;
      shard.tick(bucket, id, now);
      // What this tick put off must be done before the next event: a timeline that it dropped is open again.
      while (bucket.due_at_once()) shard.tick(bucket, id, now);
    }
  if (shard.report_at <= now.instant) shard.report(now);

  if (planted("reply before commit")) {
    // Replies leave before what they rest on is durable.
    std::move(shard.held.begin(), shard.held.end(), std::back_inserter(out));
    shard.held.clear();
  }
  // The planted bug for a real daemon, whose replies are handed over only after the cycle.
  if (shard.store.dirty() && !(planted("commit a cycle late") && shard.cycles % 2 != 0)) {
    ++shard.commits;
    if (auto committed = shard.store.commit(); !committed) {
      if (committed.error().code != Code::busy) return committed;
      shard.undo(now);
    }
  }
  drop_older_acks(shard.held);
  std::move(shard.held.begin(), shard.held.end(), std::back_inserter(out));
  shard.held.clear();
  return {};
}

Instant Shard::next_deadline() const {
  if (queued() > 0) return Instant();
  Instant next = impl_->report_at;
  for (auto& slot : impl_->slots) next = std::min(next, Impl::due(slot));
  return next;
}

void Shard::check(bool all) const {
  for (const auto& [id, bucket] : impl_->buckets)
    if (all || impl_->stepped.contains(id)) bucket->check(impl_->store);
}

const bucket::Bucket* Shard::find(BucketId bucket) const { return impl_->find(bucket); }

}  // namespace canopy::shard
