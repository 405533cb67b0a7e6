#include "node/thread_survey.h"

#include "node/errors.h"
#include "wire/message.h"

namespace canopy::node {
namespace {

constexpr uint32_t thread_part = 0, parent_part = 1;

MessageId parent_of(const wire::Entry& entry) {
  const auto message = entry.message ? wire::decode_message(*entry.message) : failure(Code::internal, "no message");
  return message ? message->reply_to : MessageId();
}

}  // namespace

ThreadSurvey::ThreadSurvey(shard::MapRef map, wire::Thread request) : map_(std::move(map)) {
  const BucketId bucket = request.id.bucket();
  ask({thread_part, bucket, std::move(request)});
}

void ThreadSurvey::on_answer(uint32_t part, wire::Reply reply) {
  if (part == parent_part) return on_parent(std::move(reply));
  if (auto* error = std::get_if<Error>(&reply)) return end(std::move(*error));
  auto* thread = std::get_if<wire::ThreadResult>(&reply);
  if (thread == nullptr) return end(misfit());
  on_thread(std::move(*thread));
}

void ThreadSurvey::on_thread(wire::ThreadResult thread) {
  result_ = std::move(thread);
  result_.parent.reset();
  const MessageId parent = parent_of(result_.message);
  if (parent.zero() || parent.bucket().value() >= map_->buckets.size()) return end(std::move(result_));
  ask({parent_part, parent.bucket(), wire::Get{parent}, true});
}

void ThreadSurvey::on_parent(wire::Reply reply) {
  if (auto* parent = std::get_if<wire::GetResult>(&reply)) {
    result_.parent = std::move(parent->entry);
    return end(std::move(result_));
  }
  auto* error = std::get_if<Error>(&reply);
  if (error == nullptr) return end(misfit());
  const bool without = error->code == Code::not_found || error->code == Code::unavailable || error->code == Code::timeout;
  if (without) end(std::move(result_));
  else end(std::move(*error));
}

}  // namespace canopy::node
