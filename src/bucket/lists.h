// The durable lists of one bucket: sent, mentions, replies, topic, and direct (a part of home). Each is
// (entity, position) → body ref; what bounds it is its retention. Bodies are counted here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/retention.h"
#include "base/time.h"
#include "base/types.h"
#include "store/places.h"
#include "store/reader.h"
#include "store/writes.h"
#include "wire/letter.h"
#include "wire/request.h"

namespace canopy::bucket {

// The numbers are those of wire::Timeline and wire::List, and stand in stored records: never to change.
enum class ListKind : uint8_t { sent = 2, mentions = 3, replies = 4, topic = 5, direct = 6 };
inline ListKind list_kind(wire::List list) { return static_cast<ListKind>(list); }
inline ListKind list_kind(wire::Timeline timeline) { return static_cast<ListKind>(timeline); }  // REQUIRES: not home
store::PlaceKind place_kind(ListKind kind);  // REQUIRES: not sent

struct ListEntry {
  Position position;
  BodyRef ref;
  MessageId parent;   // of replies only
};

class Lists {
 public:
  using Defaults = std::map<ListKind, Retention>;

  explicit Lists(BucketId bucket) : bucket_(bucket) {}
  void open(const store::Reader& reader);
  void on_settings(Defaults defaults) { defaults_ = std::move(defaults); }
  void begin_step() { heads_.clear(); }

  // At the end of the list. Takes at most two out that its retention no longer has; `fell_out` hears of them.
  void append(ListKind kind, EntityNo entity, const ListEntry& entry, Blob message, Now now, const store::Reader& reader,
              store::Writes& writes, const std::function<void(const ListEntry&)>& fell_out = nullptr);
  void erase(ListKind kind, EntityNo entity, const ListEntry& entry, const store::Reader& reader, store::Writes& writes);
  std::optional<ListEntry> find(ListKind kind, EntityNo entity, Position position, Now now, const store::Reader& reader) const;

  std::optional<ListEntry> find_any(ListKind kind, EntityNo entity, Position position, const store::Reader& reader) const;  // however old

  // Visits entries from `from` on ascending / below `to` descending, until `visit` returns false; those
  // that are too old are left out.
  using Visit = std::function<bool(const ListEntry&)>;
  void up(ListKind kind, EntityNo entity, Position from, Now now, const store::Reader& reader, const Visit& visit) const;
  void down(ListKind kind, EntityNo entity, std::optional<Position> to, Now now, const store::Reader& reader, const Visit& visit) const;
  void all(ListKind kind, EntityNo entity, const store::Reader& reader, const Visit& visit) const;  // ascending, however old
  Position newest(ListKind kind, EntityNo entity, const store::Reader& reader) const;  // zero: empty

  // The newest position that retention took out; zero: none. After it nothing is missing.
  Position left(ListKind kind, EntityNo entity, const store::Reader& reader) const;

  // ---- retention
  bool bounded(ListKind kind) const;  // of some entity, at least
  Retention retention(ListKind kind, EntityNo entity) const;
  void retain(ListKind kind, EntityNo entity, const Retention& retention, store::Writes& writes);
  void forget_retention(EntityNo entity, store::Writes& writes);
  // Somebody reads a list: entries that are too old are to be taken out. Returns whether there are such.
  bool touch(ListKind kind, EntityNo entity, Now now, const store::Reader& reader);
  // Some lists have more than they should: a slice of at most `entries_max` is taken out. One list a step.
  bool trim_due() const { return !due_.empty(); }
  size_t trim(size_t entries_max, Now now, const store::Reader& reader, store::Writes& writes);

 private:
  using Key = std::pair<ListKind, EntityNo>;
  struct Head {
    uint64_t count = 0;
    Position left;
  };
  std::string prefix(ListKind kind, EntityNo entity) const;
  std::string begin(ListKind kind, EntityNo entity, Position left) const;
  Head head(ListKind kind, EntityNo entity, const store::Reader& reader) const;
  void save(ListKind kind, EntityNo entity, const Head& head, store::Writes& writes);
  bool counted(ListKind kind, EntityNo entity) const;
  bool too_old(MessageId id, const Retention& retention, Now now) const;
  void take_out(ListKind kind, EntityNo entity, const ListEntry& entry, store::Writes& writes);
  size_t take_oldest(ListKind kind, EntityNo entity, const Retention& retention, size_t max, Head& head, Now now,
                     const store::Reader& reader, store::Writes& writes, const std::function<void(const ListEntry&)>& fell_out);

  BucketId bucket_;
  Defaults defaults_;
  std::map<Key, Retention> own_;      // entities that have a retention of their own
  std::set<Key> due_;                 // those to be trimmed
  std::map<Key, Head> heads_;         // written in this step: a step does not read its own writes
};

}  // namespace canopy::bucket
