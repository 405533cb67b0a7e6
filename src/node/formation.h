// How a new fabric begins. Unformed nodes greet their seeds. When bootstrap_expect of them with the
// same settings have sessions with each other, the one with the lowest name plans the map and offers
// it; each keeps the offer durably and accepts; when all have accepted it is formed, and the offerer
// tells everybody who shows an older map version. A node keeps one fabric id for good.
//
//   state     stored             says                          leaves it when
//   new       nothing            Hello                         an offer is kept: its own, or one that it accepts
//   planned   map, formed = 0    the lowest name: MapOffer;    all accepts are there / MapOffer with formed
//                                others: MapAccept
//   formed    map, formed = 1    Hello with the fabric's id    —
//
// Each state is durable before it shows, so a restart goes on in it. When more nodes than
// bootstrap_expect meet, those with the lowest names form the fabric; the others wait to be let in.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/frames.h"
#include "node/identity.h"
#include "node/links.h"

namespace canopy::node {

class Formation {
 public:
  Formation(const NodeOptions& options, Identity& identity, const Links& links, Frames& frames, Counters& counters)
      : options_(options), identity_(identity), links_(links), frames_(frames), counters_(counters) {}

  // Each may form the fabric or take a newer map: then formed_version() has grown, and the owner
  // tells everyone. `step` is called at the start, with each session change and each heartbeat.
  void step();
  void on_offer(const Peer& from, const wire::MapOffer& offer);
  void on_accept(const Peer& from, const wire::MapAccept& accept);

  uint64_t formed_version() const;
  std::string waiting_for() const;   // empty when formed
  const std::optional<std::string>& fatal() const { return fatal_; }

 private:
  std::vector<const Peer*> met() const;           // sessions with unformed nodes, by name, one for each name
  std::vector<const Peer*> strangers_formed() const;
  bool alone() const;
  bool judge_formed();
  bool judge_met(const std::vector<const Peer*>& met);
  std::string settings_differ(const Peer& peer) const;
  std::vector<std::string> chosen(const std::vector<const Peer*>& met) const;
  void step_new();
  void step_planned();
  void step_formed();
  std::optional<std::string> refuse_offer(const Peer& from, const map::BucketMap& map) const;
  void take_offer(const Peer& from, const map::BucketMap& map);
  void form(const map::BucketMap& map);
  bool stored(const Result<void>& result);
  map::NodeRow own_row() const;
  std::string waiting_new() const;
  std::string waiting_planned() const;

  const NodeOptions& options_;
  Identity& identity_;
  const Links& links_;
  Frames& frames_;
  Counters& counters_;
  std::set<std::string> accepted_;                // of the planned map, if this node offers it
  std::string note_;                              // why an offer was refused, or the store refused
  std::optional<std::string> fatal_;
};

}  // namespace canopy::node
