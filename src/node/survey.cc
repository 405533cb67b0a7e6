#include "node/survey.h"

#include "base/assert.h"
#include "node/errors.h"

namespace canopy::node {

std::vector<Survey::Question> Survey::next() {
  std::vector<Question> questions;
  while (!finished_ && !waiting_.empty() && open_ < survey_parallel_max) {
    questions.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    ++open_;
  }
  return questions;
}

void Survey::on_reply(uint32_t part, wire::Reply reply) {
  if (finished_) return;
  ASSERT(open_ > 0 && unanswered_ > 0);
  --open_;
  --unanswered_;
  auto* moved = std::get_if<wire::Moved>(&reply);
  if (moved == nullptr) return on_answer(part, std::move(reply));
  if (++moves_ > moves_max) return end(moved_too_often());
  if (!on_moved(part, std::move(moved->again))) end(misfit());
}

void Survey::ask(Question question) {
  waiting_.push_back(std::move(question));
  ++unanswered_;
}

void Survey::end(wire::Reply reply) {
  finished_ = true;
  reply_ = std::move(reply);
  waiting_.clear();
}

}  // namespace canopy::node
