// The parts of a node joined: what comes in goes to the part it belongs to, and what one part tells
// (a session ended, a map formed) reaches the others from here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/feeds.h"
#include "node/formation.h"
#include "node/frames.h"
#include "node/front.h"
#include "node/identity.h"
#include "node/links.h"
#include "node/relay.h"

namespace canopy::node {

class Core final : public Node {
 public:
  Core(NodeOptions options, Identity identity);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  void start(Now now, Output& out) override;
  void on_client(Now now, std::vector<std::string> route, const std::vector<std::string_view>& frames, Output& out) override;
  void on_ingest(Now now, const std::vector<std::string_view>& frames, Output& out) override;
  void on_feed_subscription(Now now, std::string_view topic, bool on, Output& out) override;
  void on_link(Now now, std::string_view bytes, Output& out) override;
  void on_shard(Now now, uint32_t shard, shard::Out from, Output& out) override;
  void on_time(Now now, Output& out) override;
  Instant next_deadline() const override;
  void flush(Now now, Output& out) override;

  bool ready() const override { return place_.known(); }
  std::string waiting_for() const override { return ready() ? std::string() : formation_.waiting_for(); }
  std::optional<std::string> fatal() const override;
  size_t requests_in_flight() const override { return front_.requests_in_flight(); }
  void on_sockets(wire::StatusSection section) override { sockets_ = std::move(section); }
  bool ingest_full() const override { return front_.ingest_full(); }
  void drain(Now now, Output& out) override;

  const Counters& counters() const { return counters_; }
  void check() const { relay_.check(); }

 private:
  void on_hello(Now now, const wire::LinkFrame& frame, wire::Hello hello, Output& out);
  void on_items(Now now, const Peer& from, wire::LinkFrame frame, Output& out);
  void on_item(Now now, const Peer& from, wire::LinkItem item, Output& out);
  void on_packet(wire::Packet packet, Output& out);      // from a peer
  void depart(wire::Packet packet, Output& out);         // from a shard of ours
  void on_changes(Now now, const std::vector<Links::Change>& changes, Output& out);
  void tell_shards(NodeIndex up, Output& out);
  void take_map(Now now, Output& out);                   // if there is a newer one
  std::optional<std::string> refusal() const;
  wire::StatusResult status() const;

  // In the order in which they use each other.
  const NodeOptions options_;
  Counters counters_;
  Identity identity_;
  Place place_;
  Links links_;
  Frames frames_;
  Formation formation_;
  Front front_;
  Relay relay_;
  Feeds feeds_;
  std::vector<wire::StatusSection> reports_;             // the last of each shard
  wire::StatusSection sockets_;                          // as last told
  bool draining_ = false;
};

}  // namespace canopy::node
