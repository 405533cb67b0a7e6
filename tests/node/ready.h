// A fabric that is ready, and shards that answer without buckets behind them.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fabric.h"

namespace canopy::node::test {

// A shard that answers every request from its text: enough to see who was asked what.
struct Answers {
  std::map<std::string, std::set<std::pair<uint16_t, uint32_t>>> followers;  // entity → (bucket, number)
  std::vector<wire::Request> asked;
  bool silent = false;
  std::map<std::string, std::string> aliases;                                // these are answered Moved
  std::function<std::optional<wire::Reply>(const wire::Request&)> special;  // before what stands below

  std::vector<shard::Out> operator()(const shard::In& in) {
    const auto* ask = std::get_if<shard::Ask>(&in);
    if (ask == nullptr) return {};
    asked.push_back(ask->request);
    if (silent) return {};
    return {shard::Answer{ask->ask, reply(ask->request)}};
  }

  wire::Reply reply(const wire::Request& request) {
    wire::Request again = request;
    if (std::visit([&](auto& one) { return rename(one); }, again)) return wire::Moved{std::move(again)};
    if (const auto other = special ? special(request) : std::nullopt) return *other;
    return std::visit([&](const auto& one) { return answer(one); }, request);
  }

  // Puts the first name where an alias of the bucket stands; returns whether there was one.
  bool rename(std::string& name) {
    const auto at = aliases.find(name);
    if (at == aliases.end()) return false;
    name = at->second;
    return true;
  }
  template <class Of>
  bool rename(Of& of) {
    bool any = false;
    if constexpr (requires { of.messages; })
      for (auto& message : of.messages) any |= rename(message.author);
    else if constexpr (requires { of.pairs; })
      for (auto& pair : of.pairs) any |= rename(pair.follower);
    else if constexpr (requires { of.entities; })
      for (auto& entity : of.entities) any |= rename(entity);
    else if constexpr (requires { of.entity; }) any = rename(of.entity);
    else if constexpr (requires { of.author; }) any = rename(of.author);
    else if constexpr (requires { of.to; }) any = rename(of.to);
    return any;
  }

  wire::Reply answer(const wire::Publish& publish) {
    wire::PublishResult result;
    result.batch = publish.batch;
    for (const auto& message : publish.messages) {
      if (message.body == "refuse") result.results.push_back(Error{Code::bad_request, "refused " + message.author, 0});
      else result.results.push_back(wire::Published{MessageId(std::stoull(message.body)), 7});
    }
    return result;
  }
  wire::Reply answer(const wire::Follow& follow) {
    wire::FollowResult result;
    result.batch = follow.batch;
    for (const auto& pair : follow.pairs)
      result.states.push_back(pair.author == "slow" ? wire::FollowState::pending : wire::FollowState::active);
    return result;
  }
  wire::Reply answer(const wire::Unfollow& unfollow) {
    wire::UnfollowResult result;
    result.batch = unfollow.batch;
    result.removed.resize(unfollow.pairs.size(), true);
    return result;
  }
  wire::Reply answer(const wire::Leaves& leaves) {
    std::set<uint16_t> buckets;
    for (const auto& [bucket, number] : followers[leaves.entity]) buckets.insert(bucket);
    wire::LeavesResult result;
    for (const uint16_t bucket : buckets) result.buckets.emplace_back(bucket);
    return result;
  }
  wire::Reply answer(const wire::Leaf& leaf) {
    wire::LeafResult result;
    for (const auto& [bucket, number] : followers[leaf.reflector]) {
      if (bucket != leaf.bucket.value()) continue;
      ++result.count;
      if (number <= leaf.after.value()) continue;
      if (result.names.size() < leaf.limit) {
        result.names.push_back("f" + std::to_string(bucket) + "." + std::to_string(number));
        last = number;
      } else if (leaf.limit > 0) {
        result.next = EntityNo(last);
      }
    }
    return result;
  }
  wire::Reply answer(const wire::Read& read) {
    wire::ReadResult result;
    result.batch = read.batch;
    result.pages.resize(read.entities.size());
    return result;
  }
  wire::Reply answer(const wire::Lookup& lookup) {
    wire::LookupResult result;
    result.entity = lookup.entity;
    return result;
  }
  wire::Reply answer(const wire::Retract&) { return wire::RetractResult{}; }
  wire::Reply answer(const wire::Delete&) { return wire::DeleteResult{}; }
  wire::Reply answer(const wire::Mark&) { return wire::MarkResult{41}; }
  wire::Reply answer(const wire::Retain& retain) { return wire::RetainResult{retain.count.value_or(0), 0}; }
  wire::Reply answer(const wire::Alias& alias) { return wire::AliasResult{alias.entity, alias.alias}; }
  wire::Reply answer(const wire::Forwarding& forwarding) { return wire::ForwardingResult{wire::FollowState::pending, forwarding.off}; }
  template <class Other>
  wire::Reply answer(const Other&) {
    return Error{Code::not_found, "nothing here", 0};
  }
  uint32_t last = 0;
};

struct Ready {
  explicit Ready(size_t hosts, uint32_t shards = 1) : fabric(hosts, shards), answers(hosts) {
    fabric.start_all();
    fabric.run(Duration::of_s(3));
    REQUIRE(fabric.all_ready());
    map = fabric[0].to_shards<shard::NewMap>()[0].map;
    fabric.shard = [this](size_t host, const shard::In& in) { return answers[host](in); };
  }
  std::string ask(size_t host, const std::string& verb, const std::string& args, Duration wait = Duration::of_ms(100)) {
    fabric.ask(host, verb, args);
    fabric.run(wait);
    return fabric.reply(host).value_or("no reply");
  }
  std::string name(size_t node, size_t i = 0) { return entities_of(*map, NodeIndex(static_cast<uint16_t>(node)), i + 1)[i]; }

  Fabric fabric;
  std::vector<Answers> answers;
  shard::MapRef map;
};

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace canopy::node::test
