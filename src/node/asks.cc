#include "node/asks.h"

#include <algorithm>

#include "base/assert.h"

namespace canopy::node {
namespace {

wire::Reply unavailable(std::string message) { return Error{Code::unavailable, std::move(message), 500}; }

const char* unknown_outcome(bool publish) {
  return publish ? "; the outcome is unknown: publish again with the same `key`, which is carried out once"
                 : "; the outcome is unknown: it is safe to repeat the request";
}

}  // namespace

void Asks::ask(Now now, Purpose purpose, BucketId bucket, wire::Request request, Instant deadline, Output& out) {
  ASSERT(place_.exists(bucket));
  const uint64_t number = ++last_number_;
  Entry& entry = entries_.add(number);
  entry.purpose = purpose;
  entry.bucket = bucket;
  entry.deadline = deadline;
  entry.publish = std::holds_alternative<wire::Publish>(request);
  if (const auto* read = std::get_if<wire::Read>(&request)) entry.long_poll = read->wait_ms > 0;
  next_expiry_ = std::min(next_expiry_, deadline);
  route(now, number, entry, std::move(request), out);
}

// The way is looked up each time one is sent or sent again. May end the entry.
void Asks::route(Now now, uint64_t number, Entry& entry, wire::Request request, Output& out) {
  if (place_.mine(entry.bucket)) {
    entry.where = Where::shard;
    out.shards.push_back({place_.shard(entry.bucket), shard::Ask{number, entry.bucket, std::move(request), entry.deadline}});
    return;
  }
  const NodeIndex owner = place_.map->owner(entry.bucket);
  const Peer* peer = links_.with_session(owner);
  if (peer == nullptr) {
    end(number, unavailable("node \"" + place_.map->node(owner).name + "\", which has bucket " +
                            std::to_string(entry.bucket.value()) + ", cannot be reached now"), true);
    return;
  }
  wire::Forward forward;
  forward.request = number;
  forward.remaining_ms = static_cast<uint32_t>(std::max<int64_t>(1, (entry.deadline - now.instant).ms()));
  forward.map_version = place_.version();
  forward.body = request;
  if (!frames_.send(peer->no, std::move(forward))) {
    end(number, Error{Code::busy, "too much is waiting for node \"" + peer->hello.node + "\"", 100}, true);
    return;
  }
  ++counters_.forwards_sent;
  entry.where = Where::peer;
  entry.peer = peer->no;
  entry.request = std::move(request);
}

void Asks::on_forward(Now now, const Peer& from, wire::Forward forward, BucketId bucket, Output& out) {
  if (seen_.size() > 2 * limits::nodes_max) std::erase_if(seen_, [this](const auto& e) { return links_.peer(e.first) == nullptr; });
  if (seen_[from.no].repeated(from.hello.boot, forward.request)) {
    ++counters_.forwards_repeated;
    return;
  }
  ++counters_.forwards_taken;
  if (!place_.mine(bucket)) {
    ++counters_.forwards_not_owner;
    frames_.send(from.no, wire::ForwardReply{forward.request, true, place_.version(),
                                             unavailable("this node does not have the bucket")});
    return;
  }
  if (entries_.size() >= 2 * limits::requests_in_flight_max) {
    frames_.send(from.no, wire::ForwardReply{forward.request, false, place_.version(),
                                             Error{Code::busy, "too many requests are in flight", 100}});
    return;
  }
  constexpr int64_t longest = limits::request_timeout.ms() + limits::wait_ms_max;
  const Instant deadline = now.instant + Duration::of_ms(std::min<int64_t>(forward.remaining_ms, longest));
  const Purpose purpose{Purpose::Kind::peer, forward.request, 0, from.no, from.hello.boot};
  ask(now, purpose, bucket, std::move(forward.body), deadline, out);
}

bool Asks::Seen::repeated(uint64_t session_boot, uint64_t number) {
  if (bits.empty() || boot != session_boot) {
    boot = session_boot;
    highest = 0;
    bits.assign(forwards_window, false);
  }
  if (number > highest) {
    const uint64_t passed = std::min<uint64_t>(number - highest, forwards_window);
    for (uint64_t i = 0; i < passed; ++i) bits[(number - i) % forwards_window] = false;
    highest = number;
  } else if (number == 0 || highest - number >= forwards_window) {
    return true;  // so old that its sender has given it up
  }
  if (bits[number % forwards_window]) return true;
  bits[number % forwards_window] = true;
  return false;
}

void Asks::on_answer(shard::Answer answer) {
  const Entry* entry = entries_.find(answer.ask);
  if (entry == nullptr || entry->where != Where::shard) {
    ++counters_.answers_late;
    return;
  }
  end(answer.ask, std::move(answer.reply), false);
}

void Asks::on_forward_reply(Now now, PeerNo from, wire::ForwardReply reply) {
  Entry* asked = entries_.find(reply.request);
  if (asked == nullptr || asked->where != Where::peer || asked->peer != from) {
    ++counters_.answers_late;
    return;
  }
  if (!reply.not_owner) {
    end(reply.request, std::move(reply.body), false);
    return;
  }
  Entry& entry = *asked;  // one of the two maps is older: wait for the newer one
  entry.where = Where::pause;
  entry.again = now.instant + not_owner_pause;
  next_expiry_ = std::min(next_expiry_, std::min(entry.again, entry.deadline));
}

// Done is taken by the front, which knows what its requests are made of.
void Asks::end(uint64_t number, wire::Reply reply, bool untouched) {
  done_.push_back({entries_.at(number).purpose, std::move(reply), untouched});
  entries_.erase(number);
}

void Asks::on_session_ended(PeerNo peer, Output& out) {
  const std::vector<uint64_t> lost = numbers_where([&](const Entry& entry) {
    return (entry.where == Where::peer && entry.peer == peer) ||
           (entry.purpose.kind == Purpose::Kind::peer && entry.purpose.peer == peer);
  });
  const Peer* was = links_.peer(peer);
  const std::string name = was == nullptr ? "" : was->hello.node;
  for (const uint64_t number : lost) {
    const Entry& entry = entries_.at(number);
    if (entry.purpose.kind == Purpose::Kind::peer) {  // the one who asked does not wait any more
      out.shards.push_back({place_.shard(entry.bucket), shard::Forget{number, entry.bucket}});
      entries_.erase(number);
      continue;
    }
    ++counters_.requests_outcome_unknown;
    end(number, unavailable("the link to node \"" + name + "\" broke before its answer came" +
                            unknown_outcome(entry.publish)), false);
  }
}

void Asks::on_time(Now now, Output& out) {
  if (now.instant < next_deadline()) return;
  last_expiry_ = now.instant;
  const std::vector<uint64_t> due = numbers_where([&](const Entry& entry) {
    return entry.deadline <= now.instant || (entry.where == Where::pause && entry.again <= now.instant);
  });
  for (const uint64_t number : due) {
    Entry& entry = entries_.at(number);
    if (entry.deadline <= now.instant) {
      expire(number, out);
      continue;
    }
    entry.again = Instant::never();
    wire::Request request = std::move(*entry.request);
    entry.request.reset();
    route(now, number, entry, std::move(request), out);
  }
  next_expiry_ = Instant::never();
  entries_.each([this](uint64_t, const Entry& entry) {  // a minimum: the order of the walk does not show
    next_expiry_ = std::min({next_expiry_, entry.deadline, entry.again});
  });
}

void Asks::expire(uint64_t number, Output& out) {
  const Entry& entry = entries_.at(number);
  if (entry.where == Where::shard) out.shards.push_back({place_.shard(entry.bucket), shard::Forget{number, entry.bucket}});
  if (entry.purpose.kind == Purpose::Kind::peer) {  // its node has the same deadline
    entries_.erase(number);
    return;
  }
  ++counters_.requests_timed_out;
  if (entry.where == Where::pause) {
    end(number, unavailable("the nodes do not agree yet who has bucket " + std::to_string(entry.bucket.value())), true);
    return;
  }
  end(number, Error{Code::timeout, std::string("no answer in time") + unknown_outcome(entry.publish), 0}, false);
}

void Asks::end_long_polls(Output& out) {
  for (const uint64_t number : numbers_where([](const Entry& entry) { return entry.long_poll; })) {
    const Entry& entry = entries_.at(number);
    if (entry.where == Where::shard) out.shards.push_back({place_.shard(entry.bucket), shard::Forget{number, entry.bucket}});
    end(number, unavailable("the node is stopping; ask another one"), true);
  }
}

Instant Asks::next_deadline() const {
  return next_expiry_ == Instant::never() ? next_expiry_ : std::max(next_expiry_, last_expiry_ + expiry_every_min);
}

template <class Wanted>
std::vector<uint64_t> Asks::numbers_where(const Wanted& wanted) const {
  std::vector<uint64_t> numbers;
  entries_.each([&](uint64_t number, const Entry& entry) {
    if (wanted(entry)) numbers.push_back(number);
  });
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::optional<Asks::Done> Asks::take_done() {
  if (done_.empty()) return std::nullopt;
  Done done = std::move(done_.front());
  done_.pop_front();
  return done;
}

}  // namespace canopy::node
