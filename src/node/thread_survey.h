// THREAD: the message and its replies from the message's bucket, then what it replies to from that
// one's bucket. A parent that is gone or cannot be had now is left out.
#pragma once

#include "node/survey.h"
#include "shard/seam.h"

namespace canopy::node {

class ThreadSurvey final : public Survey {
 public:
  // REQUIRES: the id's bucket exists.
  ThreadSurvey(shard::MapRef map, wire::Thread request);

 private:
  void on_answer(uint32_t part, wire::Reply reply) override;
  bool on_moved(uint32_t, wire::Request) override { return false; }  // it names no entity
  void on_thread(wire::ThreadResult thread);
  void on_parent(wire::Reply reply);

  shard::MapRef map_;
  wire::ThreadResult result_;
};

}  // namespace canopy::node
