#include "node/front.h"

#include <algorithm>
#include <numeric>

#include "base/assert.h"
#include "base/limits.h"
#include "node/answers.h"
#include "node/errors.h"
#include "node/leaf_survey.h"
#include "node/lookup_survey.h"
#include "node/thread_survey.h"
#include "node/unfollow_survey.h"

namespace canopy::node {
namespace {

Instant deadline_of(Now now, const wire::Request& request) {
  int64_t wait_ms = 0;
  if (const auto* follow = std::get_if<wire::Follow>(&request)) wait_ms = follow->wait_ms;
  if (const auto* read = std::get_if<wire::Read>(&request)) wait_ms = read->wait_ms;
  return now.instant + limits::request_timeout + Duration::of_ms(std::min(wait_ms, limits::wait_ms_max));
}

// The bucket of a request that one bucket answers whole; nothing for one that has parts.
std::optional<BucketId> bucket_of_request(const map::BucketMap& map, const wire::Request& request) {
  return std::visit(
      [&](const auto& one) -> std::optional<BucketId> {
        using One = std::decay_t<decltype(one)>;
        constexpr bool by_id = std::is_same_v<One, wire::Get> || std::is_same_v<One, wire::Thread>;
        constexpr bool by_entity = std::is_same_v<One, wire::Following> || std::is_same_v<One, wire::Leaves> ||
                                   std::is_same_v<One, wire::Lookup> || std::is_same_v<One, wire::Delete> ||
                                   std::is_same_v<One, wire::Mark> || std::is_same_v<One, wire::Retain> ||
                                   std::is_same_v<One, wire::Alias>;
        if constexpr (by_id) return one.id.bucket();
        else if constexpr (by_entity) return map.bucket_of(one.entity);
        else if constexpr (std::is_same_v<One, wire::Leaf>) return one.bucket;
        else if constexpr (std::is_same_v<One, wire::Retract>) return map.bucket_of(one.author);
        else if constexpr (std::is_same_v<One, wire::Forwarding>) return map.bucket_of(one.to);
        else return std::nullopt;
      },
      request);
}

// The message that a request is about, if it names one.
std::optional<MessageId> message_of(const wire::Request& request) {
  if (const auto* get = std::get_if<wire::Get>(&request)) return get->id;
  if (const auto* thread = std::get_if<wire::Thread>(&request)) return thread->id;
  if (const auto* retract = std::get_if<wire::Retract>(&request)) return retract->id;
  return std::nullopt;
}

size_t elements_of(const wire::Request& request) {
  if (const auto* publish = std::get_if<wire::Publish>(&request)) return publish->messages.size();
  if (const auto* follow = std::get_if<wire::Follow>(&request)) return follow->pairs.size();
  if (const auto* unfollow = std::get_if<wire::Unfollow>(&request)) return unfollow->pairs.size();
  if (const auto* read = std::get_if<wire::Read>(&request)) return read->entities.size();
  return 0;
}

// The one bucket of a request that a peer passed on: all that it touches must be in it.
std::optional<BucketId> bucket_of_forward(const map::BucketMap& map, const wire::Request& request) {
  if (const auto whole = bucket_of_request(map, request)) return whole;
  std::optional<BucketId> bucket;
  const auto touch = [&](const std::string& entity) {
    const BucketId one = map.bucket_of(entity);
    if (bucket && *bucket != one) return false;
    bucket = one;
    return true;
  };
  bool together = true;
  if (const auto* publish = std::get_if<wire::Publish>(&request))
    for (const auto& message : publish->messages) together = together && touch(message.author);
  if (const auto* follow = std::get_if<wire::Follow>(&request))
    for (const auto& pair : follow->pairs) together = together && touch(pair.follower);
  if (const auto* unfollow = std::get_if<wire::Unfollow>(&request))
    for (const auto& pair : unfollow->pairs) together = together && touch(pair.follower);
  if (const auto* read = std::get_if<wire::Read>(&request))
    for (const auto& entity : read->entities) together = together && touch(entity);
  return together ? bucket : std::nullopt;
}

// A single request is answered with its error, not with a list of one.
wire::Reply unwrap(wire::Reply reply) {
  const auto single_error = [](auto& results, bool batch) -> const Error* {
    return batch || results.size() != 1 ? nullptr : std::get_if<Error>(&results[0]);
  };
  const Error* error = nullptr;
  if (auto* publish = std::get_if<wire::PublishResult>(&reply)) error = single_error(publish->results, publish->batch);
  if (auto* follow = std::get_if<wire::FollowResult>(&reply)) error = single_error(follow->states, follow->batch);
  if (auto* unfollow = std::get_if<wire::UnfollowResult>(&reply)) error = single_error(unfollow->removed, unfollow->batch);
  if (auto* read = std::get_if<wire::ReadResult>(&reply)) error = single_error(read->pages, read->batch);
  if (error == nullptr) return reply;
  Error copy = *error;
  return copy;
}

}  // namespace

void Front::on_client(Now now, std::vector<std::string> route, const std::vector<std::string_view>& frames,
                      const std::optional<std::string>& refusal, Output& out) {
  ++counters_.requests;
  const wire::Encoding encoding = frames.size() > 1 ? wire::encoding_of(frames[1]) : wire::Encoding::msgpack;
  const auto refuse = [&](const Error& error) {
    ++counters_.requests_refused;
    reply(std::move(route), encoding, error, out);
  };
  const map::FabricSettings& settings = place_.known() ? place_.map->settings : options_.settings;
  auto request = wire::decode_request(frames, {static_cast<size_t>(settings.body_max), false});
  if (!request) return refuse(request.error());
  if (std::holds_alternative<wire::Status>(*request)) return reply(std::move(route), encoding, status_(), out);
  if (refusal) return refuse({Code::unavailable, *refusal, 500});
  if (const auto here = answer_here(*request)) return reply(std::move(route), encoding, *here, out);
  if (asks_.in_flight() >= limits::requests_in_flight_max)
    return refuse({Code::busy, "too many requests are in flight at this node", 100});
  size_t bytes = 0;
  for (const std::string_view frame : frames) bytes += frame.size();
  if (bytes_in_flight_ > 0 && bytes_in_flight_ + bytes > limits::request_bytes_in_flight_max)
    return refuse({Code::busy, "too many bytes of requests are in flight at this node", 100});
  const Instant deadline = deadline_of(now, *request);
  begin(now, Request{std::move(route), encoding, deadline, bytes, request->index(), 0, std::nullopt, nullptr, {}},
        std::move(*request), out);
  settle(now, out);
}

std::optional<wire::Reply> Front::answer_here(const wire::Request& request) {
  if (std::holds_alternative<wire::Ping>(request)) return answer_ping(options_, place_);
  if (const auto* map = std::get_if<wire::Map>(&request)) return answer_map(place_, links_, *map);
  if (const auto id = message_of(request); id && !place_.exists(id->bucket()))
    return Error{Code::not_found, "id: there is no message " + std::to_string(id->packed()), 0};
  if (const auto* tree = std::get_if<wire::Tree>(&request); tree != nullptr && tree->fanout == 1)
    return Error{Code::bad_request, "fanout: a reflector has at least 2 children, 1 was given", 0};
  return std::nullopt;
}

Front::Request& Front::keep(Request client) {
  bytes_in_flight_ += client.bytes;
  Request& kept = requests_.add(++last_number_);
  kept = std::move(client);
  return kept;
}

std::unique_ptr<Survey> Front::survey_of(const wire::Request& request) const {
  if (const auto* followers = std::get_if<wire::Followers>(&request)) return std::make_unique<LeafSurvey>(place_.map, *followers);
  if (const auto* tree = std::get_if<wire::Tree>(&request)) return std::make_unique<LeafSurvey>(place_.map, *tree);
  if (const auto* thread = std::get_if<wire::Thread>(&request)) return std::make_unique<ThreadSurvey>(place_.map, *thread);
  if (const auto* unfollow = std::get_if<wire::Unfollow>(&request); unfollow != nullptr && !unfollow->batch)
    return std::make_unique<UnfollowSurvey>(place_.map, *unfollow);
  if (const auto* lookup = std::get_if<wire::Lookup>(&request)) return std::make_unique<LookupSurvey>(place_, *lookup);
  return nullptr;
}

void Front::begin(Now now, Request client, wire::Request request, Output& out) {
  if (auto survey = survey_of(request)) {
    client.survey = std::move(survey);
    Request& kept = keep(std::move(client));
    return go_on(now, last_number_, kept, out);
  }
  // Most have one element and one reply: nothing is split and nothing gathered.
  if (const auto bucket = bucket_of_one(*place_.map, request)) {
    Request& kept = keep(std::move(client));
    return ask_part(now, last_number_, kept, {*bucket, std::move(request), {}}, 0, out);
  }
  std::vector<uint32_t> indices(elements_of(request));
  std::iota(indices.begin(), indices.end(), 0u);
  if (indices.empty() && !bucket_of_request(*place_.map, request))
    return reply(std::move(client.route), client.encoding, Gather(request, 0).finish(), out);
  Request& kept = keep(std::move(client));
  ask_parts(now, last_number_, kept, std::move(request), indices, 0, out);
}

void Front::ask_parts(Now now, uint64_t number, Request& client, wire::Request request,
                      const std::vector<uint32_t>& indices, unsigned moves, Output& out) {
  if (const auto bucket = bucket_of_request(*place_.map, request))
    return ask_part(now, number, client, {*bucket, std::move(request), {}}, moves, out);
  std::optional<Gather> gather;
  if (!client.gather) gather.emplace(request, indices.size());
  std::vector<Part> parts = split(*place_.map, std::move(request));
  if (gather && parts.size() > 1) client.gather = std::move(gather);
  for (Part& part : parts) {
    for (uint32_t& index : part.indices) index = indices[index];
    ask_part(now, number, client, std::move(part), moves, out);
  }
}

void Front::ask_part(Now now, uint64_t number, Request& client, Part part, unsigned moves, Output& out) {
  const auto no = static_cast<uint32_t>(client.parts.size());
  client.parts.push_back({std::move(part.indices), elements_of(part.request), moves});
  ++client.open;
  asks_.ask(now, {Asks::Purpose::Kind::client, number, no, PeerNo(), 0}, part.bucket, std::move(part.request),
            client.deadline, out);
}

void Front::go_on(Now now, uint64_t number, Request& request, Output& out) {
  for (Survey::Question& question : request.survey->next()) {
    ++request.open;
    const Duration left = request.deadline - now.instant;
    const Instant deadline = question.optional ? now.instant + Duration{left.us / 2} : request.deadline;
    asks_.ask(now, {Asks::Purpose::Kind::client, number, question.part, PeerNo(), 0}, question.bucket,
              std::move(question.request), deadline, out);
  }
}

// Nothing of the part was done. Its elements may belong to several buckets now.
std::optional<Error> Front::on_moved(Now now, uint64_t number, Request& client, uint32_t part, wire::Request again,
                                     Output& out) {
  const Request::Asked& asked = client.parts[part];
  const auto bucket = bucket_of_request(*place_.map, again);
  const bool fits = again.index() == client.kind && elements_of(again) == asked.elements && (!bucket || place_.exists(*bucket));
  if (!fits) return misfit();
  if (asked.moves >= moves_max) return moved_too_often();
  Request::Asked was = asked;  // the list grows
  if (was.indices.empty()) {
    was.indices.resize(was.elements);
    std::iota(was.indices.begin(), was.indices.end(), 0u);
  }
  ask_parts(now, number, client, std::move(again), was.indices, was.moves + 1, out);
  return std::nullopt;
}

void Front::settle(Now now, Output& out) {
  while (auto done = asks_.take_done()) {
    switch (done->purpose.kind) {
      case Asks::Purpose::Kind::client: on_client_part(now, std::move(*done), out); break;
      case Asks::Purpose::Kind::ingest: ingest_.on_done(now, std::move(*done), out); break;
      case Asks::Purpose::Kind::peer: on_peer_done(std::move(*done)); break;
    }
  }
}

void Front::on_client_part(Now now, Asks::Done done, Output& out) {
  const uint64_t number = done.purpose.request;
  Request* const asked = requests_.find(number);
  if (asked == nullptr) return;  // a survey that has ended with an error before
  Request& request = *asked;
  --request.open;
  if (std::holds_alternative<wire::Moved>(done.reply)) ++counters_.requests_moved;
  if (request.survey) {
    request.survey->on_reply(done.purpose.part, std::move(done.reply));
    if (!request.survey->finished()) return go_on(now, number, request, out);
    done.reply = request.survey->take();
  } else if (!on_part(now, number, request, done, out)) {
    return;
  }
  reply(std::move(request.route), request.encoding, done.reply, out);
  bytes_in_flight_ -= request.bytes;
  requests_.erase(number);
}

// Returns whether the request has its reply, which is then in `done`.
bool Front::on_part(Now now, uint64_t number, Request& request, Asks::Done& done, Output& out) {
  if (auto* moved = std::get_if<wire::Moved>(&done.reply)) {
    wire::Request again = std::move(moved->again);  // out of what the error may replace
    auto error = on_moved(now, number, request, done.purpose.part, std::move(again), out);
    if (!error) return false;
    done.reply = std::move(*error);
  }
  if (!request.gather) {
    done.reply = unwrap(std::move(done.reply));
    return true;
  }
  request.gather->put(request.parts[done.purpose.part].indices, std::move(done.reply));
  if (request.open > 0) return false;
  done.reply = std::move(*request.gather).finish();
  return true;
}

void Front::on_peer_done(Asks::Done done) {
  const Peer* peer = links_.peer(done.purpose.peer);
  if (peer == nullptr || !peer->up || peer->hello.boot != done.purpose.boot) return;
  frames_.send(peer->no, wire::ForwardReply{done.purpose.request, false, place_.version(), std::move(done.reply)});
}

void Front::reply(std::vector<std::string> route, wire::Encoding encoding, const wire::Reply& reply, Output& out) {
  ++counters_.replies;
  if (std::holds_alternative<Error>(reply)) ++counters_.replies_error;
  out.clients.push_back({std::move(route), wire::encode_reply(reply, encoding)});
}

void Front::on_ingest(Now now, const std::vector<std::string_view>& frames, Output& out) {
  const map::FabricSettings& settings = place_.known() ? place_.map->settings : options_.settings;
  auto publish = wire::decode_ingest(frames, {static_cast<size_t>(settings.body_max), false});
  if (!publish) {
    ++counters_.ingest_refused;
    return;
  }
  for (wire::Message& message : publish->messages) ingest_.on_message(now, std::move(message), out);
  settle(now, out);
}

void Front::on_answer(Now now, shard::Answer answer, Output& out) {
  asks_.on_answer(std::move(answer));
  settle(now, out);
  if (ingest_.waiting() > 0) {
    ingest_.pump(now, out);
    settle(now, out);
  }
}

void Front::on_forward(Now now, const Peer& from, wire::Forward forward, Output& out) {
  const auto bucket = place_.known() ? bucket_of_forward(*place_.map, forward.body) : std::nullopt;
  if (!bucket) {
    const Error error{Code::bad_request, "a request passed on must belong to one bucket", 0};
    frames_.send(from.no, wire::ForwardReply{forward.request, !place_.known(), place_.version(), error});
    return;
  }
  asks_.on_forward(now, from, std::move(forward), *bucket, out);
  settle(now, out);
}

void Front::on_forward_reply(Now now, PeerNo from, wire::ForwardReply reply, Output& out) {
  asks_.on_forward_reply(now, from, std::move(reply));
  settle(now, out);
}

void Front::on_session_ended(Now now, PeerNo peer, Output& out) {
  asks_.on_session_ended(peer, out);
  settle(now, out);
}

void Front::on_time(Now now, Output& out) {
  asks_.on_time(now, out);
  settle(now, out);
  ingest_.pump(now, out);
  settle(now, out);
}

void Front::drain(Now now, Output& out) {
  asks_.end_long_polls(out);
  settle(now, out);
}

Instant Front::next_deadline() const { return std::min(asks_.next_deadline(), ingest_.next_deadline()); }

}  // namespace canopy::node
