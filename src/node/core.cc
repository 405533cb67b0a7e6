#include "node/core.h"

#include <algorithm>

#include "base/assert.h"
#include "node/status.h"

namespace canopy::node {
namespace {

Place new_place(const NodeOptions& options) {
  Place place;
  place.shards = options.shards;
  return place;
}

// The items of a link that go from bucket to bucket.
template <class T>
concept IsPacket = std::is_constructible_v<wire::Packet, T> && !std::is_same_v<std::decay_t<T>, wire::Packet>;

// The bucket that a packet says it comes from. (An acknowledgement names the channel: its `to` sends it.)
BucketId packet_from(const wire::Packet& packet) {
  return std::visit(
      [](const auto& one) {
        if constexpr (std::is_same_v<std::decay_t<decltype(one)>, wire::ChannelAck>) return one.to;
        else return one.from;
      },
      packet);
}

}  // namespace

void Output::clear() {
  connect.clear();
  disconnect.clear();
  shards.clear();
  links.clear();
  clients.clear();
  feed.clear();
}

Result<std::unique_ptr<Node>> Node::open(NodeOptions options, store::Backend& control) {
  ASSERT(options.boot != 0 && options.new_fabric_id.size() == 16);
  auto identity = Identity::open(options, control);
  if (!identity) return tl::unexpected<Error>(std::move(identity.error()));
  return std::unique_ptr<Node>(std::make_unique<Core>(std::move(options), std::move(*identity)));
}

Core::Core(NodeOptions options, Identity identity)
    : options_(std::move(options)),
      identity_(std::move(identity)),
      place_(new_place(options_)),
      links_(options_, place_, counters_),
      frames_(options_, links_, counters_),
      formation_(options_, identity_, links_, frames_, counters_),
      front_(options_, place_, links_, frames_, counters_, [this] { return status(); }),
      relay_(place_, links_, frames_, counters_),
      feeds_(place_, counters_),
      reports_(options_.shards) {}

void Core::start(Now now, Output& out) {
  links_.start(now, out);
  formation_.step();
  take_map(now, out);
}

void Core::on_client(Now now, std::vector<std::string> route, const std::vector<std::string_view>& frames, Output& out) {
  front_.on_client(now, std::move(route), frames, refusal(), out);
}

void Core::on_ingest(Now now, const std::vector<std::string_view>& frames, Output& out) {
  front_.on_ingest(now, frames, out);
}

void Core::on_feed_subscription(Now, std::string_view topic, bool on, Output& out) {
  feeds_.on_subscription(topic, on, out);
}

void Core::on_link(Now now, std::string_view bytes, Output& out) {
  if (now.instant >= next_deadline()) on_time(now, out);  // a session that is over is over before its late frames
  ++counters_.frames_received;
  auto frame = wire::decode_frame(bytes);
  if (!frame) {
    ++counters_.frames_damaged;
    return;
  }
  if (frame->to_boot == 0) {
    for (wire::LinkItem& item : frame->items)
      if (auto* hello = std::get_if<wire::Hello>(&item)) on_hello(now, *frame, std::move(*hello), out);
    return;
  }
  const Peer* from = links_.by_boot(frame->from_boot);
  if (frame->to_boot != options_.boot) {
    ++counters_.frames_not_for_this_boot;
  } else if (from == nullptr) {
    ++counters_.frames_of_unknown_boot;
  } else {
    on_changes(now, links_.on_frame(now, from->no), out);
    if (from->up) on_items(now, *from, std::move(*frame), out);
    else ++counters_.frames_without_session;
  }
}

void Core::on_hello(Now now, const wire::LinkFrame& frame, wire::Hello hello, Output& out) {
  if (hello.boot != frame.from_boot) {
    ++counters_.frames_damaged;
    return;
  }
  on_changes(now, links_.on_hello(now, std::move(hello), frame.number, out), out);
}

// Before there is a fabric, and with a node that is not in it yet, the talk is of forming one.
void Core::on_items(Now now, const Peer& from, wire::LinkFrame frame, Output& out) {
  const std::string own = links_.fabric_id();
  if (!own.empty() && !frame.fabric_id.empty() && own != frame.fabric_id) {
    ++counters_.frames_other_fabric;
    return;
  }
  const bool together = !own.empty() && own == frame.fabric_id;
  Relay::Items letters;
  for (uint32_t i = 0; i < frame.items.size(); ++i) {
    wire::LinkItem& item = frame.items[i];
    if (auto* letter = std::get_if<wire::StreamLetter>(&item)) letters.emplace_back(i, std::move(*letter));
    else if (together || std::holds_alternative<wire::MapOffer>(item) || std::holds_alternative<wire::MapAccept>(item) ||
             std::holds_alternative<wire::Forward>(item))
      on_item(now, from, std::move(item), out);
  }
  if (!letters.empty() && frame.number != 0) relay_.on_frame(from, frame.number, std::move(letters), out);
  take_map(now, out);
}

void Core::on_item(Now now, const Peer& from, wire::LinkItem item, Output& out) {
  std::visit(
      [&](auto&& one) {
        using One = std::decay_t<decltype(one)>;
        if constexpr (std::is_same_v<One, wire::MapOffer>) formation_.on_offer(from, one);
        else if constexpr (std::is_same_v<One, wire::MapAccept>) formation_.on_accept(from, one);
        else if constexpr (std::is_same_v<One, wire::FrameAck>) relay_.on_ended(frames_.on_ack(from.no, one), out);
        else if constexpr (std::is_same_v<One, wire::Forward>) front_.on_forward(now, from, std::move(one), out);
        else if constexpr (std::is_same_v<One, wire::ForwardReply>) front_.on_forward_reply(now, from.no, std::move(one), out);
        else if constexpr (IsPacket<One>) on_packet(std::move(one), out);
      },
      std::move(item));
}

void Core::on_packet(wire::Packet packet, Output& out) {
  const BucketId to = wire::packet_to(packet);
  ++counters_.packets_received;
  if (!place_.mine(to)) {  // its sender repeats it, with a newer map
    ++counters_.packets_not_mine;
    return;
  }
  // Buckets keep who wrote to them, durably, and look up its owner in the map.
  if (!place_.exists(packet_from(packet))) {
    ++counters_.packets_of_nobody;
    return;
  }
  out.shards.push_back({place_.shard(to), shard::Arrive{std::move(packet)}});
}

void Core::on_shard(Now now, uint32_t shard, shard::Out from, Output& out) {
  ASSERT(shard < options_.shards);
  std::visit(
      [&](auto&& one) {
        using One = std::decay_t<decltype(one)>;
        if constexpr (std::is_same_v<One, shard::Answer>) front_.on_answer(now, std::move(one), out);
        else if constexpr (std::is_same_v<One, shard::Depart>) depart(std::move(one.packet), out);
        else if constexpr (std::is_same_v<One, shard::Push>) relay_.on_push(shard, std::move(one), out);
        else if constexpr (std::is_same_v<One, shard::Delivered>) relay_.on_delivered(std::move(one), out);
        else if constexpr (std::is_same_v<One, shard::Feed>) feeds_.on_feed(std::move(one), out);
        else reports_[shard] = std::move(one.section);
      },
      std::move(from));
}

// Dropped when it cannot go: its sender repeats it with the next session.
void Core::depart(wire::Packet packet, Output& out) {
  const BucketId to = wire::packet_to(packet);
  if (place_.mine(to)) {
    out.shards.push_back({place_.shard(to), shard::Arrive{std::move(packet)}});
    return;
  }
  const Peer* peer = place_.exists(to) ? links_.with_session(place_.map->owner(to)) : nullptr;
  const bool sent = peer != nullptr && std::visit([&](auto&& one) { return frames_.send(peer->no, std::move(one)); }, std::move(packet));
  ++(sent ? counters_.packets_sent : counters_.packets_without_link);
}

void Core::on_time(Now now, Output& out) {
  const bool heartbeat = now.instant >= links_.next_deadline();
  on_changes(now, links_.on_time(now, out), out);
  if (heartbeat) {
    formation_.step();
    take_map(now, out);
  }
  relay_.on_ended(frames_.on_time(now), out);
  front_.on_time(now, out);
}

Instant Core::next_deadline() const {
  return std::min({links_.next_deadline(), frames_.next_deadline(), front_.next_deadline()});
}

void Core::flush(Now now, Output& out) { frames_.flush(now, out); }

void Core::on_changes(Now now, const std::vector<Links::Change>& changes, Output& out) {
  for (const Links::Change& change : changes) {
    if (!change.begun) {
      relay_.on_ended(frames_.on_session_ended(change.peer), out);
      front_.on_session_ended(now, change.peer, out);
      continue;
    }
    const Peer* peer = links_.peer(change.peer);
    if (peer != nullptr && peer->index) tell_shards(*peer->index, out);
  }
  if (changes.empty()) return;
  formation_.step();
  take_map(now, out);
}

void Core::tell_shards(NodeIndex up, Output& out) {
  for (uint32_t shard = 0; shard < options_.shards; ++shard) out.shards.push_back({shard, shard::NodeUp{up}});
}

void Core::take_map(Now now, Output& out) {
  if (formation_.formed_version() <= place_.version()) return;
  place_.map = std::make_shared<const map::BucketMap>(*identity_.stored_map());
  place_.self = *place_.map->find(options_.name);
  place_.shard_of = identity_.shard_of();
  for (uint32_t shard = 0; shard < options_.shards; ++shard)
    out.shards.push_back({shard, shard::NewMap{place_.map, place_.self, place_.buckets_of(shard)}});
  links_.on_map(now, out);
  for (const auto& [no, peer] : links_.peers())
    if (peer.up && peer.index) tell_shards(*peer.index, out);
  feeds_.on_map(out);
  front_.on_map(now, out);
}

std::optional<std::string> Core::fatal() const {
  if (links_.fatal()) return links_.fatal();
  return formation_.fatal();
}

std::optional<std::string> Core::refusal() const {
  if (!ready()) return waiting_for();
  if (draining_) return "the node is stopping; ask another one";
  return std::nullopt;
}

void Core::drain(Now now, Output& out) {
  draining_ = true;
  front_.drain(now, out);
}

wire::StatusResult Core::status() const {
  StatusFacts facts;
  facts.state = !ready() ? "waiting" : draining_ ? "draining" : "ready";
  facts.waiting_for = waiting_for();
  facts.requests_in_flight = front_.requests_in_flight();
  facts.ingest_waiting = front_.ingest_waiting();
  facts.frames_in_flight = frames_.frames_in_flight();
  facts.pushes_in_flight = relay_.pushes_in_flight();
  facts.feeds = feeds_.size();
  auto all = reports_;
  all.push_back(sockets_);
  return node::status(options_, place_, links_, counters_, facts, all);
}

}  // namespace canopy::node
