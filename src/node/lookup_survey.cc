#include "node/lookup_survey.h"

#include "node/answers.h"
#include "node/errors.h"

namespace canopy::node {

LookupSurvey::LookupSurvey(const Place& place, wire::Lookup request) : place_(place) { start(std::move(request)); }

void LookupSurvey::start(wire::Lookup request) {
  request_ = std::move(request);
  ask({0, place_.map->bucket_of(request_.entity), request_, true});
}

void LookupSurvey::on_answer(uint32_t, wire::Reply reply) {
  if (const auto* result = std::get_if<wire::LookupResult>(&reply)) return end(answer_lookup(place_, {result->entity}));
  auto* error = std::get_if<Error>(&reply);
  if (error == nullptr) return end(misfit());
  if (error->code == Code::unavailable || error->code == Code::timeout) return end(answer_lookup(place_, request_));
  end(std::move(*error));
}

bool LookupSurvey::on_moved(uint32_t, wire::Request again) {
  auto* lookup = std::get_if<wire::Lookup>(&again);
  if (lookup == nullptr) return false;
  start(std::move(*lookup));
  return true;
}

}  // namespace canopy::node
