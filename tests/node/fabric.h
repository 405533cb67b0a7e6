// Some nodes that pass each other their packets, on virtual time: the shards, the clients and the
// network are the test's.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/core.h"
#include "store/mem_backend.h"

namespace canopy::node::test {

struct Host {
  NodeOptions options;
  store::MemBackend control;
  std::unique_ptr<Node> node;
  std::vector<Output::ToShard> shards;          // what went to its shards, while the test answers none
  std::deque<Output::Client> replies;
  std::vector<wire::FeedFrames> feed;
  std::vector<std::string> connected;

  const Counters& counters() const { return static_cast<const Core&>(*node).counters(); }
  template <class In>
  std::vector<In> to_shards() const {
    std::vector<In> out;
    for (const auto& one : shards)
      if (const auto* in = std::get_if<In>(&one.in)) out.push_back(*in);
    return out;
  }
};

class Fabric {
 public:
  struct Packet {
    size_t from = 0;
    std::string endpoint, bytes;
  };
  // Answers what goes to a shard; what it returns comes back from that shard. None: it is recorded only.
  using ShardOf = std::function<std::vector<shard::Out>(size_t host, const shard::In& in)>;
  // Returns false for a packet that the network loses.
  using Network = std::function<bool(const Packet&)>;

  // Hosts n1, n2, … that have each other as seeds and expect each other.
  explicit Fabric(size_t hosts, uint32_t shards = 1, uint32_t bucket_count = 16);

  Host& operator[](size_t i) { return *hosts_[i]; }
  size_t size() const { return hosts_.size(); }
  Now now() const { return now_; }

  Result<void> open(size_t i);                  // with a new boot
  void start(size_t i);                         // opens and starts; fails the test on an error
  void start_all();
  void crash(size_t i);                         // the node is gone, its control store stays as durable
  void run(Duration time);                      // until so much later
  bool all_ready() const;
  // Hands a call's output on: packets into the network, replies and the like to the host.
  void take(size_t i, Output& out);

  void ask(size_t i, const std::string& verb, const std::string& args, const std::string& route = "r");
  std::optional<std::string> reply(size_t i);   // the next one: status and result
  void from_shard(size_t i, uint32_t shard, shard::Out out);

  ShardOf shard;
  Network network;
  std::function<void(size_t host)> before_packet;  // a packet is about to reach the host
  std::function<bool(size_t host)> after_call;     // false: the output is lost (the node died)
  std::vector<Packet> seen;                        // every packet sent, for those who look or repeat
  void deliver(const Packet& packet);              // as if it came now

 private:
  size_t host_of(const std::string& endpoint) const;
  void flush(size_t i);

  std::vector<std::unique_ptr<Host>> hosts_;
  std::multimap<Instant, Packet> in_flight_;
  Now now_{Instant{1'000'000}, 1'700'000'000'000};
  uint64_t last_boot_ = 0;
};

std::string fabric_id_of(const store::MemBackend& control);  // as durable; empty: none
// The entity names e0, e1, … whose bucket `node` owns.
std::vector<std::string> entities_of(const map::BucketMap& map, NodeIndex node, size_t count);

}  // namespace canopy::node::test
