#include "json.h"

#include <doctest/doctest.h>

namespace canopy::console {

TEST_CASE("json: ids are strings, positions numbers, absent fields absent") {
  client::Entry entry;
  entry.position = 3;
  entry.id = 18446744073709551615u;
  entry.author = "alice";
  entry.time_ms = 5;
  entry.body = "hé\n";
  CHECK(json_of(entry) == R"({"position":3,"id":"18446744073709551615","author":"alice","time":5,"body":"hé\n"})");
}

TEST_CASE("json: what an entry belongs to, and a conversation") {
  client::Thread thread;
  thread.message.author = "alice";
  thread.message.reply_to = 7;
  thread.message.mentions = {"bob"};
  thread.message.topics = {"#x"};
  thread.next = 9;
  CHECK(json_of(thread) ==
        R"({"message":{"position":0,"id":"0","author":"alice","time":0,"body":"","reply_to":"7","mentions":["bob"],"topics":["#x"]},)"
        R"("parent":null,"replies":[],"next":9})");
}

TEST_CASE("json: a body that is not UTF-8 comes as base64") {
  client::Entry entry;
  for (const auto& [body, text] : {std::pair{"\xff", "/w=="}, std::pair{"\xff\xfe", "//4="}, std::pair{"\xff\xfe\xfd", "//79"}}) {
    entry.body = body;
    CHECK(json_of(entry).find(std::string(R"("body_base64":")") + text + "\"") != std::string::npos);
  }
}

TEST_CASE("json: what a leaf costs, when that was asked for") {
  client::Tree tree{"a", 1, 1, {{}, {}}};
  tree.reflectors[0].kind = tree.reflectors[1].kind = "leaf";
  CHECK(json_of(tree).find("costs") == std::string::npos);
  tree.reflectors[0].costs = client::LeafCosts{"merge", true, 2, client::LeafCosts::Measured{0.5, 2, 3, 4, 5}};
  tree.reflectors[1].costs = client::LeafCosts{"append", false, 0, {}};
  CHECK(json_of(tree).find(R"("parent":0,"costs":{"mode":"merge","forced":true,"warm":2,"messages_per_s":0.5,"reads_per_s":2.0,)"
                           R"("append_ns":3,"merge_ns":4,"lazy_ns":5}})") != std::string::npos);
  CHECK(json_of(tree).find(R"("costs":{"mode":"append","forced":false,"warm":0}})") != std::string::npos);
}

TEST_CASE("json: errors are objects") {
  CHECK(json_of(client::Error{client::Code::busy, "full", client::milliseconds{20}}) ==
        R"({"error":{"code":"BUSY","message":"full","retry_after_ms":20}})");
}

TEST_CASE("json: a page, an empty list and what goes on") {
  client::Page page;
  page.incomplete = {"alice"};
  CHECK(json_of(page) == R"({"entries":[],"next":null,"unread":null,"truncated":false,"incomplete":["alice"]})");
  page.unread = 2;
  CHECK(json_of(page) == R"({"entries":[],"next":null,"unread":2,"truncated":false,"incomplete":["alice"]})");
  CHECK(json_of(client::Names{{}, 7, 9}) == R"({"names":[],"next":7,"count":9})");
  CHECK(json_of(client::Retention{100, {}}) == R"({"count":100,"age":null})");
  CHECK(json_of(client::Forwarding{client::FollowState::active, true}) == R"({"state":"off"})");
  CHECK(json_of(std::vector<client::Node>{}) == "[]");
  CHECK(json_object({{"edges", uint64_t{3}}, {"whole", true}}) == R"({"edges":3,"whole":true})");
}

}  // namespace canopy::console
