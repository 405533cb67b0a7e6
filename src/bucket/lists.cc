#include "bucket/lists.h"

#include <algorithm>

#include "base/assert.h"
#include "base/planted.h"
#include "store/keys.h"
#include "store/refs.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

Table table_of(ListKind kind) {
  switch (kind) {
    case ListKind::sent: return Table::sent;
    case ListKind::mentions: return Table::mentions;
    case ListKind::replies: return Table::replies;
    case ListKind::topic: return Table::topic;
    case ListKind::direct: return Table::direct;
  }
  ASSERT(false && "a list has a table");
  return Table::sent;
}

std::string with_kind(KeyBuilder key, ListKind kind) {
  std::string out = key;
  put_u8(out, static_cast<uint8_t>(kind));
  return out;
}

ListEntry decode_entry(std::string_view key, std::string_view value) {
  ListEntry entry;
  entry.position = Position(Cursor(key.substr(key.size() - 8)).be64());
  Cursor in(value);
  entry.ref = store::take_ref(in);
  if (in.left() > 0) entry.parent = MessageId(in.be64());
  ASSERT(in.done());
  return entry;
}

}  // namespace

store::PlaceKind place_kind(ListKind kind) {
  ASSERT(kind != ListKind::sent);
  return static_cast<store::PlaceKind>(kind);
}
static_assert(static_cast<uint8_t>(ListKind::mentions) == static_cast<uint8_t>(store::PlaceKind::mentions) &&
              static_cast<uint8_t>(ListKind::direct) == static_cast<uint8_t>(store::PlaceKind::direct));

void Lists::open(const store::Reader& reader) {
  own_.clear();
  due_.clear();
  heads_.clear();
  const std::string all = KeyBuilder(bucket_, Table::retain);
  reader.scan(all, store::after_prefix(all), [&](std::string_view key, std::string_view value) {
    Cursor at(key.substr(all.size())), in(value);
    const EntityNo entity(at.be32());
    const Key list{static_cast<ListKind>(at.u8()), entity};
    Retention& retention = own_[list];
    retention.count = in.be64();
    retention.age_s = in.be64();
    ASSERT(in.done());
    due_.insert(list);
    return true;
  });
}

// What was taken out since the last checkpoint would be walked again and again: everything up to `left` is gone.
std::string Lists::begin(ListKind kind, EntityNo entity, Position left) const {
  return KeyBuilder(bucket_, table_of(kind)).add(entity).add(left.next());
}

std::string Lists::prefix(ListKind kind, EntityNo entity) const { return KeyBuilder(bucket_, table_of(kind)).add(entity); }

bool Lists::bounded(ListKind kind) const {
  const auto all = defaults_.find(kind);
  return (all != defaults_.end() && all->second != Retention()) ||
         std::any_of(own_.begin(), own_.end(), [kind](const auto& own) { return own.first.first == kind; });
}

Retention Lists::retention(ListKind kind, EntityNo entity) const {
  if (!own_.empty())
    if (const auto own = own_.find({kind, entity}); own != own_.end()) return own->second;
  const auto all = defaults_.find(kind);
  return all == defaults_.end() ? Retention() : all->second;
}

// A `sent` without a bound has no head: its appends are what counts most.
bool Lists::counted(ListKind kind, EntityNo entity) const {
  return kind != ListKind::sent || retention(kind, entity) != Retention();
}

Lists::Head Lists::head(ListKind kind, EntityNo entity, const store::Reader& reader) const {
  if (const auto now = heads_.find({kind, entity}); now != heads_.end()) return now->second;
  Head head;
  if (const auto record = reader.get(with_kind(KeyBuilder(bucket_, Table::list_head).add(entity), kind))) {
    Cursor in(*record);
    head.count = in.be64();
    head.left = Position(in.be64());
    ASSERT(in.done());
    return head;
  }
  if (kind != ListKind::sent) return head;
  const std::string list = prefix(kind, entity);  // once, when the list gets its bound
  reader.scan(list, store::after_prefix(list), [&](std::string_view, std::string_view) { return ++head.count > 0; });
  return head;
}

void Lists::save(ListKind kind, EntityNo entity, const Head& head, store::Writes& writes) {
  heads_[{kind, entity}] = head;
  const std::string key = with_kind(KeyBuilder(bucket_, Table::list_head).add(entity), kind);
  if (head.count == 0 && head.left.zero()) return writes.erase(key);
  std::string value;
  put_be64(value, head.count);
  put_be64(value, head.left.packed());
  writes.put(key, value);
}

Position Lists::left(ListKind kind, EntityNo entity, const store::Reader& reader) const {
  return counted(kind, entity) ? head(kind, entity, reader).left : Position();
}

bool Lists::touch(ListKind kind, EntityNo entity, Now now, const store::Reader& reader) {
  const Retention kept = retention(kind, entity);
  if (kept.age_s == 0) return false;
  bool old = false;
  reader.scan(begin(kind, entity, left(kind, entity, reader)), store::after_prefix(prefix(kind, entity)), [&](std::string_view key, std::string_view value) {
    old = too_old(decode_entry(key, value).ref.id, kept, now);
    return false;
  });
  if (old) due_.insert({kind, entity});
  return old;
}

bool Lists::too_old(MessageId id, const Retention& retention, Now now) const {
  return retention.age_s > 0 && id.time_ms() + retention.age_s * 1000 < now.wall_ms;
}

void Lists::append(ListKind kind, EntityNo entity, const ListEntry& entry, Blob message, Now now, const store::Reader& reader,
                   store::Writes& writes, const std::function<void(const ListEntry&)>& fell_out) {
  std::string value = store::encode_ref(entry.ref);
  if (kind == ListKind::replies) {
    put_be64(value, entry.parent.packed());
    std::string owner;
    put_be32(owner, entity.value());
    writes.put(KeyBuilder(bucket_, Table::thread).add(entry.parent).add(entry.position), owner);
  }
  writes.put(KeyBuilder(bucket_, table_of(kind)).add(entity).add(entry.position), value);
  writes.ref(entry.ref, std::move(message));
  if (kind != ListKind::sent)
    store::put_place(bucket_, entry.ref.id, place_kind(kind), entity.value(), entry.position.packed(), writes);

  if (!counted(kind, entity)) return;
  const Retention kept = retention(kind, entity);
  Head now_there = head(kind, entity, reader);
  ++now_there.count;
  if ((kept.count > 0 && now_there.count > kept.count) || kept.age_s > 0)
    take_oldest(kind, entity, kept, 2, now_there, now, reader, writes, fell_out);
  save(kind, entity, now_there, writes);
}

// Takes out what retention no longer has, oldest first, and counts down. The entry of this step is not seen.
size_t Lists::take_oldest(ListKind kind, EntityNo entity, const Retention& retention, size_t max, Head& head, Now now,
                          const store::Reader& reader, store::Writes& writes,
                          const std::function<void(const ListEntry&)>& fell_out) {
  size_t taken = 0;
  reader.scan(begin(kind, entity, head.left), store::after_prefix(prefix(kind, entity)), [&](std::string_view key, std::string_view value) {
    const ListEntry oldest = decode_entry(key, value);
    const bool too_many = retention.count > 0 && head.count > retention.count;
    if (taken == max || (!too_many && !too_old(oldest.ref.id, retention, now))) return false;
    if (fell_out) fell_out(oldest);
    take_out(kind, entity, oldest, writes);
    head.left = oldest.position;
    if (head.count > 0) --head.count;
    return ++taken > 0;
  });
  return taken;
}

void Lists::take_out(ListKind kind, EntityNo entity, const ListEntry& entry, store::Writes& writes) {
  writes.erase(KeyBuilder(bucket_, table_of(kind)).add(entity).add(entry.position));
  if (!(kind == ListKind::topic && planted("trim forgets a body"))) writes.unref(entry.ref);
  if (kind == ListKind::replies) writes.erase(KeyBuilder(bucket_, Table::thread).add(entry.parent).add(entry.position));
  if (kind == ListKind::sent) writes.erase(KeyBuilder(bucket_, Table::message).add(entry.ref.id));
  else writes.erase(store::place_key(bucket_, entry.ref.id, place_kind(kind), entity.value()));
}

void Lists::erase(ListKind kind, EntityNo entity, const ListEntry& entry, const store::Reader& reader, store::Writes& writes) {
  take_out(kind, entity, entry, writes);
  if (!counted(kind, entity)) return;
  Head there = head(kind, entity, reader);
  if (there.count > 0) --there.count;
  save(kind, entity, there, writes);
}

std::optional<ListEntry> Lists::find_any(ListKind kind, EntityNo entity, Position position, const store::Reader& reader) const {
  const std::string key = KeyBuilder(bucket_, table_of(kind)).add(entity).add(position);
  const auto value = reader.get(key);
  if (!value) return std::nullopt;
  return decode_entry(key, *value);
}

std::optional<ListEntry> Lists::find(ListKind kind, EntityNo entity, Position position, Now now,
                                     const store::Reader& reader) const {
  auto entry = find_any(kind, entity, position, reader);
  if (entry && too_old(entry->ref.id, retention(kind, entity), now)) return std::nullopt;
  return entry;
}

void Lists::up(ListKind kind, EntityNo entity, Position from, Now now, const store::Reader& reader, const Visit& visit) const {
  const Retention kept = retention(kind, entity);
  const std::string list = prefix(kind, entity);
  reader.scan(std::max(std::string(KeyBuilder(bucket_, table_of(kind)).add(entity).add(from)), begin(kind, entity, left(kind, entity, reader))),
              store::after_prefix(list),
              [&](std::string_view key, std::string_view value) {
                const ListEntry entry = decode_entry(key, value);
                return too_old(entry.ref.id, kept, now) || visit(entry);
              });
}

void Lists::down(ListKind kind, EntityNo entity, std::optional<Position> to, Now now, const store::Reader& reader,
                 const Visit& visit) const {
  const Retention kept = retention(kind, entity);
  const std::string list = prefix(kind, entity);
  const std::string end = to ? std::string(KeyBuilder(bucket_, table_of(kind)).add(entity).add(*to)) : store::after_prefix(list);
  const std::string first = begin(kind, entity, left(kind, entity, reader));
  if (first >= end) return;
  reader.scan_back(first, end, [&](std::string_view key, std::string_view value) {
    const ListEntry entry = decode_entry(key, value);
    return too_old(entry.ref.id, kept, now) || visit(entry);
  });
}

void Lists::all(ListKind kind, EntityNo entity, const store::Reader& reader, const Visit& visit) const {
  const std::string list = prefix(kind, entity);
  reader.scan(list, store::after_prefix(list), [&](std::string_view key, std::string_view value) { return visit(decode_entry(key, value)); });
}

Position Lists::newest(ListKind kind, EntityNo entity, const store::Reader& reader) const {
  Position newest;
  const std::string list = prefix(kind, entity);
  reader.scan_back(list, store::after_prefix(list), [&](std::string_view key, std::string_view) {
    newest = Position(Cursor(key.substr(list.size())).be64());
    return false;
  });
  return newest;
}

void Lists::retain(ListKind kind, EntityNo entity, const Retention& retention, store::Writes& writes) {
  std::string value;
  put_be64(value, retention.count);
  put_be64(value, retention.age_s);
  own_[{kind, entity}] = retention;
  writes.put(with_kind(KeyBuilder(bucket_, Table::retain).add(entity), kind), value);
  // Without a bound nobody keeps the counter; it is counted anew with the next one.
  if (!counted(kind, entity)) writes.erase(with_kind(KeyBuilder(bucket_, Table::list_head).add(entity), kind));
  due_.insert({kind, entity});
}

void Lists::forget_retention(EntityNo entity, store::Writes& writes) {
  for (const ListKind kind : {ListKind::sent, ListKind::mentions, ListKind::replies, ListKind::topic, ListKind::direct}) {
    writes.erase(with_kind(KeyBuilder(bucket_, Table::list_head).add(entity), kind));
    due_.erase({kind, entity});
    if (own_.erase({kind, entity}) > 0) writes.erase(with_kind(KeyBuilder(bucket_, Table::retain).add(entity), kind));
  }
}

size_t Lists::trim(size_t entries_max, Now now, const store::Reader& reader, store::Writes& writes) {
  if (due_.empty()) return 0;
  const auto [kind, entity] = *due_.begin();
  if (!counted(kind, entity)) {
    due_.erase(due_.begin());
    return 0;
  }
  Head there = head(kind, entity, reader);
  const size_t taken = take_oldest(kind, entity, retention(kind, entity), entries_max, there, now, reader, writes, nullptr);
  if (taken > 0) save(kind, entity, there, writes);
  if (taken < entries_max) due_.erase(due_.begin());
  return taken;
}

}  // namespace canopy::bucket
