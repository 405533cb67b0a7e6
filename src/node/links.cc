#include "node/links.h"

#include <algorithm>

#include "base/limits.h"
#include "base/name.h"
#include "node/answers.h"

namespace canopy::node {
namespace {

constexpr size_t endpoint_bytes_max = 512;

}  // namespace

void Links::start(Now now, Output& out) {
  for (const std::string& seed : options_.seeds) {
    if (seed == options_.link || find(seed) != nullptr) continue;
    connect(seed, now.instant, out).seed = true;
  }
  for (auto& [no, peer] : peers_) say_hello(now, peer, out);
  next_hello_ = now.instant + heartbeat_every;
}

void Links::on_map(Now now, Output& out) {
  by_index_.assign(place_.map->nodes.size(), PeerNo());
  for (size_t i = 0; i < by_index_.size(); ++i) {
    const map::NodeRow& row = place_.map->nodes[i];
    if (NodeIndex(static_cast<uint16_t>(i)) == place_.self || row.link.empty() || row.link == options_.link) continue;
    Peer* peer = find(row.link);
    if (peer == nullptr) peer = &connect(row.link, now.instant, out);
    by_index_[i] = peer->no;
  }
  for (auto& [no, peer] : peers_) {
    set_index(peer);
    say_hello(now, peer, out);  // they want to know the fabric and the map version
  }
}

std::vector<Links::Change> Links::on_hello(Now now, wire::Hello hello, uint64_t number, Output& out) {
  std::vector<Change> changes;
  ++counters_.hellos;
  if (refuse(hello, number, out)) return changes;
  const bool foreign = judge_fabric(hello);
  Peer* peer = find(hello.link);
  if (peer == nullptr) {
    if (peers_.size() >= 2 * limits::nodes_max) {
      ++counters_.hellos_refused;
      return changes;
    }
    peer = &connect(hello.link, now.instant, out);
  }
  if (const auto old = std::find(peer->retired.begin(), peer->retired.end(), hello.boot); old != peer->retired.end()) {
    // A late Hello, unless the boot that we hold for newer is silent: then that one was the late one.
    if (now.instant - peer->heard <= session_timeout) {
      ++counters_.hellos_of_old_boot;
      return changes;
    }
    peer->retired.erase(old);
  }
  if (peer->own) {  // another node speaks from there: it was not us
    peer->own = false;
    std::erase(out.disconnect, peer->endpoint);
    out.connect.push_back(peer->endpoint);
  }
  const bool unknown = peer->hello.boot != hello.boot;
  if (unknown) take_boot(*peer, hello.boot, changes);
  const bool heard_us = hello.seen_boot == options_.boot;
  const bool joined = peer->up && peer->hello.fabric_id.empty() && !hello.fabric_id.empty();
  peer->hello = std::move(hello);
  peer->heard = now.instant;
  set_index(*peer);
  if (foreign) {
    if (peer->up) end(*peer, changes);
    if (unknown) say_hello(now, *peer, out);  // so that it sees the same
    return changes;
  }
  if (joined) changes.push_back({peer->no, true});
  if (heard_us) {
    peer->confirmed = now.instant;
    if (!peer->up) begin(*peer, now.instant, changes);
  }
  if (unknown || !heard_us) say_hello(now, *peer, out);
  return changes;
}

// Returns whether nothing is to be made of this Hello: it is our own, or of nobody we talk with.
bool Links::refuse(const wire::Hello& hello, uint64_t number, Output& out) {
  if (hello.boot == options_.boot) {
    on_own_hello(number, out);
    return true;
  }
  if (hello.node == options_.name) {
    ++counters_.hellos_own_name;
    note_ = "another node at " + hello.link + " also has the name \"" + hello.node + "\"";
    return true;
  }
  if (hello.protocol != wire::link_protocol_version || hello.boot == 0 || hello.link.empty() ||
      hello.link.size() > endpoint_bytes_max || hello.link == options_.link || !check_name("node", hello.node)) {
    ++counters_.hellos_refused;
    if (hello.protocol != wire::link_protocol_version)
      note_ = "the node at " + hello.link + " speaks link protocol " + std::to_string(hello.protocol) + ", this one " +
              std::to_string(wire::link_protocol_version);
    return true;
  }
  if (!place_.known()) return false;
  const auto row = place_.map->find(hello.node);
  if (!row || place_.map->node(*row).link == hello.link) return false;
  ++counters_.hellos_refused;
  note_ = "node \"" + hello.node + "\" speaks from " + hello.link + ", the map has it at " + place_.map->node(*row).link;
  return true;
}

// Returns whether it is of another fabric: greeted, but there is no session with it. Where one of our
// own nodes should be, something is wrong that a person must see to.
bool Links::judge_fabric(const wire::Hello& hello) {
  if (!place_.known() || hello.fabric_id.empty() || hello.fabric_id == place_.map->fabric_id) return false;
  ++counters_.hellos_other_fabric;
  note_ = "node \"" + hello.node + "\" at " + hello.link + " belongs to another fabric, " +
          hexadecimal(hello.fabric_id) + ", not to " + hexadecimal(place_.map->fabric_id);
  if (place_.map->find(hello.node)) fatal_ = note_;
  return true;
}

// The frame's number is the PeerNo of the connection by which it went out.
void Links::on_own_hello(uint64_t number, Output& out) {
  const auto at = peers_.find(PeerNo(number));
  // One that a session went over leads to another node: whoever sent this has read our boot somewhere.
  if (at == peers_.end() || at->second.own || at->second.known) return;
  at->second.own = true;
  out.disconnect.push_back(at->second.endpoint);
}

void Links::take_boot(Peer& peer, uint64_t boot, std::vector<Change>& changes) {
  if (peer.up) end(peer, changes);
  if (peer.hello.boot != 0) {
    by_boot_.erase(peer.hello.boot);
    peer.retired.push_back(peer.hello.boot);
    if (peer.retired.size() > retired_boots_max) peer.retired.pop_front();
  }
  by_boot_[boot] = peer.no;
  peer.known = false;
  peer.hello = wire::Hello();
}

std::vector<Links::Change> Links::on_frame(Now now, PeerNo from) {
  std::vector<Change> changes;
  Peer& peer = peers_.at(from);
  const bool foreign = place_.known() && !peer.hello.fabric_id.empty() && peer.hello.fabric_id != place_.map->fabric_id;
  if (!peer.up && !peer.known && !foreign) begin(peer, now.instant, changes);
  return changes;
}

void Links::begin(Peer& peer, Instant now, std::vector<Change>& changes) {
  peer.up = true;
  peer.known = true;
  peer.confirmed = now;
  ++counters_.sessions_begun;
  changes.push_back({peer.no, true});
}

void Links::end(Peer& peer, std::vector<Change>& changes) {
  peer.up = false;
  ++counters_.sessions_ended;
  changes.push_back({peer.no, false});
}

std::vector<Links::Change> Links::on_time(Now now, Output& out) {
  std::vector<Change> changes;
  if (now.instant < next_hello_) return changes;
  next_hello_ = now.instant + heartbeat_every;
  forget_strangers(now, out);
  for (auto& [no, peer] : peers_) {
    if (peer.up && now.instant - peer.confirmed > session_timeout) end(peer, changes);
    say_hello(now, peer, out);
  }
  return changes;
}

void Links::forget_strangers(Now now, Output& out) {
  for (auto at = peers_.begin(); at != peers_.end();) {
    const Peer& peer = at->second;
    const bool wanted = peer.seed || peer.up ||
                        std::find(by_index_.begin(), by_index_.end(), peer.no) != by_index_.end();
    if (wanted || now.instant - peer.heard <= stranger_timeout) {
      ++at;
      continue;
    }
    out.disconnect.push_back(peer.endpoint);
    by_endpoint_.erase(peer.endpoint);
    if (peer.hello.boot != 0) by_boot_.erase(peer.hello.boot);
    at = peers_.erase(at);
  }
}

// A Hello goes alone, to boot 0: whoever listens there may read it.
void Links::say_hello(Now now, Peer& peer, Output& out) {
  if (peer.own) return;
  const bool hears = peer.hello.boot != 0 && now.instant - peer.heard <= session_timeout;
  wire::Hello hello;
  hello.fabric_id = fabric_id();
  hello.node = options_.name;
  hello.boot = options_.boot;
  hello.seen_boot = hears ? peer.hello.boot : 0;
  hello.map_version = place_.version();
  hello.settings = map::canonical(options_.settings);
  hello.client = options_.client;
  hello.feed = options_.feed;
  hello.link = options_.link;
  hello.zone = options_.zone;
  hello.weight_milli = options_.weight_milli;
  wire::LinkFrame frame{fabric_id(), options_.boot, 0, peer.no.value(), {}};
  frame.items.push_back(std::move(hello));
  out.links.push_back({peer.endpoint, wire::encode_frame(frame)});
}

Peer& Links::connect(std::string endpoint, Instant now, Output& out) {
  const PeerNo no(++last_no_);
  Peer& peer = peers_[no];
  peer.no = no;
  peer.endpoint = std::move(endpoint);
  peer.heard = now;
  by_endpoint_[peer.endpoint] = no;
  out.connect.push_back(peer.endpoint);
  return peer;
}

void Links::set_index(Peer& peer) {
  peer.index.reset();
  if (!place_.known() || peer.hello.node.empty()) return;
  const auto row = place_.map->find(peer.hello.node);
  if (row && by_index_[row->value()] == peer.no) peer.index = row;
}

Peer* Links::find(const std::string& endpoint) {
  const auto at = by_endpoint_.find(endpoint);
  return at == by_endpoint_.end() ? nullptr : &peers_.at(at->second);
}

const Peer* Links::peer(PeerNo no) const {
  const auto at = peers_.find(no);
  return at == peers_.end() ? nullptr : &at->second;
}

const Peer* Links::by_boot(uint64_t boot) const {
  const auto at = by_boot_.find(boot);
  return at == by_boot_.end() ? nullptr : peer(at->second);
}

const Peer* Links::with_session(NodeIndex node) const {
  if (node.value() >= by_index_.size()) return nullptr;
  const Peer* found = peer(by_index_[node.value()]);
  return found != nullptr && found->up && found->index == node ? found : nullptr;
}

}  // namespace canopy::node
