#include "node/front.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "node/answers.h"

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
  if (const auto* get = std::get_if<wire::Get>(&request)) return get->id.bucket();
  if (const auto* following = std::get_if<wire::Following>(&request)) return map.bucket_of(following->entity);
  if (const auto* leaves = std::get_if<wire::Leaves>(&request)) return map.bucket_of(leaves->entity);
  if (const auto* leaf = std::get_if<wire::Leaf>(&request)) return leaf->bucket;
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
  begin(now, Request{std::move(route), encoding, deadline, bytes, 0, std::nullopt, {}, nullptr}, std::move(*request), out);
  settle(now, out);
}

std::optional<wire::Reply> Front::answer_here(const wire::Request& request) {
  if (std::holds_alternative<wire::Ping>(request)) return answer_ping(options_, place_);
  if (const auto* lookup = std::get_if<wire::Lookup>(&request)) return answer_lookup(place_, *lookup);
  if (const auto* map = std::get_if<wire::Map>(&request)) return answer_map(place_, links_, *map);
  if (const auto* get = std::get_if<wire::Get>(&request); get != nullptr && !place_.exists(get->id.bucket()))
    return Error{Code::not_found, "id: there is no message " + std::to_string(get->id.packed()), 0};
  if (const auto* tree = std::get_if<wire::Tree>(&request); tree != nullptr && tree->fanout == 1)
    return Error{Code::bad_request, "fanout: a reflector has at least 2 children, 1 was given", 0};
  return std::nullopt;
}

uint64_t Front::keep(Request client) {
  bytes_in_flight_ += client.bytes;
  requests_.emplace(++last_number_, std::move(client));
  return last_number_;
}

void Front::begin(Now now, Request client, wire::Request request, Output& out) {
  if (const auto bucket = bucket_of_request(*place_.map, request))
    return begin_one(now, std::move(client), *bucket, std::move(request), out);
  if (auto* followers = std::get_if<wire::Followers>(&request))
    return begin_survey(now, std::move(client), std::make_unique<Survey>(place_.map, std::move(*followers)), out);
  if (auto* tree = std::get_if<wire::Tree>(&request))
    return begin_survey(now, std::move(client), std::make_unique<Survey>(place_.map, std::move(*tree)), out);
  begin_parts(now, std::move(client), std::move(request), out);
}

void Front::begin_one(Now now, Request client, BucketId bucket, wire::Request request, Output& out) {
  const Instant deadline = client.deadline;
  client.open = 1;
  const uint64_t number = keep(std::move(client));
  asks_.ask(now, {Asks::Purpose::Kind::client, number, 0, PeerNo(), 0}, bucket, std::move(request), deadline, out);
}

void Front::begin_parts(Now now, Request client, wire::Request request, Output& out) {
  const size_t elements = elements_of(request);
  Gather gather(request, elements);
  std::vector<Part> parts = split(*place_.map, std::move(request));
  if (parts.empty()) return reply(std::move(client.route), client.encoding, std::move(gather).finish(), out);
  if (parts.size() == 1) return begin_one(now, std::move(client), parts[0].bucket, std::move(parts[0].request), out);

  const Instant deadline = client.deadline;
  client.open = parts.size();
  client.gather = std::move(gather);
  for (Part& part : parts) client.indices.push_back(std::move(part.indices));
  const uint64_t number = keep(std::move(client));
  for (uint32_t i = 0; i < parts.size(); ++i)
    asks_.ask(now, {Asks::Purpose::Kind::client, number, i, PeerNo(), 0}, parts[i].bucket, std::move(parts[i].request),
              deadline, out);
}

void Front::begin_survey(Now now, Request client, std::unique_ptr<Survey> survey, Output& out) {
  client.survey = std::move(survey);
  const uint64_t number = keep(std::move(client));
  go_on(now, number, requests_.at(number), out);
}

void Front::go_on(Now now, uint64_t number, Request& request, Output& out) {
  for (Survey::Question& question : request.survey->next()) {
    ++request.open;
    asks_.ask(now, {Asks::Purpose::Kind::client, number, question.part, PeerNo(), 0}, question.bucket,
              std::move(question.request), request.deadline, out);
  }
}

void Front::settle(Now now, Output& out) {
  while (auto done = asks_.take_done()) {
    switch (done->purpose.kind) {
      case Asks::Purpose::Kind::client: on_client_part(now, std::move(*done), out); break;
      case Asks::Purpose::Kind::ingest: ingest_.on_done(now, done->purpose.request, *done); break;
      case Asks::Purpose::Kind::peer: on_peer_done(std::move(*done)); break;
    }
  }
}

void Front::on_client_part(Now now, Asks::Done done, Output& out) {
  const uint64_t number = done.purpose.request;
  const auto at = requests_.find(number);
  if (at == requests_.end()) return;  // a survey that has ended with an error before
  Request& request = at->second;
  --request.open;
  if (request.survey) {
    request.survey->on_reply(done.purpose.part, std::move(done.reply));
    if (!request.survey->finished()) return go_on(now, number, request, out);
    done.reply = request.survey->take();
  } else if (request.gather) {
    request.gather->put(request.indices[done.purpose.part], std::move(done.reply));
    if (request.open > 0) return;
    done.reply = std::move(*request.gather).finish();
  } else {
    done.reply = unwrap(std::move(done.reply));
  }
  reply(std::move(request.route), request.encoding, done.reply, out);
  bytes_in_flight_ -= request.bytes;
  requests_.erase(at);
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
