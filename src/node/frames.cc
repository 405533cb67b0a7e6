#include "node/frames.h"

#include "base/assert.h"

namespace canopy::node {
namespace {

constexpr size_t overhead = 64;

size_t blob_bytes(const Blob& blob) { return overhead + (blob ? blob->size() : 0); }

size_t route_bytes(const wire::Route& route) {
  size_t bytes = 8 + 3 * route.leaves.size();
  for (const wire::Route& child : route.children) bytes += route_bytes(child);
  return bytes;
}

struct RequestBytes {
  template <class Other>
  size_t operator()(const Other&) const { return overhead + limits::name_bytes_max; }
  size_t operator()(const wire::Publish& publish) const {
    size_t bytes = 0;
    for (const wire::Message& message : publish.messages) bytes += message_bytes(message);
    return bytes;
  }
  template <class Pairs>
  static size_t of_pairs(const Pairs& request) {
    size_t bytes = overhead;
    for (const wire::Pair& pair : request.pairs) bytes += 8 + pair.follower.size() + pair.author.size();
    return bytes;
  }
  size_t operator()(const wire::Follow& follow) const { return of_pairs(follow); }
  size_t operator()(const wire::Unfollow& unfollow) const { return of_pairs(unfollow); }
  size_t operator()(const wire::Read& read) const {
    size_t bytes = overhead;
    for (const std::string& entity : read.entities) bytes += 8 + entity.size();
    return bytes;
  }
};

struct ReplyBytes {
  template <class Other>
  size_t operator()(const Other&) const { return overhead + limits::name_bytes_max; }
  size_t operator()(const wire::PublishResult& result) const { return overhead * (1 + result.results.size()); }
  size_t operator()(const wire::GetResult& get) const { return blob_bytes(get.entry.message); }
  size_t operator()(const wire::ThreadResult& thread) const {
    size_t bytes = blob_bytes(thread.message.message);
    for (const wire::Entry& entry : thread.replies) bytes += blob_bytes(entry.message);
    return bytes;
  }
  size_t operator()(const wire::Moved& moved) const { return overhead + std::visit(RequestBytes{}, moved.again); }
  size_t operator()(const wire::ReadResult& read) const {
    size_t bytes = overhead;
    for (const auto& one : read.pages) {
      if (const auto* page = std::get_if<wire::TimelinePage>(&one))
        for (const wire::Entry& entry : page->entries) bytes += blob_bytes(entry.message);
    }
    return bytes;
  }
  static size_t of_names(const std::vector<std::string>& names) {
    size_t bytes = overhead;
    for (const std::string& name : names) bytes += 8 + name.size();
    return bytes;
  }
  size_t operator()(const wire::NamesResult& names) const { return of_names(names.names); }
  size_t operator()(const wire::LeafResult& leaf) const { return of_names(leaf.names); }
};

struct LetterBytes {
  template <class Other>
  size_t operator()(const Other& letter) const {
    if constexpr (requires { letter.message; }) return overhead + limits::name_bytes_max + blob_bytes(letter.message);
    return overhead + limits::name_bytes_max;
  }
};

struct ItemBytes {
  template <class Other>
  size_t operator()(const Other&) const { return overhead; }
  size_t operator()(const wire::Hello&) const { return 1024; }
  size_t operator()(const wire::MapOffer& offer) const { return overhead + offer.map.size(); }
  size_t operator()(const wire::Forward& forward) const { return overhead + std::visit(RequestBytes{}, forward.body); }
  size_t operator()(const wire::ForwardReply& reply) const { return overhead + std::visit(ReplyBytes{}, reply.body); }
  size_t operator()(const wire::StreamLetter& letter) const {
    return letter.reflector.size() + blob_bytes(letter.item.message) + route_bytes(letter.route);
  }
  size_t operator()(const wire::ChannelLetter& letter) const { return overhead + std::visit(LetterBytes{}, letter.letter); }
  size_t operator()(const wire::Check& check) const { return overhead + check.reflector.size() + 8 * check.ids.size(); }
  size_t operator()(const wire::Checked& checked) const {
    return overhead + checked.reflector.size() + 8 * (checked.live.size() + checked.dead.size());
  }
  size_t operator()(const wire::Fetched& fetched) const {
    size_t bytes = overhead + fetched.reflector.size();
    for (const wire::StreamItem& item : fetched.items) bytes += blob_bytes(item.message);
    return bytes;
  }
};

}  // namespace

size_t message_bytes(const wire::Message& message) {
  size_t bytes = 2 * overhead + message.author.size() + message.type.size() + message.key.size() + message.body.size();
  for (const auto* names : {&message.mentions, &message.topics, &message.to})
    for (const std::string& name : *names) bytes += overhead + name.size();
  return bytes;
}

size_t item_bytes(const wire::LinkItem& item) { return std::visit(ItemBytes{}, item); }

bool Frames::send(PeerNo peer, wire::LinkItem item) {
  const size_t bytes = item_bytes(item);
  return gather(peer, Gathered{std::move(item), bytes, 0});
}

bool Frames::send_stream(PeerNo peer, wire::StreamLetter letter, uint64_t part) {
  ASSERT(part != 0);
  const size_t bytes = ItemBytes{}(letter);
  if (!has_credit(peer, bytes) || !gather(peer, Gathered{std::move(letter), bytes, part})) return false;
  boxes_[peer].stream_bytes += bytes;
  ++counters_.stream_letters_sent;
  return true;
}

// One letter is always allowed, however large.
bool Frames::has_credit(PeerNo peer, size_t bytes) const {
  const auto at = boxes_.find(peer);
  const size_t used = at == boxes_.end() ? 0 : at->second.stream_bytes;
  return used == 0 || used + bytes <= limits::credit_bytes_per_node;
}

bool Frames::gather(PeerNo peer, Gathered item) {
  const Peer* to = links_.peer(peer);
  if (to == nullptr || !to->up) return false;
  Box& box = boxes_[peer];
  if (!box.items.empty() && box.bytes + item.bytes > peer_buffer_bytes_max) {
    ++counters_.link_items_dropped;
    return false;
  }
  box.bytes += item.bytes;
  box.items.push_back(std::move(item));
  return true;
}

std::vector<Frames::Ended> Frames::on_ack(PeerNo peer, const wire::FrameAck& ack) {
  std::vector<Ended> ended;
  const auto at = in_flight_.find(ack.frame);
  if (at == in_flight_.end() || at->second.peer != peer) {
    ++counters_.frame_acks_late;
    return ended;
  }
  for (const Part& part : at->second.parts) {
    Ended& one = ended.emplace_back(Ended{part.part, false, {}});
    for (const auto& refused : ack.not_taken)
      if (refused.item == part.item) one.not_taken.insert(one.not_taken.end(), refused.leaves.begin(), refused.leaves.end());
  }
  boxes_[peer].stream_bytes -= at->second.bytes;
  in_flight_.erase(at);
  return ended;
}

std::vector<Frames::Ended> Frames::on_session_ended(PeerNo peer) {
  std::vector<Ended> ended;
  for (auto at = in_flight_.begin(); at != in_flight_.end();) {
    const auto next = std::next(at);
    if (at->second.peer == peer) fail(at, ended);
    at = next;
  }
  const auto box = boxes_.find(peer);
  if (box == boxes_.end()) return ended;
  for (const Gathered& item : box->second.items)
    if (item.part != 0) ended.push_back({item.part, true, {}});
  boxes_.erase(box);
  return ended;
}

std::vector<Frames::Ended> Frames::on_time(Now now) {
  std::vector<Ended> ended;
  while (!in_flight_.empty() && in_flight_.begin()->second.deadline <= now.instant) {
    ++counters_.frames_timed_out;
    fail(in_flight_.begin(), ended);
  }
  return ended;
}

void Frames::fail(std::map<uint64_t, InFlight>::iterator at, std::vector<Ended>& ended) {
  for (const Part& part : at->second.parts) ended.push_back({part.part, true, {}});
  boxes_[at->second.peer].stream_bytes -= at->second.bytes;
  in_flight_.erase(at);
}

Instant Frames::next_deadline() const {
  return in_flight_.empty() ? Instant::never() : in_flight_.begin()->second.deadline;
}

void Frames::flush(Now now, Output& out) {
  for (auto& [no, box] : boxes_) {
    if (box.items.empty()) continue;
    const Peer* peer = links_.peer(no);
    ASSERT(peer != nullptr && peer->up);  // else on_session_ended has emptied the box
    size_t begin = 0, bytes = 0;
    for (size_t i = 0; i < box.items.size(); ++i) {
      if (i > begin && bytes + box.items[i].bytes > limits::frame_bytes_target) {
        flush_frame(now, *peer, box.items, begin, i, out);
        begin = i;
        bytes = 0;
      }
      bytes += box.items[i].bytes;
    }
    flush_frame(now, *peer, box.items, begin, box.items.size(), out);
    box.items.clear();
    box.bytes = 0;
  }
}

void Frames::flush_frame(Now now, const Peer& peer, std::vector<Gathered>& items, size_t begin, size_t end, Output& out) {
  wire::LinkFrame frame{links_.fabric_id(), options_.boot, peer.hello.boot, 0, {}};
  InFlight flight{peer.no, now.instant + frame_timeout, 0, {}};
  frame.items.reserve(end - begin);
  for (size_t i = begin; i < end; ++i) {
    if (items[i].part != 0) {
      flight.parts.push_back({static_cast<uint32_t>(i - begin), items[i].part});
      flight.bytes += items[i].bytes;
    }
    frame.items.push_back(std::move(items[i].item));
  }
  if (!flight.parts.empty()) {
    frame.number = ++last_number_;
    in_flight_.emplace(frame.number, std::move(flight));
  }
  ++counters_.frames_sent;
  out.links.push_back({peer.endpoint, wire::encode_frame(frame)});
}

}  // namespace canopy::node
