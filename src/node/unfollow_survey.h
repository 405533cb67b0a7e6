// UNFOLLOW of one pair: where the follower does not follow that name, perhaps it is an alias of one that
// he follows; its own bucket tells.
#pragma once

#include "node/survey.h"
#include "shard/seam.h"

namespace canopy::node {

class UnfollowSurvey final : public Survey {
 public:
  // REQUIRES: one pair.
  UnfollowSurvey(shard::MapRef map, wire::Unfollow request);

 private:
  void on_answer(uint32_t part, wire::Reply reply) override;
  bool on_moved(uint32_t part, wire::Request again) override;
  void ask_follower();

  shard::MapRef map_;
  wire::Unfollow request_;
  bool by_first_name_ = false;
  wire::UnfollowResult nothing_;  // the answer when the name leads to nobody else
};

}  // namespace canopy::node
