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
  return {
      Ping{},
      Publish{{{"alice", "text/plain", "hello", "k1"}}, false},
      Publish{{{"alice", "", std::string("\xff\x00\x01", 3), ""}}, false},
      Publish{{{"alice", "", "", ""}}, false},
      Publish{{{"alice", "t", "hello", ""}, {"bob", "", "\xfe\xff", "key"}}, true},
      Publish{{}, true},
      Follow{{{"bob", "alice"}}, false, 0},
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
      Status{},
      Leaves{"alice"},
      Leaf{"alice", BucketId(4095), 100, EntityNo(17)},
  };
}

inline std::vector<Reply> sample_replies() {
  const Error busy{Code::busy, "the outbox of bucket 3 is full: try again", 250};
  TimelinePage page{{sample_entry(77, "hello", "greeting"), sample_entry(76, "\xff\xfe")}, Position(2, 39), true, {"carol"}};
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
      StatusResult{{{"node", {{"name", std::string("n1")}, {"uptime_s", uint64_t{5}}}}, {"store", {}}}},
      LeavesResult{{BucketId(1), BucketId(255)}},
      LeafResult{2, {"bob", "carol"}, EntityNo(3)},
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
  std::vector<LinkItem> items{
      Hello{1, "0123456789abcdef", "n1", 11, 12, 13, "fanout = 64\n", "tcp://c", "tcp://f", "tcp://l", "z", 1000},
      MapOffer{std::string("\x00\xff", 2), true},
      MapAccept{"0123456789abcdef", "n2"},
      FrameAck{9, {{3, {BucketId(1), BucketId(4095)}}, {4, {}}}},
      StreamLetter{BucketId(7), "alice", first, sample_route(16)},
      StreamLetter{BucketId(7), "alice", first, sample_route(1)},
      StreamLetter{BucketId(7), "alice", nothing, sample_route(2)},
      ChannelLetter{BucketId(1), BucketId(2), {Position(1, 5), 2}, {Position(1, 4), 0}, LeafJoin{"alice", Position(1, 5)}},
      ChannelLetter{BucketId(1), BucketId(2), {Position(1, 6), 0}, {}, LeafLeave{"alice", Position(1, 5)}},
      ChannelLetter{BucketId(2), BucketId(1), {Position(1, 6), 0}, {}, Welcome{"alice", Position(1, 5), StreamNo(1, 3), MessageId(8)}},
      ChannelAck{BucketId(1), BucketId(2), {Position(1, 5), 2}},
      Tail{BucketId(1), BucketId(2), "alice", StreamNo(1, 3)},
      Have{BucketId(2), BucketId(1), "alice", StreamNo(StreamNo::number_max)},
      Fetch{BucketId(2), BucketId(1), "alice", Position(1, 5), StreamNo(1, 2), StreamNo(1, 3)},
      Fetched{BucketId(1), BucketId(2), "alice", Position(1, 5), StreamNo(1, 1), StreamNo(1, 3), {}, StreamNo(1, 3), {first, second, nothing}},
  };
  uint64_t number = 100;
  for (const Request& request : sample_requests()) items.push_back(Forward{number++, 5000, 4, request});
  for (const Reply& reply : sample_replies()) items.push_back(ForwardReply{number++, false, 4, reply});
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
