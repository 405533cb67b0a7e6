// The channels of one bucket: durable FIFOs to and from other buckets. A letter is written with the
// operation that caused it and repeated until acknowledged; the receiver's mark knows a repeat. So
// each letter has its effect once, across crashes of either end.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "store/reader.h"
#include "store/writes.h"
#include "wire/letter.h"

namespace canopy::bucket {

// What a letter is to its receiver.
enum class Judgement : uint8_t { next, repeat, gap };

class Channels {
 public:
  explicit Channels(BucketId bucket) : bucket_(bucket) {}

  // Forgets RAM; every outbox is sent from its beginning.
  void open(const store::Reader& reader, Now now);

  // ---- as sender
  bool has_room(BucketId to) const;  // fewer than limits::outbox_letters_max wait
  // Returns the letter's number. REQUIRES: `position` is this operation's.
  LetterNo write(BucketId to, wire::Letter letter, Position position, Now now, store::Writes& writes,
             std::vector<wire::Packet>& packets);
  // It has been accepted: what its receiver does from now on rests on it.
  bool acked(BucketId to, LetterNo letter, const store::Reader& reader) const;
  void on_ack(const wire::ChannelAck& ack, Now now, const store::Reader& reader, store::Writes& writes,
              std::vector<wire::Packet>& packets);
  void on_time(Now now, const store::Reader& reader, std::vector<wire::Packet>& packets);
  void on_node_up(const std::function<bool(BucketId)>& is_there, Now now);
  Instant next_deadline() const;

  // ---- as receiver
  LetterNo mark(BucketId from, const store::Reader& reader) const;
  Judgement judge(const wire::ChannelLetter& letter, const store::Reader& reader) const;
  void advance(const wire::ChannelLetter& letter, store::Writes& writes) const;

  size_t letters_waiting() const { return letters_waiting_; }   // in all outboxes
  void check() const;

 private:
  struct Outbox {
    LetterNo last;          // the newest letter's
    LetterNo sent;          // the newest one sent since the channel was opened
    LetterNo acked;         // all up to here are acknowledged, as far as known since then: they are not walked again
    uint64_t waiting = 0;   // written and not acknowledged
    uint64_t in_flight = 0; // of these, sent
    Instant again = Instant::never();
    uint32_t tries = 0;
  };
  void send_more(BucketId to, Outbox& outbox, Now now, const store::Reader& reader, std::vector<wire::Packet>& packets);
  void schedule(BucketId to, Outbox& outbox, Instant at);
  void schedule_again(BucketId to, Outbox& outbox, Now now);

  BucketId bucket_;
  std::map<BucketId, Outbox> outboxes_;   // from a channel's first letter on
  std::set<std::pair<Instant, BucketId>> again_;
  size_t letters_waiting_ = 0;            // the sum of theirs
};

}  // namespace canopy::bucket
