// Lazy leaves: what is asked of a home waits until those that it follows have fetched. `Fresh` means: a
// message whose PUBLISH was answered before the request came is there. So a fetch counts for those who came
// before it was sent; its round says which these are.
#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "bucket/bucket.h"
#include "store/keys.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

// A root that can be reached answers in milliseconds, when a packet was lost in some hundred: a second covers two
// repeats, and who reads a page is not kept waiting longer for the sake of one author.
constexpr Duration freshen_wait = Duration::of_s(1);
// Nobody waits again for a root that has just not answered; any answer of it ends that.
constexpr Duration silence = Duration::of_s(5);

bool follows(const wire::Request& request) {
  return std::holds_alternative<wire::Follow>(request) || std::holds_alternative<wire::Forwarding>(request);
}
// What must not be done before a FOLLOW or FORWARD that came earlier.
bool undoes_follows(const wire::Request& request) {
  return std::holds_alternative<wire::Unfollow>(request) || std::holds_alternative<wire::Forwarding>(request) ||
         std::holds_alternative<wire::Delete>(request);
}

}  // namespace

// Returns whether the request has to wait (or was refused): then it comes again by work_ready().
bool Bucket::wait_for_leaves(const Ask& ask, Now now, const store::Reader& reader, Effects& effects) {
  const bool behind = follows_parked_ > 0 && undoes_follows(ask.request);
  std::map<LeafNo, std::string> leaves;
  if (!lazy_.empty() && !planted("lazy read served before its fetches ended")) leaves = needed(ask.request, reader);
  if (leaves.empty() && !behind) return false;
  if (parked_.size() >= limits::asks_parked_max || leaf_waits_ + leaves.size() > limits::leaf_waits_max) {
    effects.held.push_back(Answer{ask.ask, Error{Code::busy, "too many requests wait for messages that are being fetched", 100}});
    return true;
  }
  if (behind) {
    std::vector<uint64_t> earlier;
    for (const auto& [number, parked] : parked_)
      if (follows(parked.ask.request) && !parked.leaves.empty()) earlier.push_back(number);
    for (const uint64_t number : earlier) run_out(number);
  }
  ++counters_.waited;
  ParkedAsk& parked = parked_[ask.ask];
  parked.ask = ask;
  parked.until = std::min(ask.deadline, now.instant + freshen_wait);
  follows_parked_ += follows(ask.request);
  const uint64_t round = leaves_.next_round();
  for (const auto& [no, reflector] : leaves) {
    if (const auto silent = silent_.find(map_->bucket_of(reflector)); silent != silent_.end()) {
      if (silent->second > now.instant) {
        parked.missing.emplace(no, reflector);
        ask_newest(no, reflector, now, reader, effects);  // perhaps it answers the next one
        if (!awaited_.contains(no)) nobody_waits(no, reflector, true);
        continue;
      }
      silent_.erase(silent);
    }
    await(parked, no, reflector, round);
  }
  if (parked.leaves.empty()) ready_.push_back(ask.ask);
  else parked_until_.emplace(parked.until, ask.ask);
  fetch_awaited(now, reader, effects);
  return true;
}

void Bucket::await(ParkedAsk& parked, LeafNo no, const std::string& reflector, uint64_t round) {
  parked.leaves.insert(no);
  ++leaf_waits_;
  const auto [at, fresh] = awaited_.try_emplace(no);
  at->second.reflector = reflector;
  at->second.asks.emplace(parked.ask.ask, round);
  if (fresh) to_fetch_.push_back(no);
}

// The store is as after its last commit: what some leaves had fetched is not there any more.
void Bucket::wait_again(Now now, const store::Reader& reader) {
  awaited_.clear();
  to_fetch_.clear();
  parked_until_.clear();
  ready_.clear();
  leaf_waits_ = 0;
  for (auto& [number, parked] : parked_) {
    parked.leaves.clear();
    for (const auto& [no, reflector] : needed(parked.ask.request, reader)) {
      if (parked.missing.contains(no)) continue;
      if (leaf_waits_ < limits::leaf_waits_max) await(parked, no, reflector, leaves_.next_round());
      else parked.missing.emplace(no, reflector);
    }
    if (parked.leaves.empty()) ready_.push_back(number);
    else parked_until_.emplace(parked.until, number);
  }
  fetch_at_ = now.instant;
}

// The lazy leaves that must have fetched before the request is worked, with their reflectors.
std::map<LeafNo, std::string> Bucket::needed(const wire::Request& request, const store::Reader& reader) {
  std::map<LeafNo, std::string> leaves;
  const auto home_of = [&](const std::string& name) {
    const auto entity = entities_.find(name, reader);
    if (!entity || ending(*entity)) return;
    lazy_.followed_by(*entity, reader, [&](LeafNo no, const leaf::LazyLeaf& lazy) { leaves.emplace(no, lazy.reflector); });
  };
  // Who follows from now on is not to get what was published before.
  const auto leaf_of = [&](const std::string& name, const std::string& follower) {
    const leaf::Leaf* const leaf = leaves_.find(first_name(name), reader);
    if (!leaf || !lazy_.contains(leaf->no)) return;
    const auto known = entities_.find(follower, reader);
    if (!known || !reader.get(KeyBuilder(id_, Table::edge).add(*known).add(leaf->no))) leaves.emplace(leaf->no, leaf->reflector);
  };
  if (const auto* read = std::get_if<wire::Read>(&request); read && read->timeline == wire::Timeline::home) {
    for (const std::string& entity : read->entities) home_of(entity);
  } else if (const auto* mark = std::get_if<wire::Mark>(&request); mark && mark->timeline == wire::Timeline::home) {
    home_of(mark->entity);
  } else if (const auto* follow = std::get_if<wire::Follow>(&request)) {
    for (const wire::Pair& pair : follow->pairs) leaf_of(pair.author, pair.follower);
  } else if (const auto* forward = std::get_if<wire::Forwarding>(&request); forward && !forward->off) {
    leaf_of(forward->from, "");
  }
  return leaves;
}

// Those that have not asked yet do, as far as there is room.
void Bucket::fetch_awaited(Now now, const store::Reader& reader, Effects& effects) {
  while (!to_fetch_.empty() && leaves_.may_fetch()) {
    const LeafNo no = to_fetch_.front();
    to_fetch_.pop_front();
    if (const auto at = awaited_.find(no); at != awaited_.end()) ask_newest(no, at->second.reflector, now, reader, effects);
  }
}

void Bucket::ask_newest(LeafNo no, const std::string& reflector, Now now, const store::Reader& reader, Effects& effects) {
  leaf::Leaf* const leaf = leaves_.find(reflector, reader);
  if (!leaf || leaf->no != no) return leaf_gone(no);
  const BucketId root = map_->bucket_of(reflector);
  note_pushed(no, root, reader);
  leaf->wanted = true;
  std::vector<wire::Packet> packets;
  leaves_.fetch_missing(*leaf, root, now, awaited_.contains(no) && leaf->fetch_tries > 1, packets);  // one that was repeated may wait long
  counters_.fetches_waited_for += packets.size();
  send_all(std::move(packets), effects);
}

// A leaf that has asked for letters: fetches that are sent from now on find its root sending them.
void Bucket::note_pushed(LeafNo no, BucketId root, const store::Reader& reader) {
  leaf::LazyLeaf* const lazy = lazy_.find(no);
  if (lazy && lazy->leaving && lazy->pushed_from == 0 && channels_.acked(root, lazy->asked, reader)) lazy->pushed_from = leaves_.next_round();
}

// The answer to a fetch was applied.
void Bucket::freshened(leaf::Leaf& leaf, const wire::Fetched& fetched, const store::Reader& reader, Effects& effects) {
  silent_.erase(fetched.from);
  watch(leaf, reader);  // also when it brought nothing: who reads much and gets little had better be sent it
  const bool all = leaf.applied >= fetched.newest;
  if (const auto at = awaited_.find(leaf.no); at == awaited_.end()) {
    leaf.wanted = false;
  } else if (all) {
    std::vector<uint64_t> done;
    for (const auto& [ask, round] : at->second.asks)
      if (round <= fetched.round || planted("old answer taken for fresh")) done.push_back(ask);
    for (const uint64_t ask : done) {
      at->second.asks.erase(ask);
      no_longer_waits(ask, leaf.no);
    }
    if (at->second.asks.empty()) {
      awaited_.erase(at);
      leaf.wanted = false;
    }
  }
  const leaf::LazyLeaf* const lazy = lazy_.find(leaf.no);
  if (lazy && lazy->leaving && lazy->pushed_from != 0 && lazy->pushed_from <= fetched.round && all) lazy_.erase(leaf.no, effects.writes);
  else note_pushed(leaf.no, fetched.from, reader);
}

// The leaf is no more: nothing is missing of it.
void Bucket::leaf_gone(LeafNo leaf) {
  auto awaited = awaited_.extract(leaf);
  if (awaited.empty()) return;
  for (const auto& [ask, round] : awaited.mapped().asks) no_longer_waits(ask, leaf);
}

void Bucket::no_longer_waits(uint64_t ask, LeafNo leaf) {
  ParkedAsk& parked = parked_.at(ask);
  leaf_waits_ -= parked.leaves.erase(leaf);
  if (!parked.leaves.empty()) return;
  parked_until_.erase({parked.until, ask});
  ready_.push_back(ask);
}

// Nobody waits for the leaf any more: an open fetch that may bring nothing makes room for others, unless `once`:
// then it is not repeated.
void Bucket::nobody_waits(LeafNo no, const std::string& reflector, bool once) {
  leaf::Leaf* const leaf = leaves_.find_in_ram(leaf::ReflectorName(reflector));
  if (!leaf || leaf->no != no) return;
  leaf->wanted = false;
  if (!once && leaf->applied >= leaf->known) leaves_.fetch_done(*leaf);
}

// A request waits no longer; who did not answer is missing in its answer.
void Bucket::run_out(uint64_t ask) {
  ParkedAsk& parked = parked_.at(ask);
  for (const LeafNo no : std::exchange(parked.leaves, {})) {
    const auto at = awaited_.find(no);
    parked.missing.emplace(no, at->second.reflector);
    --leaf_waits_;
    at->second.asks.erase(ask);
    if (!at->second.asks.empty()) continue;
    nobody_waits(no, at->second.reflector, false);
    awaited_.erase(at);
  }
  parked_until_.erase({parked.until, ask});
  ready_.push_back(ask);
}

// Its time is over: the roots that were asked and did not answer are silent.
void Bucket::run_out_of_time(uint64_t ask, Now now) {
  for (const LeafNo no : parked_.at(ask).leaves) {
    const Awaited& awaited = awaited_.at(no);
    const leaf::Leaf* const leaf = leaves_.find_in_ram(leaf::ReflectorName(awaited.reflector));
    if (leaf && leaf->fetch_again != Instant::never()) silent_[map_->bucket_of(awaited.reflector)] = now.instant + silence;
  }
  run_out(ask);
}

void Bucket::unpark(uint64_t ask) {
  const auto at = parked_.find(ask);
  if (at == parked_.end()) return;
  if (!at->second.leaves.empty()) run_out(ask);
  std::erase(ready_, ask);
  follows_parked_ -= follows(at->second.ask.request);
  parked_.erase(at);
}

// One part of the request that is first: it sees what the steps before have written.
void Bucket::work_ready(Now now, const store::Reader& reader, Effects& effects) {
  if (!working_) {
    const auto at = parked_.find(ready_.front());
    ready_.pop_front();
    ASSERT(at != parked_.end() && at->second.leaves.empty());
    follows_parked_ -= follows(at->second.ask.request);
    working_ = std::move(at->second);
    parked_.erase(at);
    effects.ask = working_->ask.ask;
    counters_.waited_in_vain += !working_->missing.empty();
  }
  missing_ = &working_->missing;
  on(working_->ask, working_->part, now, reader, effects);
  missing_ = nullptr;
  if (++working_->part >= parts(working_->ask.request)) working_.reset();
}

void Bucket::add_incomplete(EntityNo entity, const store::Reader& reader, wire::TimelinePage& page) const {
  if (!missing_) return;
  for (const auto& [leaf, reflector] : *missing_) {
    if (page.incomplete.size() == limits::incomplete_max) return;
    if (reader.get(KeyBuilder(id_, Table::edge).add(entity).add(leaf))) page.incomplete.push_back(reflector);
  }
}

void Bucket::check_lazy() const {
  size_t waits = 0, waiting = 0, following = 0;
  for (const auto& [ask, parked] : parked_) {
    waits += parked.leaves.size();
    waiting += !parked.leaves.empty();
    following += follows(parked.ask.request);
    ASSERT(!asks_.contains(ask));
    for (const LeafNo no : parked.leaves) ASSERT(awaited_.at(no).asks.contains(ask));
    if (!parked.leaves.empty()) ASSERT(parked_until_.contains({parked.until, ask}));
  }
  ASSERT(waits == leaf_waits_ && waiting == parked_until_.size() && following == follows_parked_);
  ASSERT(parked_.size() == waiting + ready_.size());
  ASSERT(parked_.size() <= limits::asks_parked_max && leaf_waits_ <= limits::leaf_waits_max);
  for (const auto& [no, awaited] : awaited_) waits -= awaited.asks.size();
  ASSERT(waits == 0);
}

}  // namespace canopy::bucket
