// Stream letters on their way: a push of a shard of ours and a letter of a peer are one mechanism.
// The route is split into deliveries to shards here and letters to other nodes; when all parts have
// ended the push ends in one Pushed, the peer's frame in one FrameAck. Nothing is kept beyond that:
// what was not taken is owed by the root.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "node/frames.h"
#include "node/links.h"
#include "node/place.h"

namespace canopy::node {

constexpr size_t route_depth_max = 16;   // levels of a tree: 2 children each would reach 65,536 leaves

class Relay {
 public:
  Relay(const Place& place, Links& links, Frames& frames, Counters& counters)
      : place_(place), links_(links), frames_(frames), counters_(counters), shard_bytes_(place.shards, 0), local_(place.shards) {}

  void on_push(uint32_t shard, shard::Push push, Output& out);
  // All stream letters of one frame, with their indices in it.
  using Items = std::vector<std::pair<uint32_t, wire::StreamLetter>>;
  void on_frame(const Peer& from, uint64_t number, Items items, Output& out);
  void on_delivered(shard::Delivered delivered, Output& out);
  void on_ended(const std::vector<Frames::Ended>& ended, Output& out);

  size_t pushes_in_flight() const { return jobs_.size(); }
  void check() const;

 private:
  struct Job {                           // one letter that was to be split
    uint64_t incoming = 0;               // the frame it came in; 0: a push of our own shard
    uint32_t item = 0;                   // index in that frame
    uint32_t shard = 0;                  // of a push
    BucketId root;
    std::string reflector;
    StreamNo no;
    size_t open = 0;                     // parts that have not ended
    std::vector<BucketId> not_taken;
  };
  struct Part {                          // one delivery to a shard or one letter to a peer
    uint64_t job = 0;
    std::vector<BucketId> leaves;        // of a letter: ascending, all that it is to reach
    bool local = false;
    uint32_t shard = 0;                  // local
    size_t bytes = 0;                    // local: of the shard's credit
  };
  struct Incoming {
    PeerNo peer;
    uint64_t boot = 0, number = 0;
    size_t open = 0;                     // its letters that have not ended
    std::vector<wire::FrameAck::NotTaken> not_taken;
  };

  void run(Job job, const wire::StreamLetter& letter, bool at_root, Output& out);
  void serve(uint64_t job, const wire::StreamLetter& letter, const wire::Route& route, bool at_root, size_t depth);
  void serve_leaves(uint64_t job, const wire::StreamLetter& letter, const wire::Route& route, bool at_root);
  void deliver(uint64_t job, const wire::StreamLetter& letter, uint32_t shard, std::vector<BucketId> leaves, Output& out);
  void send(uint64_t job, const wire::StreamLetter& letter, wire::Route route);
  void not_taken(uint64_t job, const std::vector<BucketId>& leaves);
  void end_part(uint64_t part, bool failed, std::vector<BucketId> refused, Output& out);
  void end_one(uint64_t job, Output& out);
  void finish(Job job, Output& out);
  uint64_t new_part(Part part);

  const Place& place_;
  Links& links_;
  Frames& frames_;
  Counters& counters_;
  std::unordered_map<uint64_t, Job> jobs_;        // never walked but for check()
  std::unordered_map<uint64_t, Part> parts_;      // the same
  std::map<uint64_t, Incoming> incoming_;
  std::vector<size_t> shard_bytes_;               // on their way to each shard: its credit
  std::vector<std::vector<BucketId>> local_;      // of the letter that is being split, by shard
  uint64_t last_job_ = 0, last_part_ = 0, last_incoming_ = 0;
};

}  // namespace canopy::node
