// Decodes link frames. A peer is not trusted: counts, kinds, names and depths are checked here,
// that a bucket or a node exists is the receiver's question.
#include "base/limits.h"
#include "base/name.h"
#include "wire/array_reader.h"
#include "wire/frame.h"
#include "wire/frame_kinds.h"
#include "wire/message.h"
#include "wire/reply_parts.h"

namespace canopy::wire {
namespace {

struct Body {
  Blob blob;
  BodyRef ref;
};

class ItemDecoder {
 public:
  explicit ItemDecoder(const std::vector<Body>& bodies) : bodies_(bodies) {}

  LinkItem item(ArrayReader& in) {
    const uint64_t kind = in.number("kind");
    switch (static_cast<ItemKind>(kind > UINT8_MAX ? 0 : kind)) {
      case ItemKind::hello: return hello(in);
      case ItemKind::map_offer: return map_offer(in);
      case ItemKind::map_accept: return map_accept(in);
      case ItemKind::frame_ack: return frame_ack(in);
      case ItemKind::forward: return forward(in);
      case ItemKind::forward_reply: return forward_reply(in);
      case ItemKind::stream_letter: return stream_letter(in);
      case ItemKind::channel_letter: return channel_letter(in);
      case ItemKind::channel_ack: return channel_ack(in);
      case ItemKind::tail: return tail(in);
      case ItemKind::have: return have(in);
      case ItemKind::fetch: return fetch(in);
      case ItemKind::fetched: return fetched(in);
      case ItemKind::check: return check(in);
      case ItemKind::checked: return checked(in);
    }
    in.refuse("kind", "is " + std::to_string(kind) + ": this program knows 1 to 15");
    return {};
  }

 private:
  // A later protocol may append fields here: then the receiver refuses the protocol by its number,
  // and not a frame that it cannot read.
  Hello hello(ArrayReader& in) {
    Hello h;
    h.protocol = static_cast<uint32_t>(in.number("protocol", UINT32_MAX));
    h.fabric_id = fabric_id(in);
    h.node = in.name("node");
    h.boot = in.number("boot");
    h.seen_boot = in.number("seen_boot");
    h.map_version = in.number("map_version");
    h.settings = in.text("settings");
    h.client = in.text("client");
    h.feed = in.text("feed");
    h.link = in.text("link");
    h.zone = in.text("zone");
    h.weight_milli = static_cast<uint32_t>(in.number("weight_milli", UINT32_MAX));
    if (h.protocol > link_protocol_version) in.skip_rest();
    return h;
  }
  MapOffer map_offer(ArrayReader& in) {
    MapOffer m;
    m.map = std::string(in.bytes("map"));
    m.formed = in.boolean("formed");
    return m;
  }
  MapAccept map_accept(ArrayReader& in) {
    MapAccept m;
    m.fabric_id = fabric_id(in);
    m.node = in.name("node");
    return m;
  }
  FrameAck frame_ack(ArrayReader& in) {
    FrameAck a;
    a.frame = in.number("frame");
    in.each("not_taken", [&](ArrayReader& inner) {
      FrameAck::NotTaken n;
      n.item = static_cast<uint32_t>(inner.number("item", UINT32_MAX));
      n.leaves = inner.buckets("leaves");
      a.not_taken.push_back(std::move(n));
    });
    return a;
  }
  Forward forward(ArrayReader& in) {
    Forward f;
    f.request = in.number("request");
    f.remaining_ms = static_cast<uint32_t>(in.number("remaining_ms", UINT32_MAX));
    f.map_version = in.number("map_version");
    const std::string verb = in.text("verb");
    std::vector<std::string_view> frames{verb, in.bytes("args")};
    if (const auto body = in.optional_bytes("body")) frames.push_back(*body);
    if (!in.ok()) return f;
    auto request = decode_request(frames, {limits::body_bytes_max, true});
    if (request)
      f.body = std::move(*request);
    else
      in.refuse("request", "is wrong: " + request.error().message);
    return f;
  }
  ForwardReply forward_reply(ArrayReader& in) {
    ForwardReply f;
    f.request = in.number("request");
    f.not_owner = in.boolean("not_owner");
    f.map_version = in.number("map_version");
    const std::string verb = in.text("verb");
    const std::string_view bytes = in.bytes("reply");
    if (!in.ok()) return f;
    auto reply = decode_reply_between_nodes(verb, bytes);
    if (reply)
      f.body = std::move(*reply);
    else
      in.refuse("reply", "is wrong: " + reply.error().message);
    return f;
  }
  StreamLetter stream_letter(ArrayReader& in) {
    StreamLetter s;
    s.root = in.bucket("root");
    s.reflector = in.name("reflector");
    in.one("item", [&](ArrayReader& inner) { s.item = stream_item(inner); });
    in.one("route", [&](ArrayReader& inner) { s.route = route(inner, 1); });
    return s;
  }
  ChannelLetter channel_letter(ArrayReader& in) {
    ChannelLetter c;
    c.from = in.bucket("from");
    c.to = in.bucket("to");
    c.number = letter_no(in);
    c.previous = letter_no(in);
    if (const std::string_view letter = in.bytes("letter"); in.ok() && !decode_letter(letter, c.letter))
      in.refuse("letter", "is no letter that this program knows");
    const auto index = in.optional_number("body", UINT32_MAX);
    const LetterBody wanted = body_of(c.letter);
    if (!wanted.message && index) in.refuse("body", "is given: this letter has none");
    if (wanted.message) *wanted.message = body(in, index, wanted.ref);
    return c;
  }
  ChannelAck channel_ack(ArrayReader& in) {
    ChannelAck c;
    c.from = in.bucket("from");
    c.to = in.bucket("to");
    c.have = letter_no(in);
    return c;
  }
  Tail tail(ArrayReader& in) {
    Tail t;
    t.from = in.bucket("from");
    t.to = in.bucket("to");
    t.reflector = in.name("reflector");
    t.last = StreamNo(in.number("last", position_max));
    return t;
  }
  Have have(ArrayReader& in) {
    Have h;
    h.from = in.bucket("from");
    h.to = in.bucket("to");
    h.reflector = in.name("reflector");
    h.applied = StreamNo(in.number("applied", position_max));
    return h;
  }
  Fetch fetch(ArrayReader& in) {
    Fetch f;
    f.from = in.bucket("from");
    f.to = in.bucket("to");
    f.reflector = in.name("reflector");
    f.generation = Position(in.number("generation", position_max));
    f.first = StreamNo(in.number("first", position_max));
    f.last = StreamNo(in.number("last", position_max));
    f.round = in.number("round");
    return f;
  }
  Check check(ArrayReader& in) {
    Check c;
    c.from = in.bucket("from");
    c.to = in.bucket("to");
    c.reflector = in.name("reflector");
    c.generation = Position(in.number("generation", position_max));
    c.until = StreamNo(in.number("until", position_max));
    c.ids = in.ids("ids", limits::check_ids_max);
    return c;
  }
  Checked checked(ArrayReader& in) {
    Checked c;
    c.from = in.bucket("from");
    c.to = in.bucket("to");
    c.reflector = in.name("reflector");
    c.generation = Position(in.number("generation", position_max));
    c.until = StreamNo(in.number("until", position_max));
    c.live = in.ids("live", limits::check_ids_max);
    c.dead = in.ids("dead", limits::check_ids_max);
    return c;
  }
  Fetched fetched(ArrayReader& in) {
    Fetched f;
    f.from = in.bucket("from");
    f.to = in.bucket("to");
    f.reflector = in.name("reflector");
    f.generation = Position(in.number("generation", position_max));
    f.first = StreamNo(in.number("first", position_max));
    f.last = StreamNo(in.number("last", position_max));
    f.gone_below = StreamNo(in.number("gone_below", position_max));
    f.newest = StreamNo(in.number("newest", position_max));
    in.each("items", [&](ArrayReader& inner) {
      if (f.items.size() >= limits::fetch_window_numbers)
        return inner.refuse("no", "is one too many: at most " + std::to_string(limits::fetch_window_numbers));
      f.items.push_back(stream_item(inner));
    });
    f.round = in.number("round");
    return f;
  }

  std::string fabric_id(ArrayReader& in) {
    const std::string_view id = in.bytes("fabric_id");
    if (in.ok() && !id.empty() && id.size() != 16) in.refuse("fabric_id", "has not 16 bytes");
    return std::string(id);
  }
  LetterNo letter_no(ArrayReader& in) {
    const Position position(in.number("position", position_max));
    return {position, static_cast<uint32_t>(in.number("index", UINT32_MAX))};
  }
  StreamItem stream_item(ArrayReader& in) {
    StreamItem i;
    i.no = StreamNo(in.number("no", position_max));
    const uint64_t kind = in.number("kind");
    i.ref.id = MessageId(in.number("id"));
    i.ref.hash = static_cast<uint32_t>(in.number("hash", UINT32_MAX));
    const auto index = in.optional_number("body", UINT32_MAX);
    const uint64_t flags = in.number("flags", item_flags_max);
    i.shared = (flags & 1) != 0;
    i.hops = static_cast<uint8_t>(flags >> 1);
    i.target = StreamNo(in.number("target", position_max));
    if (!in.ok()) return i;
    if (kind < 1 || kind > static_cast<uint64_t>(StreamItem::Kind::ended)) {
      in.refuse("kind", "is " + std::to_string(kind) + ": this program knows 1 to 4");
      return i;
    }
    i.kind = static_cast<StreamItem::Kind>(kind);
    const bool message = i.kind == StreamItem::Kind::message, retraction = i.kind == StreamItem::Kind::retraction;
    if (!message && !retraction && flags != 0) in.refuse("flags", "are given: this kind has none");
    if (!retraction && !i.target.zero()) in.refuse("target", "is given: only a retraction has one");
    if (retraction && i.ref.id.zero()) in.refuse("id", "is 0: a retraction needs one");
    if (!message && index) in.refuse("body", "is given: only a message has one");
    if (message) i.message = body(in, index, i.ref);
    return i;
  }
  Blob body(ArrayReader& in, std::optional<uint64_t> index, const BodyRef& ref) {
    if (!index || *index >= bodies_.size()) {
      in.refuse("body", "is not in the table of " + std::to_string(bodies_.size()));
      return nullptr;
    }
    if (bodies_[*index].ref != ref) in.refuse("body", "has another id or hash than what needs it");
    return bodies_[*index].blob;
  }
  Route route(ArrayReader& in, size_t depth) {
    Route r;
    r.node = NodeIndex(static_cast<uint16_t>(in.number("node", UINT16_MAX)));
    r.leaves = in.buckets("leaves");
    in.each("children", [&](ArrayReader& inner) {
      if (depth >= route_depth_max)
        return inner.refuse("node", "is nested deeper than " + std::to_string(route_depth_max));
      r.children.push_back(route(inner, depth + 1));
    });
    return r;
  }

  const std::vector<Body>& bodies_;
};

// The store takes no larger one; the rest of a record is names, a type and numbers.
constexpr size_t body_record_bytes_max = limits::body_bytes_max + 4096 + 3 * limits::mentions_max * (limits::name_bytes_max + 2);

std::vector<Body> read_bodies(ArrayReader& in) {
  std::vector<Body> bodies;
  const auto list = in.array("bodies");
  if (!list) return bodies;
  Value value = *list;
  for (size_t i = 0; i < list->size(); ++i) {
    value = i == 0 ? list->first() : value.next();
    const std::string_view bytes = value.is(Kind::bytes) ? value.string() : std::string_view();
    if (bytes.size() > body_record_bytes_max) {
      in.refuse("bodies[" + std::to_string(i) + "]", "is too large");
      return bodies;
    }
    const auto message = decode_message(bytes);
    if (!message) {
      in.refuse("bodies[" + std::to_string(i) + "]", "is wrong: " + message.error().message);
      return bodies;
    }
    bodies.push_back({make_blob(std::string(bytes)), body_ref(message->id, bytes)});
  }
  return bodies;
}

}  // namespace

Result<LinkFrame> decode_frame(std::string_view bytes) {
  Document document;
  TRY(parse_msgpack("frame", bytes, {frame_bytes_max, frame_values_max, frame_nesting_max}, document));
  ArrayReader in("frame", document.root());
  const uint64_t version = in.number("version");
  if (in.ok() && version != frame_version)
    in.refuse("version", "is " + std::to_string(version) + ": this program knows " + std::to_string(frame_version));
  LinkFrame frame;
  frame.fabric_id = std::string(in.bytes("fabric_id"));
  if (in.ok() && !frame.fabric_id.empty() && frame.fabric_id.size() != 16) in.refuse("fabric_id", "has not 16 bytes");
  frame.from_boot = in.number("from_boot");
  frame.to_boot = in.number("to_boot");
  frame.number = in.number("number");
  const std::vector<Body> bodies = read_bodies(in);
  ItemDecoder decoder(bodies);
  in.each("items", [&](ArrayReader& item) {
    if (frame.items.size() >= frame_items_max)
      return item.refuse("kind", "is one too many: at most " + std::to_string(frame_items_max));
    frame.items.push_back(decoder.item(item));
  });
  in.end();
  if (!in.ok()) return in.error();
  return frame;
}

}  // namespace canopy::wire
