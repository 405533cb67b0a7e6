#include "node/ingest.h"

#include <algorithm>

namespace canopy::node {
namespace {

size_t bytes_of(const wire::Message& message) {
  return 128 + message.author.size() + message.type.size() + message.key.size() + message.body.size();
}

}  // namespace

void Ingest::on_message(Now now, wire::Message message, Output& out) {
  ++counters_.ingest;
  const size_t bytes = bytes_of(message);
  if (waiting_.size() >= ingest_waiting_max || (!waiting_.empty() && waiting_bytes_ + bytes > ingest_waiting_bytes_max)) {
    ++counters_.ingest_dropped;
    return;
  }
  waiting_bytes_ += bytes;
  waiting_.emplace(++last_number_, Waiting{std::move(message), now.instant + ingest_wait_max});
  pump(now, out);
}

void Ingest::pump(Now now, Output& out) {
  drop_old(now);
  if (!place_.known() || now.instant < paused_until_) return;
  while (!waiting_.empty() && room()) {
    auto node = waiting_.extract(waiting_.begin());
    const uint64_t number = node.key();
    const wire::Message& message = node.mapped().message;
    waiting_bytes_ -= bytes_of(message);
    sent_bytes_ += bytes_of(message);
    wire::Publish publish;
    publish.messages.push_back(message);
    const BucketId bucket = place_.map->bucket_of(message.author);
    sent_.insert(std::move(node));
    asks_.ask(now, {Asks::Purpose::Kind::ingest, number, 0, PeerNo(), 0}, bucket, std::move(publish),
              now.instant + limits::request_timeout, out);
  }
}

// What was certainly not carried out waits for another try; what may have been is never repeated.
void Ingest::on_done(Now now, uint64_t number, const Asks::Done& done) {
  auto node = sent_.extract(number);
  if (node.empty()) return;
  sent_bytes_ -= bytes_of(node.mapped().message);
  const Error* error = std::get_if<Error>(&done.reply);
  if (const auto* result = std::get_if<wire::PublishResult>(&done.reply); result != nullptr && result->results.size() == 1)
    error = std::get_if<Error>(&result->results[0]);
  if (error == nullptr) {
    ++counters_.ingest_published;
    return;
  }
  if (error->code != Code::busy && !done.untouched) {
    ++counters_.ingest_failed;
    return;
  }
  paused_until_ = now.instant + ingest_pause;
  waiting_bytes_ += bytes_of(node.mapped().message);
  waiting_.insert(std::move(node));
}

void Ingest::drop_old(Now now) {
  while (!waiting_.empty() && waiting_.begin()->second.give_up <= now.instant) {
    ++counters_.ingest_dropped;
    waiting_bytes_ -= bytes_of(waiting_.begin()->second.message);
    waiting_.erase(waiting_.begin());
  }
}

Instant Ingest::next_deadline() const {
  if (waiting_.empty()) return Instant::never();
  const Instant give_up = waiting_.begin()->second.give_up;
  return place_.known() && room() ? std::min(give_up, paused_until_) : give_up;
}

}  // namespace canopy::node
