// ALIAS and DELETE: names that lead to an entity, and the end of one.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "bucket/bucket.h"
#include "leaf/followers.h"
#include "store/keys.h"

namespace canopy::bucket {
namespace {

using store::KeyBuilder;
using store::Table;

constexpr Duration alias_wait = Duration::of_s(5);
constexpr size_t messages_per_slice = 100;   // retracted in one step
constexpr size_t edges_per_slice = 100;
constexpr size_t rows_per_slice = 1'000;
constexpr uint8_t ending_record_version = 1;

// Visits the names of the entities that a request asks this bucket about.
template <class Request, class Visit>
void each_entity(Request& request, const Visit& visit) {
  std::visit(
      [&](auto& r) {
        using R = std::decay_t<decltype(r)>;
        if constexpr (std::is_same_v<R, wire::Publish>) for (auto& message : r.messages) visit(message.author);
        else if constexpr (requires { r.pairs; }) for (auto& pair : r.pairs) visit(pair.follower);
        else if constexpr (requires { r.entities; }) for (auto& entity : r.entities) visit(entity);
        else if constexpr (std::is_same_v<R, wire::Retract>) visit(r.author);
        else if constexpr (std::is_same_v<R, wire::Forwarding>) visit(r.to);
        else if constexpr (requires { r.entity; }) visit(r.entity);
      },
      request);
}

}  // namespace

// ---- Aliases

const std::string* Bucket::alias_target(std::string_view name) const {
  if (aliases_.empty()) return nullptr;
  const auto it = aliases_.find(std::string(name));
  return it == aliases_.end() ? nullptr : &it->second;
}

// What a name of this bucket leads to; other buckets know their own.
std::string Bucket::first_name(const std::string& name) const {
  const std::string* entity = alias_target(name);
  return entity && map_->bucket_of(name) == id_ ? *entity : name;
}

// What leads to the entity itself stays here, to be refused: no frame may hold it.
std::optional<wire::Request> Bucket::moved(const wire::Request& request) const {
  if (aliases_.empty() || planted("alias answered as an entity")) return std::nullopt;
  bool any = false;
  each_entity(request, [&](const std::string& name) { any = any || first_name(name) != name; });
  if (!any) return std::nullopt;
  wire::Request again = request;
  each_entity(again, [&](std::string& name) { name = first_name(name); });
  const auto* alias = std::get_if<wire::Alias>(&again);
  const auto* forwarding = std::get_if<wire::Forwarding>(&again);
  if ((alias && alias->entity == alias->alias) || (forwarding && forwarding->from == forwarding->to)) return std::nullopt;
  return again;
}

void Bucket::remember_alias(const std::string& alias, const std::string& entity, Effects& effects) {
  if (aliases_.size() >= limits::aliases_per_bucket_max) return;  // only known here for UNFOLLOW by that name
  aliases_[alias] = entity;
  effects.writes.put(KeyBuilder(id_, Table::alias).add(alias), entity);
}

void Bucket::alias(const Ask& ask, const wire::Alias& request, Now now, const store::Reader& reader, Effects& effects) {
  const auto answer = [&](wire::Reply reply) { effects.held.push_back(Answer{ask.ask, std::move(reply)}); };
  if (first_name(request.entity) == request.alias)  // it was named by an alias
    return answer(Error{Code::bad_request, "alias: \"" + request.alias + "\" is the entity's own name: it must be another one", 0});
  const BucketId to = map_->bucket_of(request.alias);
  const auto known = entities_.find(request.entity, reader);
  const auto row = known ? reader.get(KeyBuilder(id_, Table::alias_of).add(*known).add(request.alias)) : std::nullopt;
  if (row && *row == "\1") return answer(wire::AliasResult{request.entity, request.alias});
  if (!row) {
    if (!channels_.has_room(to)) return answer(Error{Code::busy, "alias: the way to its bucket is full", 1000});
    size_t aliases = 0;
    if (known) {
      const std::string all = KeyBuilder(id_, Table::alias_of).add(*known);
      reader.scan(all, store::after_prefix(all), [&](std::string_view, std::string_view) { return ++aliases < limits::aliases_max; });
    }
    if (aliases == limits::aliases_max)
      return answer(Error{Code::too_large, "alias: the entity has " + std::to_string(aliases) + ", the most there may be", 0});
    const EntityNo entity = entities_.obtain(request.entity, record_, reader, effects.writes);
    entity_created(entity, request.entity);
    effects.writes.put(KeyBuilder(id_, Table::alias_of).add(entity).add(request.alias), std::string(1, '\0'));
    send_letter(to, wire::AliasClaim{request.entity, request.alias}, take_position(), now, effects);
  }
  open_ask(ask.ask, Error{Code::timeout, "alias: its bucket has not answered yet; it goes on by itself: ask again", 1000}, 1);
  set_deadline(ask.ask, std::min(ask.deadline, now.instant + alias_wait));
  wait(waiting_aliases_[{request.entity, request.alias}], ask.ask);
}

// At the alias: granted when nobody has used the name.
void Bucket::on_letter_body(const wire::AliasClaim& claim, Position position, Now now, const store::Reader& reader, Effects& effects) {
  const std::string* leads = alias_target(claim.alias);
  bool granted = leads && *leads == claim.entity;
  if (!leads && !entities_.find(claim.alias, reader) && aliases_.size() < limits::aliases_per_bucket_max) {
    remember_alias(claim.alias, claim.entity, effects);
    granted = true;
  }
  send_letter(map_->bucket_of(claim.entity), wire::AliasAnswer{claim.entity, claim.alias, granted}, position, now, effects);
}

void Bucket::on_letter_body(const wire::AliasAnswer& said, Position position, Now now, const store::Reader& reader, Effects& effects) {
  wire::Reply reply = wire::AliasResult{said.entity, said.alias};
  if (!said.granted)
    reply = Error{Code::bad_request, "alias: \"" + said.alias + "\" is in use: it must be a name that nobody has used", 0};
  const auto entity = entities_.find(said.entity, reader);
  const std::string key = entity ? std::string(KeyBuilder(id_, Table::alias_of).add(*entity).add(said.alias)) : "";
  if (entity && reader.get(key)) {
    if (said.granted) effects.writes.put(key, "\1");
    else effects.writes.erase(key);
  } else if (said.granted) {  // deleted since
    send_letter(map_->bucket_of(said.alias), wire::AliasDrop{said.entity, said.alias}, position, now, effects);
  }
  const auto waiting = waiting_aliases_.extract(std::pair{said.entity, said.alias});
  if (waiting.empty()) return;
  for (const uint64_t ask : waiting.mapped()) {
    const auto open = asks_.find(ask);
    if (open == asks_.end()) continue;
    open->second.reply = reply;
    part_done(ask, effects);
  }
}

void Bucket::on_letter_body(const wire::AliasDrop& drop, Effects& effects) {
  const std::string* leads = alias_target(drop.alias);
  if (!leads || *leads != drop.entity) return;
  aliases_.erase(drop.alias);
  effects.writes.erase(KeyBuilder(id_, Table::alias).add(drop.alias));
}

// ---- DELETE

wire::Reply Bucket::remove(const wire::Delete& request, Now now, const store::Reader& reader, Effects& effects) {
  const auto entity = entities_.find(request.entity, reader);
  if (entity && !ending(*entity)) {
    std::string record;
    put_u8(record, ending_record_version);
    effects.writes.put(KeyBuilder(id_, Table::ending).add(*entity), record);
    endings_.emplace(*entity, Ending());
    drop_home(*entity);
    work_at_ = std::min(work_at_, now.instant);
  }
  return wire::DeleteResult{};
}

std::optional<Error> Bucket::busy_if_ending(std::string_view name, const store::Reader& reader) const {
  if (endings_.empty()) return std::nullopt;
  const auto entity = entities_.find(name, reader);
  if (!entity || !ending(*entity)) return std::nullopt;
  return Error{Code::busy, "\"" + std::string(name) + "\" is being deleted", 200};
}

// One slice of the deletion of one entity. Its order: what others have of it, what it has of others, its
// lists, its followers, and at the end its name; each stage is over when there is nothing left of it.
void Bucket::delete_some(Now now, const store::Reader& reader, Effects& effects) {
  const auto next = endings_.upper_bound(deleting_);  // in turns
  const EntityNo entity = deleting_ = (next == endings_.end() ? *endings_.begin() : *next).first;
  const std::string name = entities_.name_of(entity, reader);
  if (!delete_messages(entity, name, now, reader, effects) || !delete_follows(entity, now, reader, effects) ||
      !delete_rows(entity, name, now, reader, effects) || !delete_reflector(entity, name, reader, effects))
    return;
  lists_.forget_retention(entity, effects.writes);
  effects.writes.erase(KeyBuilder(id_, Table::ending).add(entity));
  endings_.erase(entity);
  drop_home(entity);
  ++counters_.deleted;
  // Who followed the name meanwhile follows whoever has it now.
  const std::string waiting = KeyBuilder(id_, Table::ending).add(entity);
  bool again = false;
  reader.scan(waiting, store::after_prefix(waiting), [&](std::string_view key, std::string_view generation) {
    if (key.size() == waiting.size()) return true;
    const BucketId from(Cursor(key.substr(waiting.size())).be16());
    effects.writes.erase(std::string(key));
    welcome(entity, {name, Position(Cursor(generation).be64())}, from, take_position(), now, reader, effects);
    return again = true;
  });
  if (again) return;
  roots_.forget(entity, effects.writes);
  effects.writes.erase(KeyBuilder(id_, Table::entity_no).add(name));
  effects.writes.erase(KeyBuilder(id_, Table::entity).add(entity));
  home_tails_.erase(entity);
}

// Each of these returns whether its stage was over before this step.
bool Bucket::delete_messages(EntityNo entity, std::string_view name, Now now, const store::Reader& reader, Effects& effects) {
  std::vector<OwnMessage> messages;
  Position& from = endings_.at(entity).sent;
  const std::string sent = KeyBuilder(id_, Table::sent).add(entity);
  reader.scan(KeyBuilder(id_, Table::sent).add(entity).add(from), store::after_prefix(sent), [&](std::string_view, std::string_view value) {
    messages.push_back(*own_message(MessageId(Cursor(value).be64()), reader));
    return messages.size() < messages_per_slice;
  });
  for (const OwnMessage& message : messages) {
    if (withdraw(message, name, now, reader, effects)) break;  // a way is full: later
    from = message.position.next();
  }
  return messages.empty();
}

bool Bucket::delete_follows(EntityNo entity, Now now, const store::Reader& reader, Effects& effects) {
  const std::string edges = KeyBuilder(id_, Table::edge).add(entity);
  std::vector<LeafNo> leaves;
  reader.scan(edges, store::after_prefix(edges), [&](std::string_view key, std::string_view) {
    leaves.emplace_back(Cursor(key.substr(edges.size())).be32());
    return leaves.size() < edges_per_slice;
  });
  for (const LeafNo leaf : leaves) {
    const std::string author = leaves_.reflector_of(leaf, reader);
    if (author.empty()) continue;  // ended itself: its slices erase the edge
    const auto done = cut(entity, author, now, reader, effects);
    if (std::holds_alternative<Error>(done) || effects.writes.size() >= rows_per_slice) break;
  }
  return leaves.empty();
}

bool Bucket::delete_rows(EntityNo entity, const std::string& name, Now now, const store::Reader& reader, Effects& effects) {
  size_t done = 0;
  for (const ListKind kind : {ListKind::mentions, ListKind::replies, ListKind::topic, ListKind::direct}) {
    std::vector<ListEntry> entries;
    lists_.all(kind, entity, reader, [&](const ListEntry& entry) {
      entries.push_back(entry);
      return done + entries.size() < rows_per_slice;
    });
    for (const ListEntry& entry : entries) lists_.erase(kind, entity, entry, reader, effects.writes);
    if (kind == ListKind::direct && !entries.empty()) drop_home(entity);  // a live feed may have opened it again
    done += entries.size();
    if (done >= rows_per_slice) return false;
  }
  const std::string markers = KeyBuilder(id_, Table::marker).add(entity);
  reader.scan(markers, store::after_prefix(markers), [&](std::string_view key, std::string_view) {
    effects.writes.erase(std::string(key));
    return ++done < rows_per_slice;
  });
  const std::string aliases = KeyBuilder(id_, Table::alias_of).add(entity);
  reader.scan(aliases, store::after_prefix(aliases), [&](std::string_view key, std::string_view) {
    const std::string alias(key.substr(aliases.size()));
    send_letter(map_->bucket_of(alias), wire::AliasDrop{name, alias}, take_position(), now, effects);
    effects.writes.erase(std::string(key));
    return ++done < rows_per_slice;
  });
  const std::string forwards = KeyBuilder(id_, Table::forward_of).add(entity);
  std::vector<LeafNo> from;
  reader.scan(forwards, store::after_prefix(forwards), [&](std::string_view key, std::string_view) {
    from.emplace_back(Cursor(key.substr(forwards.size())).be32());
    return ++done < rows_per_slice;
  });
  for (const LeafNo no : from) {
    effects.writes.erase(KeyBuilder(id_, Table::forward_of).add(entity).add(no));
    leaf::Leaf* const leaf = leaves_.find(leaves_.reflector_of(no, reader), reader);
    if (!leaf) continue;
    effects.writes.erase(KeyBuilder(id_, Table::forward).add(no).add(entity));
    std::erase_if(leaf->forwards, [&](const auto& e) { return e.to == entity; });
    if (leaf->forwards.empty() && leaf::Followers(id_, no, reader).count() == 0) leave(*leaf, take_position(), now, effects);
  }
  return done == 0;
}

// Its leaves hear that it ends, and leave; then its stream list goes.
bool Bucket::delete_reflector(EntityNo entity, const std::string& name, const store::Reader& reader, Effects& effects) {
  if (!roots_.idle(entity, name, reader)) {
    if (std::exchange(endings_.at(entity).told, true)) return false;
    if (auto letter = roots_.end(entity, name, reader, effects.writes)) push(std::move(*letter), effects);
    return false;
  }
  return roots_.erase(entity, name, rows_per_slice, reader, effects.writes);
}

}  // namespace canopy::bucket
