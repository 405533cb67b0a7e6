// One of everything that wire/ can encode, for round trips and for what is cut or changed in them.
#pragma once

#include <string>
#include <vector>

#include "wire/frame.h"
#include "wire/message.h"

namespace canopy::wire {

inline Blob sample_blob(uint64_t id, std::string_view body, std::string_view type = "") {
  MessageView m;
  m.id = MessageId(id);
  m.position = Position(2, 40);
  m.time_ms = 1'700'000'000'000;
  m.author = "alice";
  m.type = type;
  m.body = body;
  return make_blob(encode_message(m));
}

inline Entry sample_entry(uint64_t id, std::string_view body, std::string_view type = "") {
  return {Position(2, 40), sample_blob(id, body, type)};
}

// With everything that a message can have.
inline Entry full_entry(uint64_t id) {
  MessageView m;
  m.id = MessageId(id);
  m.position = Position(2, 40);
  m.time_ms = 1'700'000'000'000;
  m.author = "alice";
  m.type = "t";
  m.body = "an answer";
  m.reply_to = MessageId(UINT64_MAX);
  m.mentions = {"bob", "Ωmega"};
  m.topics = {"#news"};
  m.to = {"carol"};
  return {Position(2, 40), make_blob(encode_message(m))};
}

inline StreamItem sample_item(uint64_t no, std::string_view body) {
  const Blob blob = sample_blob(no << 14, body);
  return {StreamNo(1, no), StreamItem::Kind::message, body_ref(MessageId(no << 14), *blob), blob};
}

inline std::vector<Request> sample_requests() {
  Read tail;
  tail.entities = {"bob"};
  tail.timeline = Timeline::sent;
  tail.limit = 1000;
  tail.after = Position(3, 9);
  tail.wait_ms = 60'000;
  tail.stale_ok = true;
  Read batch;
  batch.entities = {"bob", "Ωmega", "carol"};
  batch.batch = true;
  batch.before = Position((uint64_t{1} << 53) - 1);
  Read go_on;
  go_on.entities = {"#news"};
  go_on.timeline = Timeline::topic;
  go_on.wait_ms = 5;
  go_on.consumer = "mailer";
  Message answer{"alice", "t", "hello", "k2", MessageId(UINT64_MAX), {"bob", "Ωmega"}, {"#news", "#a b"}, {"carol"}};
  Message mention{"alice", "", "hi", ""};
  mention.mentions = {"bob"};
  return {
      Ping{},
      Publish{{{"alice", "text/plain", "hello", "k1"}}, false},
      Publish{{{"alice", "", std::string("\xff\x00\x01", 3), ""}}, false},
      Publish{{{"alice", "", "", ""}}, false},
      Publish{{{"alice", "t", "hello", ""}, {"bob", "", "\xfe\xff", "key"}}, true},
      Publish{{}, true},
      Publish{{answer}, false},
      Publish{{mention, answer}, true},
      Follow{{{"bob", "alice"}}, false, 0},
      Follow{{{"bob", "alice"}}, false, 1000, 1000},
      Follow{{{"bob", "alice"}}, true, 1000, 1},
      Follow{{{"bob", "alice"}, {"carol", "alice"}}, true, 250},
      Unfollow{{{"bob", "alice"}}, false},
      Unfollow{{{"bob", "alice"}}, true},
      Read{{"bob"}, false, Timeline::home, 50, {}, {}, 0, false},
      tail,
      batch,
      Get{MessageId(UINT64_MAX)},
      Followers{"alice", 7, 99},
      Following{"bob", 1000, 0},
      Lookup{"alice"},
      Map{12},
      Tree{"alice", 3, 64},
      Tree{"alice", 0, 0, true},
      Status{},
      Leaves{"alice"},
      Leaf{"alice", BucketId(4095), 100, EntityNo(17)},
      Leaf{"alice", BucketId(4095), 0, EntityNo(), true},
      go_on,
      Read{{"bob", "carol"}, true, Timeline::mentions, 50, {}, {}, 0, false, "mailer"},
      Thread{MessageId(UINT64_MAX), 50, Position()},
      Thread{MessageId(5), 1000, Position(3, 9)},
      Retract{"alice", MessageId(77)},
      Delete{"alice"},
      Mark{"alice", Timeline::replies, Position((uint64_t{1} << 53) - 1), ""},
      Mark{"alice", Timeline::home, Position(), "mailer"},
      Retain{"alice", Timeline::sent, {}, {}},
      Retain{"#news", Timeline::topic, 100'000, 365 * 86'400},
      Retain{"alice", Timeline::mentions, 0, {}},
      Retain{"alice", Timeline::replies, {}, 0},
      Alias{"alice", "al"},
      Forwarding{"alice", "team", false},
      Forwarding{"#news", "team", true},
  };
}

inline std::vector<Reply> sample_replies() {
  const Error busy{Code::busy, "the outbox of bucket 3 is full: try again", 250};
  TimelinePage page{{sample_entry(77, "hello", "greeting"), sample_entry(76, "\xff\xfe")}, Position(2, 39), 10'000, true, {"carol"}};
  TimelinePage empty;
  return {
      Error{Code::not_found, "id is 5: there is no such message", 0},
      busy,
      PingResult{"n1", "canopy", "0.1.0", "00112233445566778899aabbccddeeff", 4},
      PublishResult{{Published{MessageId(UINT64_MAX - 1), 1'700'000'000'000}}, false},
      PublishResult{{Published{MessageId(5), 6}, busy}, true},
      FollowResult{{FollowState::pending}, false},
      FollowResult{{FollowState::active, busy, FollowState::pending}, true},
      UnfollowResult{{true}, false},
      UnfollowResult{{true, busy}, true},
      ReadResult{{page}, false},
      ReadResult{{page, busy, empty}, true},
      GetResult{sample_entry(77, "hello \"quoted\" \n")},
      NamesResult{{"bob", "carol"}, 17, 9},
      NamesResult{{}, std::nullopt, 0},
      LookupResult{"alice", BucketId(17), Epoch(3), "n1", {"n2"}, "tcp://127.0.0.1:7700"},
      MapResult{5, 256, {{"n1", "tcp://c", "tcp://f", "tcp://l", "z", "up", 1500}}, {{BucketId(0), "n1", {"n2", "n3"}, Epoch(2), 1}}},
      TreeResult{"alice", 30'000, 2,
                 {{"root", BucketId(3), "n1", 2, 30'000, 1, 0}, {"branch", std::nullopt, "n2", 1, 10'000, 2, 0}, {"leaf", BucketId(9), "n2", 0, 10'000, 3, 1}}},
      TreeResult{"alice", 3, 1,
                 {{"root", BucketId(3), "n1", 2, 3, 1, 0},
                  {"leaf", BucketId(9), "n1", 0, 2, 2, 0, LeafCosts{"append", true, 1, {}}},
                  {"leaf", BucketId(10), "n1", 0, 1, 2, 0, LeafCosts{"merge", false, 1, LeafCosts::Measured{1'500, UINT64_MAX, 1, 0, 3}}}}},
      StatusResult{{{"node", {{"name", std::string("n1")}, {"uptime_s", uint64_t{5}}}}, {"store", {}}}},
      LeavesResult{{BucketId(1), BucketId(255)}},
      LeafResult{2, {"bob", "carol"}, EntityNo(3)},
      LeafResult{2, {}, std::nullopt, LeafCosts{"lazy", false, 2, LeafCosts::Measured{1, 2, 3, 4, 5}}},
      GetResult{full_entry(77)},
      ThreadResult{full_entry(77), sample_entry(70, "first"), {full_entry(78), sample_entry(79, "\xff")}, Position(2, 79)},
      ThreadResult{sample_entry(70, ""), std::nullopt, {}, std::nullopt},
      RetractResult{},
      DeleteResult{},
      MarkResult{10'000},
      RetainResult{100'000, 365 * 86'400},
      RetainResult{},
      AliasResult{"alice", "al"},
      ForwardingResult{FollowState::pending, false},
      ForwardingResult{FollowState::active, false},
      ForwardingResult{FollowState::active, true},
  };
}

// What only nodes say to each other.
inline std::vector<Reply> sample_moves() {
  std::vector<Reply> replies;
  for (Request& request : sample_requests()) replies.push_back(Moved{std::move(request)});
  return replies;
}

inline std::vector<Letter> sample_letters() {
  const StreamItem item = sample_item(4, "a letter's");
  return {
      LeafJoin{"alice", Position(1, 5)},
      LeafLeave{"alice", Position(1, 5)},
      Welcome{"alice", Position(1, 5), StreamNo(1, 3), MessageId(8)},
      Clone{List::mentions, "bob", {}, item.ref, item.message},
      Clone{List::replies, "", MessageId(UINT64_MAX), item.ref, item.message},
      Clone{List::topic, "#news", {}, item.ref, item.message},
      Clone{List::direct, "bob", {}, item.ref, item.message},
      Unclone{List::topic, "#news", {}, MessageId(UINT64_MAX)},
      Unclone{List::replies, "", MessageId(7), MessageId(8)},
      BackfillAsk{"alice", "bob", Position(1, 5), 1000},
      Backfill{"alice", "bob", Position(1, 5), 1000, StreamNo(1, 3), item.ref, item.message},
      Backfill{"alice", "bob", Position(1, 5), 1, {}, item.ref, item.message},
      Redirect{"al", Position(1, 5), "alice"},
      AliasClaim{"alice", "al"},
      AliasAnswer{"alice", "al", true},
      AliasAnswer{"alice", "al", false},
      AliasDrop{"alice", "al"},
      Share{"alice", "team"},
      Shared{"alice", "team"},
      LeafMode{"alice", Position(1, 5), true},
      LeafMode{"alice", Position(1, 5), false},
  };
}

inline Route sample_route(size_t depth) {
  Route route{NodeIndex(static_cast<uint16_t>(depth)), {BucketId(1), BucketId(300)}, {}};
  if (depth > 1) route.children = {sample_route(depth - 1), Route{NodeIndex(9), {}, {}}};
  return route;
}

inline std::vector<LinkItem> sample_items() {
  const StreamItem first = sample_item(1, "one"), second = sample_item(2, "two");
  const StreamItem nothing{StreamNo(1, 3), StreamItem::Kind::void_number, {}, nullptr};
  StreamItem forwarded = second;
  forwarded.shared = true;
  forwarded.hops = 255;
  StreamItem retraction{StreamNo(1, 4), StreamItem::Kind::retraction, {MessageId(UINT64_MAX), 0}, nullptr};
  retraction.target = StreamNo(1, 2);
  const StreamItem ended{StreamNo(1, 5), StreamItem::Kind::ended, {}, nullptr};
  std::vector<LinkItem> items{
      Hello{1, "0123456789abcdef", "n1", 11, 12, 13, "fanout = 64\n", "tcp://c", "tcp://f", "tcp://l", "z", 1000},
      MapOffer{std::string("\x00\xff", 2), true},
      MapAccept{"0123456789abcdef", "n2"},
      FrameAck{9, {{3, {BucketId(1), BucketId(4095)}}, {4, {}}}},
      StreamLetter{BucketId(7), "alice", first, sample_route(16)},
      StreamLetter{BucketId(7), "alice", first, sample_route(1)},
      StreamLetter{BucketId(7), "alice", nothing, sample_route(2)},
      StreamLetter{BucketId(7), "alice", forwarded, sample_route(1)},
      StreamLetter{BucketId(7), "alice", retraction, sample_route(1)},
      StreamLetter{BucketId(7), "alice", ended, sample_route(1)},
      ChannelAck{BucketId(1), BucketId(2), {Position(1, 5), 2}},
      Tail{BucketId(1), BucketId(2), "alice", StreamNo(1, 3)},
      Have{BucketId(2), BucketId(1), "alice", StreamNo(StreamNo::number_max)},
      Fetch{BucketId(2), BucketId(1), "alice", Position(1, 5), StreamNo(1, 2), StreamNo(1, 3), UINT64_MAX},
      Fetched{BucketId(1), BucketId(2), "alice", Position(1, 5), StreamNo(1, 1), StreamNo(1, 3), {}, StreamNo(1, 3), {first, second, nothing, forwarded, retraction, ended}, UINT64_MAX},
  };
  items.push_back(Check{BucketId(2), BucketId(1), "alice", Position(1, 5), StreamNo(1, 9), {MessageId(1), MessageId(UINT64_MAX)}});
  items.push_back(Checked{BucketId(1), BucketId(2), "alice", Position(1, 5), StreamNo(1, 9), {MessageId(1)}, {MessageId(UINT64_MAX)}});
  for (const Letter& letter : sample_letters())
    items.push_back(ChannelLetter{BucketId(1), BucketId(2), {Position(1, 5), 2}, {Position(1, 4), 0}, letter});
  items.push_back(ChannelLetter{BucketId(1), BucketId(2), {Position(1, 6), 0}, {}, LeafLeave{"alice", Position(1, 5)}});
  uint64_t number = 100;
  for (const Request& request : sample_requests()) items.push_back(Forward{number++, 5000, 4, request});
  for (const Reply& reply : sample_replies()) items.push_back(ForwardReply{number++, false, 4, reply});
  for (const Reply& reply : sample_moves()) items.push_back(ForwardReply{number++, false, 4, reply});
  items.push_back(ForwardReply{number, true, 5, Error{}});
  return items;
}

inline LinkFrame sample_frame(std::vector<LinkItem> items) {
  return {"0123456789abcdef", 1, 2, 3, std::move(items)};
}

inline std::vector<std::string_view> views(const RequestFrames& frames) {
  std::vector<std::string_view> all{frames.verb, frames.args};
  if (frames.body) all.push_back(*frames.body);
  return all;
}

}  // namespace canopy::wire
