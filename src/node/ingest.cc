#include "node/ingest.h"

#include <algorithm>

#include "node/errors.h"

namespace canopy::node {

void Ingest::on_message(Now now, wire::Message message, Output& out) {
  ++counters_.ingest;
  const size_t bytes = message_bytes(message);
  if (waiting_.size() >= ingest_waiting_max || (!waiting_.empty() && waiting_bytes_ + bytes > ingest_waiting_bytes_max)) {
    ++counters_.ingest_dropped;
    return;
  }
  waiting_bytes_ += bytes;
  waiting_.emplace(++last_number_, Waiting{std::move(message), now.instant + ingest_wait_max, Instant::never()});
  pump(now, out);
}

void Ingest::pump(Now now, Output& out) {
  drop_old(now);
  if (!place_.known() || now.instant < paused_until_) return;
  while (!waiting_.empty() && room()) {
    auto node = waiting_.extract(waiting_.begin());
    waiting_bytes_ -= message_bytes(node.mapped().message);
    node.mapped().deadline = now.instant + limits::request_timeout;
    send(now, std::move(node), out);
  }
}

void Ingest::send(Now now, Messages::node_type node, Output& out) {
  const uint64_t number = node.key();
  const Waiting& sent = node.mapped();
  wire::Publish publish;
  publish.messages.push_back(sent.message);
  const BucketId bucket = place_.map->bucket_of(sent.message.author);
  const Instant deadline = sent.deadline;
  sent_bytes_ += message_bytes(sent.message);
  sent_.insert(std::move(node));
  asks_.ask(now, {Asks::Purpose::Kind::ingest, number, 0, PeerNo(), 0}, bucket, std::move(publish), deadline, out);
}

// What was certainly not carried out goes on under its author's first name, or waits for another try;
// what may have been is never repeated.
void Ingest::on_done(Now now, Asks::Done done, Output& out) {
  auto node = sent_.extract(done.purpose.request);
  if (node.empty()) return;
  Waiting& sent = node.mapped();
  sent_bytes_ -= message_bytes(sent.message);
  if (auto* moved = std::get_if<wire::Moved>(&done.reply)) {
    auto* again = std::get_if<wire::Publish>(&moved->again);
    ++counters_.requests_moved;
    if (again != nullptr && again->messages.size() == 1 && ++sent.moves <= moves_max) {
      sent.message = std::move(again->messages[0]);
      return send(now, std::move(node), out);
    }
    done.reply = misfit();
  }
  const Error* error = std::get_if<Error>(&done.reply);
  if (const auto* result = std::get_if<wire::PublishResult>(&done.reply); result != nullptr && result->results.size() == 1)
    error = std::get_if<Error>(&result->results[0]);
  if (error == nullptr) ++counters_.ingest_published;
  else if (error->code == Code::busy || done.untouched) wait(now, std::move(node));
  else ++counters_.ingest_failed;
}

void Ingest::wait(Now now, Messages::node_type node) {
  paused_until_ = now.instant + ingest_pause;
  waiting_bytes_ += message_bytes(node.mapped().message);
  waiting_.insert(std::move(node));
}

void Ingest::drop_old(Now now) {
  while (!waiting_.empty() && waiting_.begin()->second.give_up <= now.instant) {
    ++counters_.ingest_dropped;
    waiting_bytes_ -= message_bytes(waiting_.begin()->second.message);
    waiting_.erase(waiting_.begin());
  }
}

Instant Ingest::next_deadline() const {
  if (waiting_.empty()) return Instant::never();
  const Instant give_up = waiting_.begin()->second.give_up;
  return place_.known() && room() ? std::min(give_up, paused_until_) : give_up;
}

}  // namespace canopy::node
