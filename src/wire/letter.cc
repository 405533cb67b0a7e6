#include "wire/letter.h"

#include "base/name.h"

namespace canopy::wire {
namespace {

// Numbers in outbox records and frames: never to change.
constexpr uint8_t letter_version = 1;
enum class LetterKind : uint8_t { leaf_join = 1, leaf_leave = 2, welcome = 3 };

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // clang 14 does not find it by itself

void put_head(std::string& out, LetterKind kind, std::string_view reflector, Position generation) {
  put_u8(out, letter_version);
  put_u8(out, static_cast<uint8_t>(kind));
  put_string(out, reflector);
  put_be64(out, generation.packed());
}

}  // namespace

std::string encode_letter(const Letter& letter) {
  std::string out;
  std::visit(Overloaded{
                 [&](const LeafJoin& l) { put_head(out, LetterKind::leaf_join, l.reflector, l.generation); },
                 [&](const LeafLeave& l) { put_head(out, LetterKind::leaf_leave, l.reflector, l.generation); },
                 [&](const Welcome& l) {
                   put_head(out, LetterKind::welcome, l.reflector, l.generation);
                   put_be64(out, l.first.packed());
                   put_be64(out, l.newest_before.packed());
                 },
             },
             letter);
  return out;
}

bool decode_letter(std::string_view bytes, Letter& letter) {
  Cursor cursor(bytes);
  const uint8_t version = cursor.u8();
  const LetterKind kind = static_cast<LetterKind>(cursor.u8());
  std::string reflector(cursor.string());
  const Position generation(cursor.be64());
  if (generation.incarnation() > Position::incarnation_max) return false;
  Letter read;
  switch (kind) {
    case LetterKind::leaf_join: read = LeafJoin{std::move(reflector), generation}; break;
    case LetterKind::leaf_leave: read = LeafLeave{std::move(reflector), generation}; break;
    case LetterKind::welcome: {
      const StreamNo first(cursor.be64());
      if (first.zero() || first.incarnation() > StreamNo::incarnation_max) return false;
      const MessageId newest_before(cursor.be64());
      read = Welcome{std::move(reflector), generation, first, newest_before};
      break;
    }
    default: return false;
  }
  if (version != letter_version || !cursor.done()) return false;
  const bool named = std::visit([](const auto& l) { return check_name("reflector", l.reflector).has_value(); }, read);
  if (named) letter = std::move(read);
  return named;
}

BucketId packet_to(const Packet& packet) {
  // An acknowledgement names the channel, whose `from` is the one that is to hear it.
  return std::visit(Overloaded{
                        [](const ChannelAck& p) { return p.from; },
                        [](const auto& p) { return p.to; },
                    },
                    packet);
}

}  // namespace canopy::wire
