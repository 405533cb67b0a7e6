// A request that asks several buckets, some at a time, the next questions made from the answers
// before; they make one reply.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "wire/reply.h"
#include "wire/request.h"

namespace canopy::node {

constexpr size_t survey_parallel_max = 64;  // questions of one survey that are open at a time

class Survey {
 public:
  struct Question {
    uint32_t part = 0;
    BucketId bucket;
    wire::Request request;
    bool optional = false;  // there is a reply without it: half of the time that is left must do
  };

  Survey() = default;
  Survey(const Survey&) = delete;
  Survey& operator=(const Survey&) = delete;
  virtual ~Survey() = default;

  // Returns what to ask now; each is answered once by on_reply, after which there may be more.
  [[nodiscard]] std::vector<Question> next();
  void on_reply(uint32_t part, wire::Reply reply);
  bool finished() const { return finished_; }
  wire::Reply take() { return std::move(reply_); }

 protected:
  void ask(Question question);
  void end(wire::Reply reply);
  size_t unanswered() const { return unanswered_; }

 private:
  virtual void on_answer(uint32_t part, wire::Reply reply) = 0;  // never Moved
  // Begins anew with the names of `again`. Returns false when it is no answer to that part.
  virtual bool on_moved(uint32_t part, wire::Request again) = 0;

  std::deque<Question> waiting_;
  size_t open_ = 0;        // asked and not answered
  size_t unanswered_ = 0;  // asked or not
  unsigned moves_ = 0;
  bool finished_ = false;
  wire::Reply reply_;
};

}  // namespace canopy::node
