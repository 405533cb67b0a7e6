#include "client/session.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"

namespace canopy {
namespace {

constexpr int64_t rest_ms_min = 25;    // doubled with each BUSY in a row, up to the maximum
constexpr int64_t rest_ms_max = 2000;  // unless the fabric asks for more
constexpr Duration hold = Duration::of_ms(100);  // after a lost connection

Duration wait_of(const wire::Request& request) {
  if (const auto* follow = std::get_if<wire::Follow>(&request)) return Duration::of_ms(follow->wait_ms);
  if (const auto* read = std::get_if<wire::Read>(&request)) return Duration::of_ms(read->wait_ms);
  return {};
}

// Only a publish without a key does more when it is done twice.
bool is_repeatable(const wire::Request& request) {
  const auto* publish = std::get_if<wire::Publish>(&request);
  if (!publish) return true;
  return std::all_of(publish->messages.begin(), publish->messages.end(),
                     [](const wire::Message& message) { return !message.key.empty(); });
}

std::vector<std::string> packet_of(Session::Ticket ticket, wire::RequestFrames frames) {
  std::vector<std::string> packet(4);
  put_be64(packet[0], ticket);  // comes back before the answer
  packet[2] = std::move(frames.verb);
  packet[3] = std::move(frames.args);
  if (frames.body) packet.push_back(std::move(*frames.body));
  return packet;
}

}  // namespace

Session::Ticket Session::submit(const wire::Request& request, Instant now) {
  const Ticket ticket = ++last_;
  Pending pending;
  pending.verb = wire::verb_of(request);
  pending.packet = packet_of(ticket, wire::encode_request(request, wire::Encoding::msgpack));
  pending.repeatable = is_repeatable(request);
  pending.submitted = now;
  pending.deadline = now + settings_.timeout + wait_of(request);
  timers_.emplace(pending.deadline, ticket);
  ready_.insert(ticket);
  pending_.emplace(ticket, std::move(pending));
  return ticket;
}

std::optional<Session::Ticket> Session::next_to_send() const {
  if (held_until_ || ready_.empty() || in_flight_ >= settings_.in_flight_max) return std::nullopt;
  return *ready_.begin();
}

void Session::on_sent(Ticket ticket) {
  Pending& pending = pending_.at(ticket);
  ASSERT(pending.stage == Stage::ready);
  ready_.erase(ticket);
  pending.stage = Stage::in_flight;
  pending.was_sent = true;
  ++in_flight_;
  blocked_since_.reset();
}

void Session::on_blocked(Instant now) {
  if (!blocked_since_) blocked_since_ = now;
}

void Session::on_packet(const std::vector<std::string_view>& frames, Instant now) {
  if (frames.size() < 4 || frames[0].size() != 8 || !frames[1].empty()) {
    ++dropped_;
    return;
  }
  const Ticket ticket = Cursor(frames[0]).be64();
  const auto at = pending_.find(ticket);
  if (at == pending_.end()) {
    ++dropped_;
    return;
  }
  Result<wire::Reply> reply = wire::decode_reply(at->second.verb, frames[2], frames[3]);
  if (!reply) return finish(at, Outcome::unreadable, std::move(reply.error()));
  if (const auto* error = std::get_if<Error>(&*reply); error && rest(ticket, at->second, *error, now)) return;
  finish(at, Outcome::answered, std::move(*reply));
}

// Returns whether the request rests, to be sent again: after BUSY, when there is time for it.
bool Session::rest(Ticket ticket, Pending& pending, const Error& error, Instant now) {
  if (error.code != Code::busy || !settings_.retry_busy) return false;
  if (pending.stage != Stage::in_flight) return true;  // a second answer; it is on its way already
  const int64_t grown = std::min(rest_ms_min << std::min(pending.busy_count, 10u), rest_ms_max);
  const Instant until = now + Duration::of_ms(std::max<int64_t>(error.retry_after_ms, grown));
  if (until >= pending.deadline) return false;
  ++pending.busy_count;
  --in_flight_;
  pending.stage = Stage::resting;
  pending.rest_until = until;
  timers_.emplace(until, ticket);
  return true;
}

void Session::on_disconnected(bool only_one, Instant now) {
  held_until_ = now + hold;
  std::vector<Ticket> lost;
  for (const auto& [ticket, pending] : pending_)
    if (pending.stage == Stage::in_flight && (pending.repeatable || only_one)) lost.push_back(ticket);
  std::sort(lost.begin(), lost.end());
  for (const Ticket ticket : lost) {
    const auto at = pending_.find(ticket);
    if (at->second.repeatable)
      make_ready(ticket, at->second);
    else
      give_up(at);
  }
}

void Session::make_ready(Ticket ticket, Pending& pending) {
  if (pending.stage == Stage::in_flight) --in_flight_;
  pending.stage = Stage::ready;
  ready_.insert(ticket);
}

void Session::on_time(Instant now) {
  if (held_until_ && *held_until_ <= now) held_until_.reset();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const Ticket ticket = timers_.begin()->second;
    const auto at = pending_.find(ticket);
    ASSERT(at != pending_.end());
    Pending& pending = at->second;
    if (now >= pending.deadline) {
      give_up(at);
      continue;
    }
    timers_.erase(timers_.begin());
    if (pending.stage == Stage::resting && now >= pending.rest_until) make_ready(ticket, pending);
  }
  while (blocked_since_ && !ready_.empty()) {
    const auto at = pending_.find(*ready_.begin());
    if (std::max(*blocked_since_, at->second.submitted) + settings_.connect_timeout > now) break;
    give_up(at);
  }
}

Instant Session::next_time() const {
  Instant next = timers_.empty() ? Instant::never() : timers_.begin()->first;
  if (held_until_) next = std::min(next, *held_until_);
  if (blocked_since_ && !ready_.empty()) {
    const Pending& oldest = pending_.at(*ready_.begin());
    next = std::min(next, std::max(*blocked_since_, oldest.submitted) + settings_.connect_timeout);
  }
  return next;
}

void Session::give_up(Pendings::iterator at) {
  const bool reached = at->second.was_sent || !blocked_since_;  // else it waited for a connection
  finish(at, reached ? Outcome::no_answer : Outcome::unreachable, Error{});
}

void Session::finish(Pendings::iterator at, Outcome outcome, wire::Reply reply) {
  const Ticket ticket = at->first;
  const Pending& pending = at->second;
  if (pending.stage == Stage::in_flight) --in_flight_;
  ready_.erase(ticket);
  timers_.erase({pending.deadline, ticket});
  timers_.erase({pending.rest_until, ticket});
  done_.push_back({ticket, outcome, std::move(reply)});
  pending_.erase(at);
}

std::optional<Session::Done> Session::take() {
  if (done_.empty()) return std::nullopt;
  Done done = std::move(done_.front());
  done_.pop_front();
  return done;
}

std::optional<Session::Done> Session::take(Ticket ticket) {
  const auto at = std::find_if(done_.begin(), done_.end(), [&](const Done& done) { return done.ticket == ticket; });
  if (at == done_.end()) return std::nullopt;
  Done done = std::move(*at);
  done_.erase(at);
  return done;
}

}  // namespace canopy
