#include "fabric.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace canopy::node::test {

Fabric::Fabric(size_t hosts, uint32_t shards, uint32_t bucket_count) {
  for (size_t i = 0; i < hosts; ++i) {
    auto host = std::make_unique<Host>();
    const std::string name = "n" + std::to_string(i + 1);
    NodeOptions& o = host->options;
    o.name = name;
    o.version = "test";
    o.settings.bucket_count = bucket_count;
    o.client = "client-" + name;
    o.feed = "feed-" + name;
    o.link = "link-" + name;
    for (size_t k = 0; k < hosts; ++k) o.seeds.push_back("link-n" + std::to_string(k + 1));
    if (hosts == 1) o.seeds.clear();
    o.bootstrap_expect = static_cast<uint32_t>(hosts);
    o.shards = shards;
    hosts_.push_back(std::move(host));
  }
}

Result<void> Fabric::open(size_t i) {
  Host& host = *hosts_[i];
  host.options.boot = ++last_boot_;
  host.options.new_fabric_id = "fabric" + std::to_string(1'000'000'000 + last_boot_);
  auto node = Node::open(host.options, host.control);
  if (!node) return tl::unexpected<Error>(node.error());
  host.node = std::move(*node);
  host.shards.clear();
  return {};
}

void Fabric::start(size_t i) {
  const auto opened = open(i);
  REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().message));
  Output out;
  hosts_[i]->node->start(now_, out);
  take(i, out);
}

void Fabric::start_all() {
  for (size_t i = 0; i < size(); ++i) start(i);
}

void Fabric::crash(size_t i) {
  hosts_[i]->node.reset();
  hosts_[i]->control.crash();
}

void Fabric::take(size_t i, Output& out) {
  Host& host = *hosts_[i];
  if (after_call && !after_call(i)) return;
  if (!host.node) return;
  for (const std::string& endpoint : out.connect) host.connected.push_back(endpoint);
  for (const std::string& endpoint : out.disconnect) std::erase(host.connected, endpoint);
  for (Output::Link& link : out.links) {
    const Packet packet{i, link.endpoint, link.bytes};
    seen.push_back(packet);
    const bool connected = std::find(host.connected.begin(), host.connected.end(), link.endpoint) != host.connected.end();
    CHECK(connected);
    if (!network || network(packet)) in_flight_.emplace(now_.instant + Duration::of_ms(1), packet);
  }
  for (Output::Client& client : out.clients) host.replies.push_back(std::move(client));
  for (wire::FeedFrames& frames : out.feed) host.feed.push_back(std::move(frames));
  for (Output::ToShard& one : out.shards) {
    host.shards.push_back(one);
    if (!shard) continue;
    for (shard::Out& back : shard(i, one.in)) from_shard(i, one.shard, std::move(back));
  }
}

void Fabric::from_shard(size_t i, uint32_t number, shard::Out from) {
  Output out;
  hosts_[i]->node->on_shard(now_, number, std::move(from), out);
  take(i, out);
}

void Fabric::flush(size_t i) {
  if (!hosts_[i]->node) return;
  Output out;
  hosts_[i]->node->flush(now_, out);
  take(i, out);
  if (hosts_[i]->node) static_cast<Core&>(*hosts_[i]->node).check();
}

size_t Fabric::host_of(const std::string& endpoint) const {
  for (size_t i = 0; i < hosts_.size(); ++i)
    if (hosts_[i]->options.link == endpoint || "alias-" + hosts_[i]->options.link == endpoint) return i;
  return hosts_.size();
}

void Fabric::deliver(const Packet& packet) {
  const size_t to = host_of(packet.endpoint);
  if (to == hosts_.size()) return;
  if (before_packet) before_packet(to);
  if (!hosts_[to]->node) return;
  Output out;
  hosts_[to]->node->on_link(now_, packet.bytes, out);
  take(to, out);
  flush(to);
}

void Fabric::run(Duration time) {
  const Instant end = now_.instant + time;
  for (size_t i = 0; i < size(); ++i) flush(i);
  while (true) {
    Instant next = in_flight_.empty() ? Instant::never() : in_flight_.begin()->first;
    for (const auto& host : hosts_)
      if (host->node) next = std::min(next, host->node->next_deadline());
    if (next > end) break;
    if (next > now_.instant) {
      now_.wall_ms += static_cast<uint64_t>((next - now_.instant).ms());
      now_.instant = next;
    }
    for (size_t i = 0; i < size(); ++i) {
      if (!hosts_[i]->node || hosts_[i]->node->next_deadline() > now_.instant) continue;
      Output out;
      hosts_[i]->node->on_time(now_, out);
      take(i, out);
      flush(i);
    }
    while (!in_flight_.empty() && in_flight_.begin()->first <= now_.instant) {
      const Packet packet = in_flight_.begin()->second;
      in_flight_.erase(in_flight_.begin());
      deliver(packet);
    }
  }
  now_.instant = end;
}

bool Fabric::all_ready() const {
  return std::all_of(hosts_.begin(), hosts_.end(), [](const auto& host) { return host->node && host->node->ready(); });
}

void Fabric::ask(size_t i, const std::string& verb, const std::string& args, const std::string& route) {
  Output out;
  hosts_[i]->node->on_client(now_, {route}, {verb, args}, out);
  take(i, out);
  flush(i);
}

std::optional<std::string> Fabric::reply(size_t i) {
  auto& replies = hosts_[i]->replies;
  if (replies.empty()) return std::nullopt;
  const std::string text = replies.front().reply.status + " " + replies.front().reply.result;
  replies.pop_front();
  return text;
}

std::string fabric_id_of(const store::MemBackend& control) {
  const store::MemBackend::Image image = control.image();
  const auto& tables = image[static_cast<size_t>(store::Space::tables)];
  const auto at = tables.find("map");
  if (at == tables.end()) return {};
  const auto map = map::decode_map(std::string_view(at->second).substr(6));  // version, checksum, formed
  return map ? map->fabric_id : std::string();
}

std::vector<std::string> entities_of(const map::BucketMap& map, NodeIndex node, size_t count) {
  std::vector<std::string> out;
  for (int i = 0; out.size() < count; ++i) {
    const std::string name = "e" + std::to_string(i);
    if (map.owner(map.bucket_of(name)) == node) out.push_back(name);
  }
  return out;
}

}  // namespace canopy::node::test
