#include "wire/letter.h"

#include "base/limits.h"
#include "base/name.h"

namespace canopy::wire {
namespace {

// Numbers in outbox records and frames: never to change.
constexpr uint8_t letter_version = 1;
enum class LetterKind : uint8_t {
  leaf_join = 1,
  leaf_leave = 2,
  welcome = 3,
  clone = 4,
  unclone = 5,
  backfill_ask = 6,
  backfill = 7,
  redirect = 8,
  alias_claim = 9,
  alias_answer = 10,
  alias_drop = 11,
  share = 12,
  shared = 13,
  leaf_mode = 14,
};
static_assert(std::variant_size_v<Letter> == 14, "each letter has a number");

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // clang 14 does not find it by itself

// One overload for each letter: its fields, behind version and kind.
struct LetterEncoder {
  std::string& out;

  void operator()(const LeafJoin& l) { begin(LetterKind::leaf_join), string(l.reflector), number(l.generation); }
  void operator()(const LeafLeave& l) { begin(LetterKind::leaf_leave), string(l.reflector), number(l.generation); }
  void operator()(const Welcome& l) {
    begin(LetterKind::welcome), string(l.reflector), number(l.generation);
    number(l.first), number(l.newest_before);
  }
  void operator()(const Clone& l) {
    begin(LetterKind::clone), list(l.list, l.name, l.parent);
    ref(l.ref);
  }
  void operator()(const Unclone& l) {
    begin(LetterKind::unclone), list(l.list, l.name, l.parent);
    number(l.id);
  }
  void operator()(const BackfillAsk& l) {
    begin(LetterKind::backfill_ask), string(l.reflector), string(l.follower), number(l.since);
    put_varint(out, l.count);
  }
  void operator()(const Backfill& l) {
    begin(LetterKind::backfill), string(l.reflector), string(l.follower), number(l.since);
    put_varint(out, l.back);
    number(l.no), ref(l.ref);
  }
  void operator()(const Redirect& l) {
    begin(LetterKind::redirect), string(l.reflector), number(l.generation), string(l.entity);
  }
  void operator()(const AliasClaim& l) { begin(LetterKind::alias_claim), string(l.entity), string(l.alias); }
  void operator()(const AliasAnswer& l) {
    begin(LetterKind::alias_answer), string(l.entity), string(l.alias);
    put_u8(out, l.granted ? 1 : 0);
  }
  void operator()(const AliasDrop& l) { begin(LetterKind::alias_drop), string(l.entity), string(l.alias); }
  void operator()(const Share& l) { begin(LetterKind::share), string(l.reflector), string(l.target); }
  void operator()(const Shared& l) { begin(LetterKind::shared), string(l.reflector), string(l.target); }
  void operator()(const LeafMode& l) {
    begin(LetterKind::leaf_mode), string(l.reflector), number(l.generation);
    put_u8(out, l.lazy ? 1 : 0);
  }

 private:
  void begin(LetterKind kind) {
    put_u8(out, letter_version);
    put_u8(out, static_cast<uint8_t>(kind));
  }
  void string(std::string_view text) { put_string(out, text); }
  template <class Number>
  void number(Number n) {
    put_be64(out, n.packed());
  }
  void ref(const BodyRef& r) {
    number(r.id);
    put_be32(out, r.hash);
  }
  void list(List which, std::string_view name, MessageId parent) {
    put_u8(out, static_cast<uint8_t>(which));
    string(name), number(parent);
  }
};

// Reads a letter's fields; one that cannot be spoils the letter.
class LetterDecoder {
 public:
  explicit LetterDecoder(std::string_view bytes) : in_(bytes) {}

  bool letter(Letter& out) {
    if (in_.u8() != letter_version) return false;
    switch (static_cast<LetterKind>(in_.u8())) {
      case LetterKind::leaf_join: out = leaf<LeafJoin>(); break;
      case LetterKind::leaf_leave: out = leaf<LeafLeave>(); break;
      case LetterKind::welcome: out = welcome(); break;
      case LetterKind::clone: out = clone(); break;
      case LetterKind::unclone: out = unclone(); break;
      case LetterKind::backfill_ask: out = backfill_ask(); break;
      case LetterKind::backfill: out = backfill(); break;
      case LetterKind::redirect: out = redirect(); break;
      case LetterKind::alias_claim: out = alias<AliasClaim>(); break;
      case LetterKind::alias_answer: out = alias_answer(); break;
      case LetterKind::alias_drop: out = alias<AliasDrop>(); break;
      case LetterKind::share: out = share<Share>(); break;
      case LetterKind::shared: out = share<Shared>(); break;
      case LetterKind::leaf_mode: out = leaf_mode(); break;
      default: return false;
    }
    return fits_ && in_.done();
  }

 private:
  template <class L>
  L leaf() {
    L l;
    l.reflector = name();
    l.generation = position();
    return l;
  }
  Welcome welcome() {
    Welcome l = leaf<Welcome>();
    l.first = stream_no();
    l.newest_before = MessageId(in_.be64());
    need(!l.first.zero());
    return l;
  }
  Clone clone() {
    Clone l = list<Clone>();
    l.ref = ref();
    return l;
  }
  Unclone unclone() {
    Unclone l = list<Unclone>();
    l.id = id();
    return l;
  }
  BackfillAsk backfill_ask() {
    BackfillAsk l;
    l.reflector = name();
    l.follower = name();
    l.since = follow();
    l.count = backfilled();
    return l;
  }
  Backfill backfill() {
    Backfill l;
    l.reflector = name();
    l.follower = name();
    l.since = follow();
    l.back = backfilled();
    l.no = stream_no();
    l.ref = ref();
    return l;
  }
  Redirect redirect() {
    Redirect l = leaf<Redirect>();
    l.entity = name();
    return l;
  }
  template <class L>
  L alias() {
    L l;
    l.entity = name();
    l.alias = name();
    need(l.entity != l.alias);
    return l;
  }
  AliasAnswer alias_answer() {
    AliasAnswer l = alias<AliasAnswer>();
    l.granted = boolean();
    return l;
  }
  LeafMode leaf_mode() {
    LeafMode l = leaf<LeafMode>();
    l.lazy = boolean();
    return l;
  }
  template <class L>
  L share() {
    L l;
    l.reflector = name();
    l.target = name();
    return l;
  }

  // A list has its entity's name; `replies` is found by the message that is replied to.
  template <class L>
  L list() {
    L l;
    const uint8_t which = in_.u8();
    need(which >= static_cast<uint8_t>(List::mentions) && which <= static_cast<uint8_t>(List::direct));
    l.list = static_cast<List>(which);
    if (l.list == List::replies) {
      need(in_.string().empty());
      l.parent = id();
    } else {
      l.name = name();
      need(in_.be64() == 0);
    }
    return l;
  }

  void need(bool right) { fits_ = fits_ && right; }
  bool boolean() {
    const uint8_t value = in_.u8();
    need(value <= 1);
    return value == 1;
  }
  std::string name() {
    const std::string_view text = in_.string();
    need(in_.ok() && check_name("name", text).has_value());
    return std::string(text);
  }
  Position position() {
    const Position p(in_.be64());
    need(p.incarnation() <= Position::incarnation_max);
    return p;
  }
  Position follow() {
    const Position since = position();
    need(!since.zero());
    return since;
  }
  StreamNo stream_no() {
    const StreamNo no(in_.be64());
    need(no.incarnation() <= StreamNo::incarnation_max);
    return no;
  }
  MessageId id() {
    const MessageId id(in_.be64());
    need(!id.zero());
    return id;
  }
  BodyRef ref() {
    const MessageId which = id();
    return {which, in_.be32()};
  }
  uint32_t backfilled() {
    const uint64_t n = in_.varint();
    need(n >= 1 && n <= limits::backfill_max);
    return static_cast<uint32_t>(n);
  }

  Cursor in_;
  bool fits_ = true;
};

}  // namespace

std::string encode_letter(const Letter& letter) {
  std::string out;
  std::visit(LetterEncoder{out}, letter);
  return out;
}

bool decode_letter(std::string_view bytes, Letter& letter) {
  Letter read;
  if (!LetterDecoder(bytes).letter(read)) return false;
  letter = std::move(read);
  return true;
}

LetterBody body_of(Letter& letter) {
  if (auto* clone = std::get_if<Clone>(&letter)) return {clone->ref, &clone->message};
  if (auto* backfill = std::get_if<Backfill>(&letter)) return {backfill->ref, &backfill->message};
  return {};
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
