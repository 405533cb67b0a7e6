#include <doctest/doctest.h>

#include "ready.h"

namespace canopy::node::test {
namespace {

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

struct Aliased : Ready {
  using Ready::Ready;
  // Every shard answers what names `alias` with Moved to `entity`.
  void alias(const std::string& alias, const std::string& entity) {
    for (Answers& one : answers) one.aliases[alias] = entity;
  }
  uint64_t moved(size_t host) { return fabric[host].counters().requests_moved; }
};

TEST_CASE("moved: a request that names an alias is asked again under the first name, wherever both are") {
  Aliased ready(3);
  for (size_t from = 0; from < 3; ++from) {
    for (size_t to = 0; to < 3; ++to) {
      const std::string entity = ready.name(to, 3), alias = ready.name(from, 4 + to);
      ready.alias(alias, entity);
      for (Answers& answers : ready.answers) answers.asked.clear();
      CHECK(has(ready.ask(0, "MARK", "{\"entity\":" + quoted(alias) + ",\"position\":5}"), "\"unread\":41"));
      REQUIRE(!ready.answers[to].asked.empty());
      CHECK(std::get<wire::Mark>(ready.answers[to].asked.back()).entity == entity);
      CHECK(has(ready.ask(0, "PUBLISH", "{\"author\":" + quoted(alias) + ",\"body\":\"17\"}"), "\"id\":\"17\""));
      CHECK(std::get<wire::Publish>(ready.answers[to].asked.back()).messages[0].author == entity);
      CHECK(has(ready.ask(0, "PUBLISH", "{\"author\":" + quoted(alias) + ",\"body\":\"refuse\"}"), "refused " + entity));
    }
  }
  CHECK(ready.moved(0) == 27);
  CHECK(ready.moved(1) + ready.moved(2) == 0);  // who passes on for another only carries the answer back
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
}

TEST_CASE("moved: the parts of a batch are split by bucket again, and the results come in the order given") {
  Aliased ready(3, 2);
  constexpr int count = 60;
  std::map<std::string, std::string> first;
  std::string messages, entities;
  for (int i = 0; i < count; ++i) {
    const std::string author = "e" + std::to_string(i);
    if (i % 2 == 0) ready.alias(author, first[author] = "f" + std::to_string(i % 14));
    messages += (i ? "," : "") + std::string("{\"author\":\"") + author + "\",\"body\":\"" +
                (i % 10 == 4 ? "refuse" : std::to_string(1000 + i)) + "\"}";
    entities += (i ? "," : "") + quoted(author);
  }
  const std::string reply = ready.ask(0, "PUBLISH", "{\"messages\":[" + messages + "]}");
  size_t at = 0;
  for (int i = 0; i < count; ++i) {
    const std::string name = "e" + std::to_string(i);
    const std::string wanted = i % 10 == 4 ? "refused " + first[name] : "\"" + std::to_string(1000 + i) + "\"";
    const size_t next = reply.find(wanted, at);
    REQUIRE(next != std::string::npos);
    at = next;
  }
  size_t done = 0;
  for (Answers& answers : ready.answers)
    for (const wire::Request& request : answers.asked) {
      const auto& publish = std::get<wire::Publish>(request);
      CHECK(publish.batch);
      bool alias = false;
      for (const auto& message : publish.messages) {
        CHECK(ready.map->bucket_of(message.author) == ready.map->bucket_of(publish.messages[0].author));
        alias |= first.contains(message.author);
      }
      if (!alias) done += publish.messages.size();
    }
  CHECK(done == count);  // each once
  const std::string read = ready.ask(1, "READ", "{\"entities\":[" + entities + "]}");
  CHECK(has(read, "OK"));
  CHECK(!has(read, "error"));
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
}

TEST_CASE("moved: a batch of one bucket that moves to several becomes one reply") {
  Aliased ready(2);
  std::vector<std::string> names;  // of one bucket
  for (int i = 0; names.size() < 3; ++i) {
    const std::string name = "e" + std::to_string(i);
    if (ready.map->bucket_of(name) == ready.map->bucket_of(ready.name(0))) names.push_back(name);
  }
  ready.alias(names[0], ready.name(0, 9));
  ready.alias(names[2], ready.name(1, 9));
  const std::string pairs = "[" + quoted(names[0]) + ",\"x\"],[" + quoted(names[1]) + ",\"slow\"],[" + quoted(names[2]) + ",\"x\"]";
  const std::string reply = ready.ask(0, "FOLLOW", "{\"pairs\":[" + pairs + "]}");
  CHECK(has(reply, "\"active\":2"));
  CHECK(has(reply, "\"pending\":1"));
  CHECK(has(ready.ask(1, "UNFOLLOW", "{\"pairs\":[" + pairs + "]}"), "\"removed\":3"));
  ready.fabric.crash(1);
  ready.fabric.run(Duration::of_s(5));
  CHECK(has(ready.ask(0, "FOLLOW", "{\"pairs\":[" + pairs + "]}"), "[[2,\"UNAVAILABLE\"]]"));
}

TEST_CASE("moved: after two moves an alias leads to an alias, and only the elements of that part hear it") {
  Aliased ready(2);
  const std::string end = ready.name(1, 9), a1 = ready.name(0, 8), a2 = ready.name(1, 7), a3 = ready.name(0, 6);
  ready.alias(a3, a2);
  ready.alias(a2, a1);
  CHECK(has(ready.ask(0, "MARK", "{\"entity\":" + quoted(a3) + ",\"position\":5}"), "\"unread\":41"));
  ready.alias(a1, end);
  for (const std::string verb : {"DELETE", "FOLLOWERS", "TREE", "LOOKUP", "READ"}) {
    CAPTURE(verb);
    const std::string reply = ready.ask(0, verb, "{\"entity\":" + quoted(a3) + "}");
    CHECK(has(reply, "INTERNAL"));
    CHECK(has(reply, "alias leads to an alias"));
  }
  const std::string batch = ready.ask(0, "PUBLISH", "{\"messages\":[{\"author\":" + quoted(a3) + ",\"body\":\"1\"},{\"author\":" +
                                                        quoted(end) + ",\"body\":\"2\"},{\"author\":" + quoted(a2) + ",\"body\":\"3\"}]}");
  CHECK(has(batch, "OK"));
  CHECK(has(batch, "alias leads to an alias"));
  CHECK(!has(batch, "\"1\""));
  CHECK(has(batch, "\"2\""));
  CHECK(has(batch, "\"3\""));
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
}

TEST_CASE("moved: an answer that does not fit the request is INTERNAL, and no bucket is asked that there is not") {
  Ready ready(1);
  wire::Publish two;
  two.messages.resize(2);
  for (auto& message : two.messages) message.author = "a";
  const std::vector<wire::Request> wrong{wire::Delete{"a"}, two, wire::Get{MessageId(16383)}, wire::Leaves{"b"}, wire::Ping{}};
  for (const wire::Request& again : wrong) {
    ready.answers[0].special = [&](const wire::Request&) { return wire::Moved{again}; };
    for (const std::string verb : {"GET", "THREAD"}) CHECK(has(ready.ask(0, verb, "{\"id\":\"16384\"}"), "INTERNAL"));
    CHECK(has(ready.ask(0, "PUBLISH", "{\"author\":\"a\",\"body\":\"1\"}"), "INTERNAL"));
    CHECK(has(ready.ask(0, "LOOKUP", "{\"entity\":\"a\"}"), "INTERNAL"));
    CHECK(has(ready.ask(0, "READ", "{\"entities\":[\"a\"]}"), "INTERNAL"));
  }
}

TEST_CASE("moved: a peer that passed a request on gets Moved back and routes it itself") {
  Aliased ready(2);
  const std::string alias = ready.name(1), entity = ready.name(0);
  ready.alias(alias, entity);
  wire::LinkFrame frame{ready.map->fabric_id, ready.fabric[0].options.boot, ready.fabric[1].options.boot, 0, {}};
  frame.items.push_back(wire::Forward{99, 5000, 1, wire::Retract{alias, MessageId(5)}});
  ready.fabric.seen.clear();
  ready.fabric.deliver({0, "link-n2", wire::encode_frame(frame)});
  std::optional<wire::Moved> moved;
  for (const auto& packet : ready.fabric.seen) {
    const auto back = wire::decode_frame(packet.bytes);
    REQUIRE(back);
    for (const auto& item : back->items)
      if (const auto* reply = std::get_if<wire::ForwardReply>(&item); reply != nullptr && reply->request == 99)
        if (const auto* body = std::get_if<wire::Moved>(&reply->body)) moved = *body;
  }
  REQUIRE(moved);
  CHECK(std::get<wire::Retract>(moved->again).author == entity);
  CHECK(ready.answers[0].asked.empty());
}

TEST_CASE("moved: a request keeps its deadline when it goes on") {
  Aliased ready(1);
  ready.answers[0].silent = true;
  for (const std::string args : {"{\"entity\":\"a\"}", "{\"entities\":[\"a\"]}"}) {
    ready.fabric[0].shards.clear();
    CHECK(ready.ask(0, "READ", args, Duration::of_s(6)) == "no reply");
    const auto asked = ready.fabric[0].to_shards<shard::Ask>();
    REQUIRE(asked.size() == 1);
    wire::Read again = std::get<wire::Read>(asked[0].request);
    again.entities = {"b"};
    ready.fabric.from_shard(0, 0, shard::Answer{asked[0].ask, wire::Moved{again}});
    REQUIRE(ready.fabric[0].to_shards<shard::Ask>().size() == 2);
    CHECK(ready.fabric[0].to_shards<shard::Ask>()[1].deadline == asked[0].deadline);
    ready.fabric.run(Duration::of_ms(3'900));
    CHECK(!ready.fabric.reply(0));
    ready.fabric.run(Duration::of_ms(200));
    CHECK(has(ready.fabric.reply(0).value_or("none"), "TIMEOUT"));
  }
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
}

TEST_CASE("moved: FOLLOWERS, TREE and LOOKUP of an alias show its entity") {
  Aliased ready(3);
  const std::string alias = ready.name(2), entity = ready.name(1, 3);
  ready.alias(alias, entity);
  for (Answers& answers : ready.answers)
    for (const uint16_t bucket : {1, 5, 9}) answers.followers[entity].insert({bucket, 1});
  const std::string followers = ready.ask(0, "FOLLOWERS", "{\"entity\":" + quoted(alias) + "}");
  CHECK(has(followers, "\"count\":3"));
  CHECK(has(followers, "f9.1"));
  const std::string tree = ready.ask(0, "TREE", "{\"entity\":" + quoted(alias) + "}");
  CHECK(has(tree, "\"entity\":" + quoted(entity)));
  CHECK(has(tree, "\"followers\":3"));
  const std::string lookup = ready.ask(0, "LOOKUP", "{\"entity\":" + quoted(alias) + "}");
  CHECK(has(lookup, "\"entity\":" + quoted(entity)));
  CHECK(has(lookup, "client-n2"));
  CHECK(ready.moved(0) == 3);
}

TEST_CASE("moved: what was published without an answer under an alias is published under the first name") {
  Aliased ready(2);
  const std::string alias = ready.name(0), entity = ready.name(1);
  ready.alias(alias, entity);
  const auto send = [&](const std::string& author, const std::string& body) {
    Output out;
    ready.fabric[0].node->on_ingest(ready.fabric.now(), {author, body}, out);
    ready.fabric.take(0, out);
    ready.fabric.run(Duration::of_ms(100));
  };
  for (const std::string body : {"11", "12", "13"}) send(alias, body);
  CHECK(ready.fabric[0].counters().ingest_published == 3);
  REQUIRE(ready.answers[1].asked.size() == 3);
  CHECK(std::get<wire::Publish>(ready.answers[1].asked[2]).messages[0].author == entity);
  CHECK(std::get<wire::Publish>(ready.answers[1].asked[2]).messages[0].body == "13");
  ready.alias(entity, alias);  // round and round
  send(alias, "14");
  CHECK(ready.fabric[0].counters().ingest_failed == 1);
  CHECK(ready.fabric[0].counters().ingest_published == 3);
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
}

}  // namespace
}  // namespace canopy::node::test
