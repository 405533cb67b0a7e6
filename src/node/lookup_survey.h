// LOOKUP: the entity's bucket tells the first name of an alias, the map the rest. It is answered from
// the map alone when the bucket cannot be reached: who looks for a way around a dead node gets one.
#pragma once

#include "node/place.h"
#include "node/survey.h"

namespace canopy::node {

class LookupSurvey final : public Survey {
 public:
  // `place` is known and outlives the survey.
  LookupSurvey(const Place& place, wire::Lookup request);

 private:
  void on_answer(uint32_t part, wire::Reply reply) override;
  bool on_moved(uint32_t part, wire::Request again) override;
  void start(wire::Lookup request);

  const Place& place_;
  wire::Lookup request_;  // by the best name so far
};

}  // namespace canopy::node
