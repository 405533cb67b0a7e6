#include "node/split.h"

#include <map>

#include "base/assert.h"
#include "node/errors.h"

namespace canopy::node {
namespace {

// How the four requests that have elements are alike: their elements, whose bucket each belongs to,
// and the reply that holds one result for each.
std::vector<wire::Message>& elements(wire::Publish& request) { return request.messages; }
std::vector<wire::Pair>& elements(wire::Follow& request) { return request.pairs; }
std::vector<wire::Pair>& elements(wire::Unfollow& request) { return request.pairs; }
std::vector<std::string>& elements(wire::Read& request) { return request.entities; }

const std::string& owner(const wire::Message& message) { return message.author; }
const std::string& owner(const wire::Pair& pair) { return pair.follower; }
const std::string& owner(const std::string& entity) { return entity; }

auto& results(wire::PublishResult& reply) { return reply.results; }
auto& results(wire::FollowResult& reply) { return reply.states; }
auto& results(wire::UnfollowResult& reply) { return reply.removed; }
auto& results(wire::ReadResult& reply) { return reply.pages; }

template <class Of>
std::vector<Part> split_elements(const map::BucketMap& map, Of request) {
  auto all = std::move(elements(request));
  elements(request).clear();
  if (all.size() == 1) {
    const BucketId bucket = map.bucket_of(owner(all[0]));
    elements(request).push_back(std::move(all[0]));
    std::vector<Part> one;
    one.push_back({bucket, std::move(request), {0}});
    return one;
  }
  std::map<BucketId, std::vector<uint32_t>> by_bucket;
  for (size_t i = 0; i < all.size(); ++i) by_bucket[map.bucket_of(owner(all[i]))].push_back(static_cast<uint32_t>(i));
  std::vector<Part> parts;
  for (auto& [bucket, indices] : by_bucket) {
    Of part = request;
    for (const uint32_t i : indices) elements(part).push_back(std::move(all[i]));
    parts.push_back({bucket, std::move(part), std::move(indices)});
  }
  return parts;
}

template <class Result>
wire::Reply empty_result(size_t elements, bool batch) {
  Result reply;
  reply.batch = batch;
  results(reply).resize(elements, Error{Code::internal, "no part of the request holds this element", 0});
  return reply;
}

template <class Result>
void put_results(Result& whole, const std::vector<uint32_t>& indices, wire::Reply reply) {
  auto* part = std::get_if<Result>(&reply);
  if (part != nullptr && results(*part).size() == indices.size()) {
    for (size_t i = 0; i < indices.size(); ++i) results(whole)[indices[i]] = std::move(results(*part)[i]);
    return;
  }
  const auto* error = std::get_if<Error>(&reply);
  const Error why = error != nullptr ? *error : misfit();
  for (const uint32_t i : indices) results(whole)[i] = why;
}

template <class Result>
wire::Reply finish_results(Result whole) {
  if (!whole.batch && results(whole).size() == 1)
    if (auto* error = std::get_if<Error>(&results(whole)[0])) return std::move(*error);
  return whole;
}

template <class T>
concept HasElements = requires(T& request) { elements(request); };
template <class T>
concept HasResults = requires(T& reply) { results(reply); };

}  // namespace

std::vector<Part> split(const map::BucketMap& map, wire::Request request) {
  return std::visit(
      [&](auto&& one) -> std::vector<Part> {
        using Of = std::decay_t<decltype(one)>;
        if constexpr (HasElements<Of>) return split_elements<Of>(map, std::move(one));
        ASSERT(false && "only requests with elements are split");
        return {};
      },
      std::move(request));
}

std::optional<BucketId> bucket_of_one(const map::BucketMap& map, const wire::Request& request) {
  const auto of = [&](const auto& all) { return all.size() == 1 ? std::optional(map.bucket_of(owner(all[0]))) : std::nullopt; };
  if (const auto* publish = std::get_if<wire::Publish>(&request)) return of(publish->messages);
  if (const auto* read = std::get_if<wire::Read>(&request)) return of(read->entities);
  if (const auto* follow = std::get_if<wire::Follow>(&request)) return of(follow->pairs);
  if (const auto* unfollow = std::get_if<wire::Unfollow>(&request)) return of(unfollow->pairs);
  return std::nullopt;
}

Gather::Gather(const wire::Request& request, size_t elements) {
  if (const auto* publish = std::get_if<wire::Publish>(&request))
    reply_ = empty_result<wire::PublishResult>(elements, publish->batch);
  else if (const auto* follow = std::get_if<wire::Follow>(&request))
    reply_ = empty_result<wire::FollowResult>(elements, follow->batch);
  else if (const auto* unfollow = std::get_if<wire::Unfollow>(&request))
    reply_ = empty_result<wire::UnfollowResult>(elements, unfollow->batch);
  else if (const auto* read = std::get_if<wire::Read>(&request))
    reply_ = empty_result<wire::ReadResult>(elements, read->batch);
  else
    ASSERT(false && "only requests with elements are gathered");
}

void Gather::put(const std::vector<uint32_t>& indices, wire::Reply reply) {
  std::visit(
      [&](auto& whole) {
        using Of = std::decay_t<decltype(whole)>;
        if constexpr (HasResults<Of>) put_results(whole, indices, std::move(reply));
      },
      reply_);
}

wire::Reply Gather::finish() && {
  return std::visit(
      [](auto&& whole) -> wire::Reply {
        using Of = std::decay_t<decltype(whole)>;
        if constexpr (HasResults<Of>) return finish_results<Of>(std::move(whole));
        return Error{Code::internal, "nothing was gathered", 0};
      },
      std::move(reply_));
}

}  // namespace canopy::node
