#include "node/relay.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"

namespace canopy::node {
namespace {

// Adds all leaves of a route; returns its levels.
size_t collect_leaves(const wire::Route& route, std::vector<BucketId>& leaves) {
  leaves.insert(leaves.end(), route.leaves.begin(), route.leaves.end());
  size_t below = 0;
  for (const wire::Route& child : route.children) below = std::max(below, collect_leaves(child, leaves));
  return below + 1;
}

size_t bytes_of(const wire::StreamLetter& letter) {
  return 64 + letter.reflector.size() + (letter.item.message ? letter.item.message->size() : 0);
}

}  // namespace

void Relay::on_push(uint32_t shard, shard::Push push, Output& out) {
  ++counters_.pushes;
  push.letter.route.node = place_.self;
  Job job;
  job.shard = shard;
  job.root = push.letter.root;
  job.reflector = push.letter.reflector;
  job.no = push.letter.item.no;
  run(std::move(job), push.letter, true, out);
}

void Relay::on_frame(const Peer& from, uint64_t number, Items items, Output& out) {
  const uint64_t incoming = ++last_incoming_;
  incoming_[incoming] = Incoming{from.no, from.hello.boot, number, items.size(), {}};
  for (auto& [index, letter] : items) {
    ++counters_.stream_letters_received;
    Job job;
    job.incoming = incoming;
    job.item = index;
    run(std::move(job), letter, false, out);
  }
}

// The job itself counts as an open part while it is being split, so that it ends once. However many
// reflectors of the tree this node plays, each of its shards hears of the letter once.
void Relay::run(Job job, const wire::StreamLetter& letter, bool at_root, Output& out) {
  const uint64_t number = ++last_job_;
  job.open = 1;
  jobs_.emplace(number, std::move(job));
  serve(number, letter, letter.route, at_root, 0);
  for (uint32_t shard = 0; shard < local_.size(); ++shard)
    if (!local_[shard].empty()) deliver(number, letter, shard, std::exchange(local_[shard], {}), out);
  end_one(number, out);
}

void Relay::serve(uint64_t job, const wire::StreamLetter& letter, const wire::Route& route, bool at_root, size_t depth) {
  if (route.node != place_.self || depth >= route_depth_max || !place_.known()) {
    std::vector<BucketId> leaves;
    collect_leaves(route, leaves);
    counters_.leaves_not_mine += leaves.size();
    not_taken(job, leaves);
    return;
  }
  counters_.letters_per_message_max = std::max<uint64_t>(counters_.letters_per_message_max, route.letters());
  serve_leaves(job, letter, route, at_root);
  for (const wire::Route& child : route.children) {
    if (child.node == place_.self) serve(job, letter, child, false, depth + 1);
    else send(job, letter, child);
  }
}

// Leaves of other nodes stand in a route only at the root; elsewhere the map has changed meanwhile.
void Relay::serve_leaves(uint64_t job, const wire::StreamLetter& letter, const wire::Route& route, bool at_root) {
  std::map<NodeIndex, std::vector<BucketId>> by_node;
  std::vector<BucketId> lost;
  for (auto& leaves : local_) leaves.reserve(leaves.size() + route.leaves.size());
  for (const BucketId leaf : route.leaves) {
    if (planted("relay forgets a leaf") && !at_root && route.leaves.size() > 1 && leaf == route.leaves.back()) continue;
    if (place_.mine(leaf)) local_[place_.shard(leaf)].push_back(leaf);
    else if (at_root && place_.exists(leaf)) by_node[place_.map->owner(leaf)].push_back(leaf);
    else lost.push_back(leaf);
  }
  for (auto& [node, leaves] : by_node) send(job, letter, wire::Route{node, std::move(leaves), {}});
  counters_.leaves_not_mine += lost.size();
  not_taken(job, lost);
}

void Relay::deliver(uint64_t job, const wire::StreamLetter& letter, uint32_t shard, std::vector<BucketId> leaves,
                    Output& out) {
  const size_t bytes = bytes_of(letter);
  size_t& used = shard_bytes_[shard];
  if (used > 0 && used + bytes > limits::credit_bytes_per_node) {
    counters_.leaves_without_credit += leaves.size();
    not_taken(job, leaves);
    return;
  }
  used += bytes;
  const auto not_above = [](BucketId a, BucketId b) { return !(a < b); };
  if (std::adjacent_find(leaves.begin(), leaves.end(), not_above) != leaves.end()) {
    std::sort(leaves.begin(), leaves.end());
    leaves.erase(std::unique(leaves.begin(), leaves.end()), leaves.end());  // a peer may name one twice
  }
  counters_.deliveries += leaves.size();
  const uint64_t part = new_part({job, {}, true, shard, bytes});
  out.shards.push_back({shard, shard::Deliver{part, letter.root, letter.reflector, letter.item, std::move(leaves)}});
}

void Relay::send(uint64_t job, const wire::StreamLetter& letter, wire::Route route) {
  std::vector<BucketId> leaves;
  const size_t levels = collect_leaves(route, leaves);
  std::sort(leaves.begin(), leaves.end());
  const Peer* peer = links_.with_session(route.node);
  if (peer == nullptr || levels > route_depth_max) return not_taken(job, leaves);
  const uint64_t part = new_part({job, leaves, false, 0, 0});
  const wire::StreamLetter onward{letter.root, letter.reflector, letter.item, std::move(route)};
  if (frames_.send_stream(peer->no, onward, part)) return;
  counters_.leaves_without_credit += leaves.size();
  parts_.erase(part);
  --jobs_.at(job).open;
  not_taken(job, leaves);
}

uint64_t Relay::new_part(Part part) {
  ++jobs_.at(part.job).open;
  parts_.emplace(++last_part_, std::move(part));
  return last_part_;
}

void Relay::not_taken(uint64_t job, const std::vector<BucketId>& leaves) {
  counters_.leaves_not_taken += leaves.size();
  std::vector<BucketId>& all = jobs_.at(job).not_taken;
  all.insert(all.end(), leaves.begin(), leaves.end());
}

void Relay::on_delivered(shard::Delivered delivered, Output& out) {
  end_part(delivered.ticket, false, std::move(delivered.not_taken), out);
}

void Relay::on_ended(const std::vector<Frames::Ended>& ended, Output& out) {
  for (const Frames::Ended& one : ended) end_part(one.part, one.failed, one.not_taken, out);
}

void Relay::end_part(uint64_t number, bool failed, std::vector<BucketId> refused, Output& out) {
  const auto at = parts_.find(number);
  if (at == parts_.end()) return;
  const Part part = std::move(at->second);
  parts_.erase(at);
  if (part.local) shard_bytes_[part.shard] -= part.bytes;
  if (part.local) {  // our own shard refuses only what it was given
    not_taken(part.job, refused);
  } else if (failed) {
    not_taken(part.job, part.leaves);
  } else {
    std::erase_if(refused, [&](BucketId leaf) { return !std::binary_search(part.leaves.begin(), part.leaves.end(), leaf); });
    not_taken(part.job, refused);
  }
  end_one(part.job, out);
}

void Relay::end_one(uint64_t number, Output& out) {
  const auto at = jobs_.find(number);
  ASSERT(at != jobs_.end() && at->second.open > 0);
  if (--at->second.open > 0) return;
  Job job = std::move(at->second);
  jobs_.erase(at);
  std::sort(job.not_taken.begin(), job.not_taken.end());
  job.not_taken.erase(std::unique(job.not_taken.begin(), job.not_taken.end()), job.not_taken.end());
  finish(std::move(job), out);
}

void Relay::finish(Job job, Output& out) {
  if (job.incoming == 0) {
    out.shards.push_back({job.shard, shard::Pushed{job.root, std::move(job.reflector), job.no, std::move(job.not_taken)}});
    return;
  }
  Incoming& frame = incoming_.at(job.incoming);
  if (!job.not_taken.empty()) frame.not_taken.push_back({job.item, std::move(job.not_taken)});
  if (--frame.open > 0) return;
  const Peer* peer = links_.peer(frame.peer);  // of another boot: nobody waits for it any more
  if (peer != nullptr && peer->hello.boot == frame.boot)
    frames_.send(frame.peer, wire::FrameAck{frame.number, std::move(frame.not_taken)});
  incoming_.erase(job.incoming);
}

void Relay::check() const {
  std::map<uint64_t, size_t> open;
  std::vector<size_t> bytes(shard_bytes_.size(), 0);
  for (const auto& [number, part] : parts_) {
    ++open[part.job];
    if (part.local) bytes[part.shard] += part.bytes;
  }
  ASSERT(bytes == shard_bytes_);
  for (const auto& [number, job] : jobs_) ASSERT(job.open > 0 && job.open == open[number]);
  for (const auto& [number, frame] : incoming_) ASSERT(frame.open > 0);
}

}  // namespace canopy::node
