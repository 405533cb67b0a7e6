#include "node/unfollow_survey.h"

#include "node/errors.h"

namespace canopy::node {
namespace {
constexpr uint32_t follower_part = 0, author_part = 1;
}  // namespace

UnfollowSurvey::UnfollowSurvey(shard::MapRef map, wire::Unfollow request) : map_(std::move(map)), request_(std::move(request)) {
  ask_follower();
}

void UnfollowSurvey::ask_follower() { ask({follower_part, map_->bucket_of(request_.pairs[0].follower), request_}); }

void UnfollowSurvey::on_answer(uint32_t part, wire::Reply reply) {
  if (part == author_part) return end(std::move(nothing_));  // it is no alias, or nobody can say
  auto* error = std::get_if<Error>(&reply);
  auto* result = std::get_if<wire::UnfollowResult>(&reply);
  if (result != nullptr && result->removed.size() == 1) error = std::get_if<Error>(&result->removed[0]);
  if (error != nullptr) return end(std::move(*error));
  if (result == nullptr || result->removed.size() != 1) return end(misfit());
  if (by_first_name_ || std::get<bool>(result->removed[0])) return end(std::move(*result));
  nothing_ = std::move(*result);
  ask({author_part, map_->bucket_of(request_.pairs[0].author), wire::Lookup{request_.pairs[0].author}, true});
}

bool UnfollowSurvey::on_moved(uint32_t part, wire::Request again) {
  if (part == author_part) {
    auto* lookup = std::get_if<wire::Lookup>(&again);
    if (lookup == nullptr) return false;
    request_.pairs[0].author = std::move(lookup->entity);
    by_first_name_ = true;
  } else {
    auto* unfollow = std::get_if<wire::Unfollow>(&again);
    if (unfollow == nullptr || unfollow->pairs.size() != 1) return false;
    request_ = std::move(*unfollow);
  }
  ask_follower();
  return true;
}

}  // namespace canopy::node
