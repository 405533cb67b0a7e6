// Encodes link frames: arrays, not maps, so that there is nothing to repeat or to leave out.
// Decoding is in frame_decode.cc, the layout in README.md.
#include "wire/frame.h"

#include <map>

#include "base/assert.h"
#include "wire/frame_kinds.h"
#include "wire/reply_parts.h"
#include "wire/writer.h"

namespace canopy::wire {
namespace {

// The bodies of a frame, each once: found by where it is, then by what it holds.
class BodyTable {
 public:
  size_t index(const BodyRef& ref, const Blob& message) {
    ASSERT(message);
    if (const auto known = by_place_.find(message.get()); known != by_place_.end()) return known->second;
    const auto [begin, end] = by_ref_.equal_range(ref);
    size_t at = bodies_.size();
    for (auto it = begin; it != end; ++it)
      if (*bodies_[it->second] == *message) at = it->second;
    if (at == bodies_.size()) {
      bodies_.push_back(message.get());
      by_ref_.emplace(ref, at);
    }
    by_place_.emplace(message.get(), at);
    return at;
  }
  const std::vector<const std::string*>& bodies() const { return bodies_; }

 private:
  std::vector<const std::string*> bodies_;
  std::map<const std::string*, size_t> by_place_;  // only looked up, never walked
  std::multimap<BodyRef, size_t> by_ref_;
};

class ItemEncoder {
 public:
  ItemEncoder(Writer& writer, BodyTable& bodies) : w(writer), bodies_(bodies) {}

  void operator()(const Hello& h) {
    begin(ItemKind::hello, 12);
    w.number(h.protocol);
    w.raw(h.fabric_id);
    w.text(h.node);
    w.number(h.boot);
    w.number(h.seen_boot);
    w.number(h.map_version);
    w.text(h.settings);
    w.text(h.client);
    w.text(h.feed);
    w.text(h.link);
    w.text(h.zone);
    w.number(h.weight_milli);
  }
  void operator()(const MapOffer& m) {
    begin(ItemKind::map_offer, 2);
    w.raw(m.map);
    w.boolean(m.formed);
  }
  void operator()(const MapAccept& m) {
    begin(ItemKind::map_accept, 2);
    w.raw(m.fabric_id);
    w.text(m.node);
  }
  void operator()(const FrameAck& a) {
    begin(ItemKind::frame_ack, 2);
    w.number(a.frame);
    w.array(a.not_taken.size());
    for (const FrameAck::NotTaken& n : a.not_taken) {
      w.array(2);
      w.number(n.item);
      buckets(n.leaves);
    }
  }
  void operator()(const Forward& f) {
    const RequestFrames frames = encode_request(f.body, Encoding::msgpack);
    begin(ItemKind::forward, 6);
    w.number(f.request);
    w.number(f.remaining_ms);
    w.number(f.map_version);
    w.text(frames.verb);
    w.raw(frames.args);
    if (frames.body)
      w.raw(*frames.body);
    else
      w.null();
  }
  void operator()(const ForwardReply& f) {
    begin(ItemKind::forward_reply, 5);
    w.number(f.request);
    w.boolean(f.not_owner);
    w.number(f.map_version);
    w.text(verb_of_reply(f.body));
    w.raw(encode_reply_between_nodes(f.body));
  }
  void operator()(const StreamLetter& s) {
    begin(ItemKind::stream_letter, 4);
    bucket(s.root);
    w.text(s.reflector);
    item(s.item);
    route(s.route, 1);
  }
  void operator()(const ChannelLetter& c) {
    begin(ItemKind::channel_letter, 8);
    bucket(c.from);
    bucket(c.to);
    letter_no(c.number);
    letter_no(c.previous);
    w.raw(encode_letter(c.letter));
    std::visit(
        [&](const auto& letter) {
          if constexpr (requires { letter.message; })
            w.number(bodies_.index(letter.ref, letter.message));
          else
            w.null();
        },
        c.letter);
  }
  void operator()(const ChannelAck& c) {
    begin(ItemKind::channel_ack, 4);
    bucket(c.from);
    bucket(c.to);
    letter_no(c.have);
  }
  void operator()(const Tail& t) {
    begin(ItemKind::tail, 4);
    bucket(t.from);
    bucket(t.to);
    w.text(t.reflector);
    w.number(t.last.packed());
  }
  void operator()(const Have& h) {
    begin(ItemKind::have, 4);
    bucket(h.from);
    bucket(h.to);
    w.text(h.reflector);
    w.number(h.applied.packed());
  }
  void operator()(const Fetch& f) {
    begin(ItemKind::fetch, 7);
    bucket(f.from);
    bucket(f.to);
    w.text(f.reflector);
    w.number(f.generation.packed());
    w.number(f.first.packed());
    w.number(f.last.packed());
    w.number(f.round);
  }
  void operator()(const Fetched& f) {
    begin(ItemKind::fetched, 10);
    bucket(f.from);
    bucket(f.to);
    w.text(f.reflector);
    w.number(f.generation.packed());
    w.number(f.first.packed());
    w.number(f.last.packed());
    w.number(f.gone_below.packed());
    w.number(f.newest.packed());
    w.array(f.items.size());
    for (const StreamItem& i : f.items) item(i);
    w.number(f.round);
  }

  void operator()(const Check& c) {
    begin(ItemKind::check, 6);
    bucket(c.from);
    bucket(c.to);
    w.text(c.reflector);
    w.number(c.generation.packed());
    w.number(c.until.packed());
    ids(c.ids);
  }
  void operator()(const Checked& c) {
    begin(ItemKind::checked, 7);
    bucket(c.from);
    bucket(c.to);
    w.text(c.reflector);
    w.number(c.generation.packed());
    w.number(c.until.packed());
    ids(c.live);
    ids(c.dead);
  }

 private:
  void ids(const std::vector<MessageId>& all) {
    std::string packed;
    packed.reserve(8 * all.size());
    for (const MessageId id : all) put_be64(packed, id.packed());
    w.raw(packed);
  }
  void begin(ItemKind kind, size_t fields) {
    w.array(fields + 1);
    w.number(static_cast<uint64_t>(kind));
  }
  void bucket(BucketId b) { w.number(b.value()); }
  void letter_no(const LetterNo& n) {
    w.number(n.position.packed());
    w.number(n.index);
  }
  void buckets(const std::vector<BucketId>& all) {
    std::string packed;
    packed.reserve(2 * all.size());
    for (const BucketId b : all) put_be16(packed, b.value());
    w.raw(packed);
  }
  void item(const StreamItem& i) {
    w.array(7);
    w.number(i.no.packed());
    w.number(static_cast<uint64_t>(i.kind));
    w.number(i.ref.id.packed());
    w.number(i.ref.hash);
    if (i.kind == StreamItem::Kind::message)
      w.number(bodies_.index(i.ref, i.message));
    else
      w.null();
    w.number(item_flags(i));
    w.number(i.target.packed());
  }
  void route(const Route& r, size_t depth) {
    ASSERT(depth <= route_depth_max);
    w.array(3);
    w.number(r.node.value());
    buckets(r.leaves);
    w.array(r.children.size());
    for (const Route& child : r.children) route(child, depth + 1);
  }

  Writer& w;
  BodyTable& bodies_;
};

}  // namespace

// The table stands before the items, but is known after them.
std::string encode_frame(const LinkFrame& frame) {
  BodyTable bodies;
  std::string items;
  {
    const auto w = make_writer(Encoding::msgpack, items);
    w->array(frame.items.size());
    ItemEncoder encoder(*w, bodies);
    for (const LinkItem& item : frame.items) std::visit(encoder, item);
  }
  size_t size = items.size() + frame.fabric_id.size() + 64;
  for (const std::string* body : bodies.bodies()) size += body->size() + 5;
  std::string out;
  out.reserve(size);
  const auto w = make_writer(Encoding::msgpack, out);
  w->array(7);
  w->number(frame_version);
  w->raw(frame.fabric_id);
  w->number(frame.from_boot);
  w->number(frame.to_boot);
  w->number(frame.number);
  w->array(bodies.bodies().size());
  for (const std::string* body : bodies.bodies()) w->raw(*body);
  return out + items;
}

}  // namespace canopy::wire
