#include "bucket/channels.h"

#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "store/keys.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr Duration first_wait = Duration::of_ms(200);
constexpr Duration longest_wait = Duration::of_s(5);

std::string encode_number(LetterNo number) {
  std::string value;
  put_be64(value, number.position.packed());
  put_be32(value, number.index);
  return value;
}

LetterNo decode_number(Cursor& in) {
  LetterNo number;
  number.position = Position(in.be64());
  number.index = in.be32();
  return number;
}

// The letter of an outbox record, without its message.
wire::Letter decode_letter(std::string_view record) {
  Cursor in(record);
  decode_number(in);
  wire::Letter letter;
  ASSERT(wire::decode_letter(in.rest(), letter));
  return letter;
}

}  // namespace

void Channels::open(const store::Reader& reader, Now now) {
  outboxes_.clear();
  letters_waiting_ = 0;
  again_.clear();
  const std::string prefix = KeyBuilder(bucket_, Table::channel_out);
  reader.scan(prefix, store::after_prefix(prefix), [&](std::string_view key, std::string_view value) {
    Cursor in(value);
    outboxes_[BucketId(Cursor(key.substr(prefix.size())).be16())].last = decode_number(in);
    ASSERT(in.done());
    return true;
  });
  for (auto& [to, outbox] : outboxes_) {
    const std::string letters = KeyBuilder(bucket_, Table::outbox).add(to);
    reader.scan(letters, store::after_prefix(letters), [&](std::string_view, std::string_view) {
      ++outbox.waiting;
      return true;
    });
    letters_waiting_ += outbox.waiting;
    if (outbox.waiting > 0) schedule(to, outbox, now.instant);
  }
}

bool Channels::has_room(BucketId to) const {
  const auto it = outboxes_.find(to);
  return it == outboxes_.end() || it->second.waiting < limits::outbox_letters_max;
}

LetterNo Channels::write(BucketId to, wire::Letter letter, Position position, Now now, store::Writes& writes,
                     std::vector<wire::Packet>& packets) {
  Outbox& outbox = outboxes_[to];
  const LetterNo previous = outbox.last;
  const LetterNo number{position, previous.position == position ? previous.index + 1 : 0};
  ASSERT(number > previous);
  writes.put(KeyBuilder(bucket_, Table::outbox).add(to).add(number), encode_number(previous) + wire::encode_letter(letter));
  if (const auto body = wire::body_of(letter); body.message) writes.ref(body.ref, *body.message);
  writes.put(KeyBuilder(bucket_, Table::channel_out).add(to), encode_number(number));
  outbox.last = number;
  // Sent at once only when everything before it was: the channel is a FIFO.
  if (outbox.in_flight == outbox.waiting && outbox.in_flight < limits::letters_in_flight_max) {
    packets.push_back(wire::ChannelLetter{bucket_, to, number, previous, std::move(letter)});
    outbox.sent = number;
    ++outbox.in_flight;
    if (outbox.again == Instant::never()) schedule_again(to, outbox, now);
  }
  ++outbox.waiting;
  ++letters_waiting_;
  return number;
}

bool Channels::acked(BucketId to, LetterNo letter, const store::Reader& reader) const {
  // What this step writes is not in the store yet.
  return letter.position <= reader.position(bucket_) && !reader.get(KeyBuilder(bucket_, Table::outbox).add(to).add(letter));
}

void Channels::on_ack(const wire::ChannelAck& ack, Now now, const store::Reader& reader, store::Writes& writes,
                      std::vector<wire::Packet>& packets) {
  const auto it = outboxes_.find(ack.to);
  if (it == outboxes_.end()) return;
  Outbox& outbox = it->second;
  // Beyond what was sent since the channel was opened: of before a restart, and it will be said again.
  if (ack.have > outbox.sent) return;
  uint64_t taken = 0;
  if (ack.have <= outbox.acked) return;
  const LetterNo behind{ack.have.position, ack.have.index + 1};
  reader.scan(KeyBuilder(bucket_, Table::outbox).add(ack.to).add(outbox.acked), KeyBuilder(bucket_, Table::outbox).add(ack.to).add(behind), [&](std::string_view key, std::string_view value) {
    wire::Letter letter = decode_letter(value);
    if (const auto body = wire::body_of(letter); body.message) writes.unref(body.ref);
    writes.erase(std::string(key));
    ++taken;
    return true;
  });
  outbox.acked = ack.have;
  if (taken == 0) return;
  ASSERT(taken <= outbox.waiting);
  outbox.waiting -= taken;
  letters_waiting_ -= taken;
  outbox.in_flight -= std::min(taken, outbox.in_flight);
  outbox.tries = 0;
  schedule(ack.to, outbox, Instant::never());
  send_more(ack.to, outbox, now, reader, packets);
}

// Sends letters behind `sent`, as many as the window takes.
void Channels::send_more(BucketId to, Outbox& outbox, Now now, const store::Reader& reader,
                         std::vector<wire::Packet>& packets) {
  const std::string prefix = KeyBuilder(bucket_, Table::outbox).add(to);
  size_t bytes = 0;
  if (outbox.in_flight < outbox.waiting) {
    const LetterNo behind{outbox.sent.position, outbox.sent.index + 1};
    reader.scan(KeyBuilder(bucket_, Table::outbox).add(to).add(behind), store::after_prefix(prefix),
                [&](std::string_view key, std::string_view value) {
                  if (outbox.in_flight >= limits::letters_in_flight_max || bytes > limits::fetch_window_bytes) return false;
                  Cursor number(key.substr(prefix.size())), in(value);
                  wire::ChannelLetter letter{bucket_, to, decode_number(number), decode_number(in), decode_letter(value)};
                  if (const auto body = wire::body_of(letter.letter); body.message) {
                    *body.message = reader.body(body.ref);
                    ASSERT(*body.message);
                    bytes += (*body.message)->size();
                  }
                  outbox.sent = letter.number;
                  ++outbox.in_flight;
                  packets.push_back(std::move(letter));
                  return true;
                });
  }
  if (outbox.in_flight > 0 && outbox.again == Instant::never()) schedule_again(to, outbox, now);
}

void Channels::on_time(Now now, const store::Reader& reader, std::vector<wire::Packet>& packets) {
  while (!again_.empty() && again_.begin()->first <= now.instant) {
    const BucketId to = again_.begin()->second;
    Outbox& outbox = outboxes_.at(to);
    schedule(to, outbox, Instant::never());
    // From the first that is not acknowledged: a receiver takes them in order or not at all.
    outbox.sent = outbox.acked;
    outbox.in_flight = 0;
    send_more(to, outbox, now, reader, packets);
  }
}

void Channels::on_node_up(const std::function<bool(BucketId)>& is_there, Now now) {
  for (auto& [to, outbox] : outboxes_) {
    if (outbox.waiting == 0 || !is_there(to)) continue;
    outbox.tries = 0;
    schedule(to, outbox, now.instant);
  }
}

void Channels::schedule(BucketId to, Outbox& outbox, Instant at) {
  if (outbox.again != Instant::never()) again_.erase({outbox.again, to});
  outbox.again = at;
  if (at != Instant::never()) again_.emplace(at, to);
}

void Channels::schedule_again(BucketId to, Outbox& outbox, Now now) {
  schedule(to, outbox, now.instant + Duration{std::min(first_wait.us << std::min(outbox.tries, 10u), longest_wait.us)});
  ++outbox.tries;
}

Instant Channels::next_deadline() const { return again_.empty() ? Instant::never() : again_.begin()->first; }

LetterNo Channels::mark(BucketId from, const store::Reader& reader) const {
  const auto value = reader.get(KeyBuilder(bucket_, Table::channel_in).add(from));
  if (!value) return {};
  Cursor in(*value);
  return decode_number(in);
}

Judgement Channels::judge(const wire::ChannelLetter& letter, const store::Reader& reader) const {
  const LetterNo have = mark(letter.from, reader);
  if (letter.number <= have) return planted("letter repeated") ? Judgement::next : Judgement::repeat;
  return letter.previous == have ? Judgement::next : Judgement::gap;
}

void Channels::advance(const wire::ChannelLetter& letter, store::Writes& writes) const {
  writes.put(KeyBuilder(bucket_, Table::channel_in).add(letter.from), encode_number(letter.number));
}

void Channels::check() const {
  size_t scheduled = 0, waiting = 0;
  for (const auto& [to, outbox] : outboxes_) {
    ASSERT(outbox.in_flight <= outbox.waiting);
    ASSERT(outbox.in_flight <= limits::letters_in_flight_max);
    ASSERT(outbox.waiting == 0 || outbox.again != Instant::never());
    scheduled += outbox.again != Instant::never();
    waiting += outbox.waiting;
  }
  ASSERT(scheduled == again_.size() && waiting == letters_waiting_);
}

}  // namespace canopy::bucket
