#include "sim/clients.h"

#include <algorithm>

#include "base/hash.h"
#include "base/limits.h"

namespace canopy::sim {
namespace {

// Beyond a request's own deadline: stalls of the node, and a commit that waits.
constexpr Duration answer_slack = Duration::of_s(8);

Duration wait_of(const wire::Request& request) {
  if (const auto* follow = std::get_if<wire::Follow>(&request)) return Duration::of_ms(follow->wait_ms);
  if (const auto* read = std::get_if<wire::Read>(&request)) return Duration::of_ms(read->wait_ms);
  return {};
}

}  // namespace

Ended ended_of(const Error& error) {
  switch (error.code) {
    case Code::timeout: return Ended::unknown;
    case Code::unavailable:
      return error.message.find("outcome is unknown") == std::string::npos ? Ended::untouched : Ended::unknown;
    case Code::busy:
    case Code::not_found: return Ended::untouched;
    default: throw Violation("a good request is not refused", std::string(code_name(error.code)) + ": " + error.message);
  }
}

void Clients::ask(Machine& machine, wire::Request request, Done done, std::vector<Code> refusals) {
  const uint64_t operation = ++last_;
  const std::string verb(wire::verb_of(request));
  trace_.add(schedule_.now(), "ask", operation, machine.index(), hash64(verb));
  ++counters_.asked;
  if (!machine.up()) return done({Ended::untouched, Error{Code::unavailable, "nobody listens", 0}});
  open_.emplace(operation, Open{machine.index(), verb, std::move(done), std::move(refusals), false});
  const Duration patience = limits::request_timeout + wait_of(request) + answer_slack;
  const auto encoding = random_.chance(10) ? wire::Encoding::json : wire::Encoding::msgpack;
  machine.on_client(operation, wire::encode_request(request, encoding));
  if (random_.chance(give_up_percent_)) {
    const Duration soon{static_cast<int64_t>(random_.below(300'000))};
    schedule_.after(soon, [this, operation] {
      const auto at = open_.find(operation);
      if (at == open_.end()) return;
      ++counters_.given_up;
      at->second.given_up = true;
      Done told = std::move(at->second.done);
      told({Ended::unknown, Error{Code::timeout, "given up", 0}});
    });
  }
  schedule_.after(patience, [this, operation] {
    if (open_.contains(operation))
      throw Violation("every request is answered", open_.at(operation).verb + " number " + std::to_string(operation));
  });
}

void Clients::on_answer(size_t machine, uint64_t operation, const wire::ReplyFrames& frames) {
  trace_.add(schedule_.now(), "answer", operation, machine, hash64(frames.status + frames.result));
  const auto at = open_.find(operation);
  if (at == open_.end()) throw Violation("a request is answered once", "number " + std::to_string(operation));
  auto reply = wire::decode_reply(at->second.verb, frames.status, frames.result);
  if (!reply) throw Violation("an answer can be read", at->second.verb + ": " + reply.error().message);
  Outcome outcome{Ended::done, std::move(*reply)};
  if (const auto* error = std::get_if<Error>(&outcome.reply)) {
    const auto& refusals = at->second.refusals;
    const bool refused = std::find(refusals.begin(), refusals.end(), error->code) != refusals.end();
    outcome.ended = refused ? Ended::untouched : ended_of(*error);
  }
  end(operation, std::move(outcome));
}

void Clients::on_ended(size_t machine) {
  std::vector<uint64_t> lost;
  for (const auto& [operation, open] : open_)
    if (open.machine == machine) lost.push_back(operation);
  for (const uint64_t operation : lost)
    end(operation, {Ended::unknown, Error{Code::unavailable, "the connection broke; the outcome is unknown", 0}});
}

void Clients::end(uint64_t operation, Outcome outcome) {
  auto node = open_.extract(operation);
  if (node.mapped().given_up) return;
  ++(outcome.ended == Ended::done ? counters_.done : outcome.ended == Ended::untouched ? counters_.untouched : counters_.unknown);
  // What the caller asks next must not run inside the machine that has just answered.
  ++telling_;
  schedule_.after(Duration{100}, [this, done = std::move(node.mapped().done), outcome = std::move(outcome)] {
    --telling_;
    done(outcome);
  });
}

}  // namespace canopy::sim
