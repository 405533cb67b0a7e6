#include "node/formation.h"

#include <algorithm>
#include <map>

#include "base/assert.h"

namespace canopy::node {
namespace {

std::string list(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

map::NodeRow row_of(const wire::Hello& hello) {
  return {hello.node, hello.client, hello.feed, hello.link, hello.zone, hello.weight_milli};
}

}  // namespace

void Formation::step() {
  if (fatal_) return;
  if (identity_.formed()) step_formed();
  else if (identity_.stored_map()) step_planned();
  else step_new();
}

void Formation::step_new() {
  if (options_.bootstrap_expect == 1 && alone())
    return form(map::plan_fabric(options_.new_fabric_id, options_.settings, {own_row()}));
  if (!judge_formed() || !strangers_formed().empty() || options_.bootstrap_expect == 1) return;
  const auto peers = met();
  if (!judge_met(peers)) return;
  const std::vector<std::string> names = chosen(peers);
  if (names.empty() || names.front() != options_.name) return;
  std::vector<map::NodeRow> rows{own_row()};
  for (const Peer* peer : peers)
    if (std::find(names.begin(), names.end(), peer->hello.node) != names.end()) rows.push_back(row_of(peer->hello));
  if (!stored(identity_.plan(map::plan_fabric(options_.new_fabric_id, options_.settings, std::move(rows))))) return;
  step_planned();
}

// The offerer asks those who have not accepted, again with every heartbeat.
void Formation::step_planned() {
  const map::BucketMap& map = *identity_.stored_map();
  if (map.nodes.front().name != options_.name) return;
  accepted_.insert(options_.name);
  if (accepted_.size() == map.nodes.size()) return form(map::BucketMap(map));
  const std::string bytes = map::encode_map(map);
  for (const Peer* peer : met()) {
    const auto row = map.find(peer->hello.node);
    if (row && !accepted_.contains(peer->hello.node) && map.node(*row) == row_of(peer->hello))
      frames_.send(peer->no, wire::MapOffer{bytes, false});
  }
}

void Formation::step_formed() {
  const map::BucketMap& map = *identity_.stored_map();
  std::string bytes;
  for (const auto& [no, peer] : links_.peers()) {
    if (!peer.up || !map.find(peer.hello.node) || peer.hello.map_version >= map.version.value()) continue;
    if (bytes.empty()) bytes = map::encode_map(map);
    frames_.send(no, wire::MapOffer{bytes, true});
  }
}

void Formation::on_offer(const Peer& from, const wire::MapOffer& offer) {
  if (fatal_) return;
  auto map = map::decode_map(offer.map);
  const auto refused = map ? refuse_offer(from, *map) : std::optional<std::string>(map.error().message);
  if (refused) {
    ++counters_.offers_refused;
    note_ = "an offer of node \"" + from.hello.node + "\" was refused: " + *refused;
    return;
  }
  if (!offer.formed) return take_offer(from, *map);
  if (!identity_.stored_map()) {  // it knows us, we know nothing: what we had is lost
    ++counters_.offers_refused;
    note_ = "the fabric of node \"" + from.hello.node + "\" has this node already, but this data directory is new; "
            "give it the directory that it had";
    return;
  }
  if (!identity_.formed() || identity_.stored_map()->version < map->version) form(*map);
}

std::optional<std::string> Formation::refuse_offer(const Peer& from, const map::BucketMap& map) const {
  if (!map.find(from.hello.node)) return "it does not have the node that offers it";
  const auto self = map.find(options_.name);
  if (!self) return "it does not have this node";
  if (map.node(*self) != own_row()) return "it has other endpoints, another zone or weight for this node";
  const std::string difference = map::difference(map::canonical(options_.settings), map::canonical(map.settings));
  if (!difference.empty()) return "its settings differ: " + difference;
  if (identity_.stored_map() && identity_.stored_map()->fabric_id != map.fabric_id)
    return "this node has kept another fabric's id";
  return std::nullopt;
}

// Kept before it is accepted. An offer that does not come from the nodes that this one has met is
// left alone for now: it comes again, and by then they may have met.
void Formation::take_offer(const Peer& from, const map::BucketMap& map) {
  if (!identity_.stored_map()) {
    std::vector<std::string> names;
    for (const map::NodeRow& row : map.nodes) names.push_back(row.name);
    if (names.front() != from.hello.node || names != chosen(met())) {
      ++counters_.offers_refused;
      note_ = "an offer of node \"" + from.hello.node + "\" for " + list(names) + " was put off: this node has not met these, or waits for " +
              std::to_string(options_.bootstrap_expect);
      return;
    }
    if (!stored(identity_.plan(map))) return;
  }
  frames_.send(from.no, wire::MapAccept{map.fabric_id, options_.name});
}

void Formation::on_accept(const Peer& from, const wire::MapAccept& accept) {
  if (fatal_ || identity_.formed() || !identity_.stored_map()) return;
  const map::BucketMap& map = *identity_.stored_map();
  if (accept.fabric_id != map.fabric_id || accept.node != from.hello.node || !map.find(accept.node)) return;
  accepted_.insert(accept.node);
  step_planned();
}

void Formation::form(const map::BucketMap& map) {
  if (!stored(identity_.form(map))) return;
  note_.clear();
  step_formed();
}

// Returns whether it is durable. A full disk is waited for; after any other error nothing is sure.
bool Formation::stored(const Result<void>& result) {
  if (result) return true;
  if (result.error().code == Code::busy) note_ = "the control store is full: " + result.error().message;
  else fatal_ = "control store: " + result.error().message;
  return false;
}

uint64_t Formation::formed_version() const { return identity_.formed() ? identity_.stored_map()->version.value() : 0; }

map::NodeRow Formation::own_row() const {
  return {options_.name, options_.client, options_.feed, options_.link, options_.zone, options_.weight_milli};
}

// Only when no seed is another node's: one that is given as another name of our own shows itself by
// our own Hello.
bool Formation::alone() const {
  return std::all_of(options_.seeds.begin(), options_.seeds.end(), [&](const std::string& seed) {
    if (seed == options_.link) return true;
    for (const auto& [no, peer] : links_.peers())
      if (peer.endpoint == seed) return peer.own;
    return false;
  });
}

std::vector<const Peer*> Formation::met() const {
  std::map<std::string, const Peer*> by_name;
  for (const auto& [no, peer] : links_.peers())
    if (peer.up && peer.hello.fabric_id.empty()) by_name.emplace(peer.hello.node, &peer);
  std::vector<const Peer*> out;
  for (const auto& [name, peer] : by_name) out.push_back(peer);
  return out;
}

std::vector<const Peer*> Formation::strangers_formed() const {
  std::vector<const Peer*> out;
  for (const auto& [no, peer] : links_.peers())
    if (peer.up && !peer.hello.fabric_id.empty()) out.push_back(&peer);
  return out;
}

// A formed fabric's settings stand: a node that wants in and differs ends.
bool Formation::judge_formed() {
  for (const Peer* peer : strangers_formed())
    if (peer->hello.settings != map::canonical(options_.settings)) fatal_ = settings_differ(*peer);
  return !fatal_;
}

// Returns whether all who were met have our settings. When as many as are expected have met, the
// settings of most are the fabric's (of equally many: those of the lowest name); a node that differs
// from them ends.
bool Formation::judge_met(const std::vector<const Peer*>& met) {
  std::map<std::string, std::vector<const Peer*>> groups;  // by settings; null is this node
  groups[map::canonical(options_.settings)].push_back(nullptr);
  for (const Peer* peer : met) groups[peer->hello.settings].push_back(peer);
  if (groups.size() == 1) return true;
  for (const Peer* peer : met)
    if (peer->hello.settings != map::canonical(options_.settings)) note_ = settings_differ(*peer);
  if (met.size() + 1 < options_.bootstrap_expect) return false;
  const auto lowest = [&](const std::vector<const Peer*>& group) {
    std::string name = group.front() ? group.front()->hello.node : options_.name;
    for (const Peer* peer : group) name = std::min(name, peer ? peer->hello.node : options_.name);
    return name;
  };
  const std::vector<const Peer*>* most = nullptr;
  for (const auto& [settings, group] : groups) {
    if (most == nullptr || group.size() > most->size() ||
        (group.size() == most->size() && lowest(group) < lowest(*most)))
      most = &group;
  }
  if (most->front() != nullptr) fatal_ = settings_differ(*most->front());
  return false;
}

std::string Formation::settings_differ(const Peer& peer) const {
  return "the fabric's settings differ from those of node \"" + peer.hello.node + "\" at " + peer.hello.link + ": " +
         map::difference(map::canonical(options_.settings), peer.hello.settings);
}

// The names of those who form the fabric, ascending; empty while too few have met.
std::vector<std::string> Formation::chosen(const std::vector<const Peer*>& met) const {
  std::vector<std::string> names{options_.name};
  const std::string own = map::canonical(options_.settings);
  for (const Peer* peer : met)
    if (peer->hello.settings == own) names.push_back(peer->hello.node);
  std::sort(names.begin(), names.end());
  if (names.size() < options_.bootstrap_expect) return {};
  names.resize(options_.bootstrap_expect);
  return names;
}

std::string Formation::waiting_for() const {
  if (identity_.formed()) return {};
  std::string out = identity_.stored_map() ? waiting_planned() : waiting_new();
  const std::string& links_note = links_.note();
  if (!links_note.empty()) out += "; " + links_note;
  if (!note_.empty()) out += "; " + note_;
  return out;
}

std::string Formation::waiting_new() const {
  for (const Peer* peer : strangers_formed())
    return "waiting to be let in: node \"" + peer->hello.node + "\" belongs to a fabric that was formed without this one";
  if (options_.bootstrap_expect == 1)
    return "waiting for a seed of a formed fabric (to begin a new one with the seeds given, set fabric.bootstrap_expect "
           "to their number)";
  const auto peers = met();
  const uint32_t expect = options_.bootstrap_expect;
  if (peers.size() + 1 >= expect) return "waiting for the " + std::to_string(expect) + " nodes to agree";
  std::string out = "waiting for " + std::to_string(expect - 1 - peers.size()) + " of " + std::to_string(expect) + " nodes";
  std::vector<std::string> names;
  for (const Peer* peer : peers) names.push_back(peer->hello.node);
  if (!names.empty()) out += " (met: " + list(names) + ")";
  return out;
}

std::string Formation::waiting_planned() const {
  const map::BucketMap& map = *identity_.stored_map();
  const bool offers = map.nodes.front().name == options_.name;
  std::vector<std::string> names;
  for (const map::NodeRow& row : map.nodes) {
    const bool awaited = offers ? row.name != options_.name && !accepted_.contains(row.name) : &row == &map.nodes.front();
    if (awaited) names.push_back(row.name);
  }
  return "waiting for " + std::to_string(names.size()) + " of " + std::to_string(map.nodes.size()) + " nodes: " + list(names);
}

}  // namespace canopy::node
