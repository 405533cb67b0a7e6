#include <doctest/doctest.h>

#include <array>
#include <set>

#include "node/split.h"
#include "ready.h"

namespace canopy::node::test {
namespace {

TEST_CASE("front: until the node is ready requests and PING are answered UNAVAILABLE, STATUS tells why") {
  Fabric fabric(3);
  fabric.start(0);
  for (const std::string verb : {"PING", "MAP"}) {
    fabric.ask(0, verb, "{}");
    const std::string reply = fabric.reply(0).value();
    CHECK(has(reply, "ERR"));
    CHECK(has(reply, "UNAVAILABLE"));
    CHECK(has(reply, "waiting for 2 of 3 nodes"));
  }
  fabric.ask(0, "STATUS", "{}");
  CHECK(has(fabric.reply(0).value(), "waiting for 2 of 3 nodes"));
}

TEST_CASE("front: PING, MAP and STATUS are answered by the node itself, in the encoding of the request") {
  Ready ready(2);
  CHECK(has(ready.ask(0, "PING", "{}"), "\"node\":\"n1\""));
  CHECK(has(ready.ask(0, "MAP", "{}"), "\"bucket_count\":16"));
  CHECK(has(ready.ask(0, "STATUS", "{}"), "letters_per_message_max"));
  CHECK(!has(ready.ask(0, "PING", ""), "{"));
  CHECK(ready.answers[0].asked.empty());
}

TEST_CASE("front: a wrong request is answered with what is wrong and reaches no shard") {
  Ready ready(1);
  CHECK(has(ready.ask(0, "PLUGH", "{}"), "UNKNOWN_VERB"));
  CHECK(has(ready.ask(0, "READ", "{"), "BAD_REQUEST"));
  CHECK(has(ready.ask(0, "READ", "{\"entity\":\"a\",\"x\":1}"), "BAD_REQUEST"));
  CHECK(has(ready.ask(0, "TREE", "{\"entity\":\"a\",\"fanout\":1}"), "fanout"));
  for (const std::string verb : {"GET", "THREAD"})
    CHECK(has(ready.ask(0, verb, "{\"id\":\"16383\"}"), "NOT_FOUND"));  // a bucket that there is not
  CHECK(has(ready.ask(0, "RETRACT", "{\"author\":\"a\",\"id\":\"16383\"}"), "NOT_FOUND"));
  Output out;
  ready.fabric[0].node->on_client(ready.fabric.now(), {"r"}, {}, out);
  REQUIRE(out.clients.size() == 1);
  CHECK(out.clients[0].reply.status == "ERR");
  CHECK(ready.answers[0].asked.empty());
}

TEST_CASE("front: a request for another node's bucket is passed on and its answer comes back") {
  Ready ready(3);
  CHECK(has(ready.ask(0, "PUBLISH", "{\"author\":\"" + ready.name(2) + "\",\"body\":\"17\"}"), "\"id\":\"17\""));
  CHECK(ready.answers[2].asked.size() == 1);
  CHECK(ready.answers[0].asked.empty());
  CHECK(has(ready.ask(0, "PUBLISH", "{\"author\":\"" + ready.name(2) + "\",\"body\":\"refuse\"}"), "BAD_REQUEST"));
  CHECK(has(ready.ask(0, "FOLLOW", "{\"follower\":\"" + ready.name(1) + "\",\"author\":\"slow\"}"), "pending"));
  CHECK(has(ready.ask(1, "FOLLOW", "{\"follower\":\"" + ready.name(1) + "\",\"author\":\"x\"}"), "active"));
}

TEST_CASE("front: each verb goes to the bucket that looks after what it names, on this node and on another") {
  Ready ready(2);
  for (const size_t node : {size_t{0}, size_t{1}}) {
    const std::string name = "\"" + ready.name(node) + "\"";
    const MessageId id = MessageId::after(MessageId(), 1, ready.map->bucket_of(ready.name(node)));
    const std::string elsewhere = "\"" + ready.name(1 - node) + "\"";
    const std::vector<std::array<std::string, 3>> table{
        {"DELETE", "{\"entity\":" + name + "}", "deleted"},
        {"MARK", "{\"entity\":" + name + ",\"timeline\":\"mentions\",\"position\":5}", "\"unread\":41"},
        {"RETAIN", "{\"entity\":" + name + ",\"timeline\":\"sent\",\"count\":7}", "\"count\":7"},
        {"ALIAS", "{\"entity\":" + name + ",\"alias\":" + elsewhere + "}", "\"alias\":" + elsewhere},
        {"FORWARD", "{\"from\":" + elsewhere + ",\"to\":" + name + "}", "pending"},
        {"RETRACT", "{\"author\":" + name + ",\"id\":\"" + std::to_string(id.packed()) + "\"}", "retracted"},
        {"LOOKUP", "{\"entity\":" + name + "}", "\"primary\":\"n" + std::to_string(node + 1)},
        {"THREAD", "{\"id\":\"" + std::to_string(id.packed()) + "\"}", "nothing here"}};
    for (const auto& [verb, args, answer] : table) {
      CAPTURE(verb);
      for (Answers& answers : ready.answers) answers.asked.clear();
      const std::string reply = ready.ask(0, verb, args);
      CHECK_MESSAGE(has(reply, answer), reply);
      REQUIRE(ready.answers[node].asked.size() == 1);
      CHECK(wire::verb_of(ready.answers[node].asked[0]) == verb);
      CHECK(ready.answers[1 - node].asked.empty());
    }
  }
}

TEST_CASE("front: a batch is split by bucket and the results come in the order given, errors in their places") {
  Ready ready(3, 2);
  std::string messages;
  for (int i = 0; i < 40; ++i) {
    const std::string author = "e" + std::to_string(i % 20);
    messages += (i ? "," : "") + std::string("{\"author\":\"") + author + "\",\"body\":\"" + (i == 5 ? "refuse" : std::to_string(1000 + i)) + "\"}";
  }
  ready.fabric.ask(0, "PUBLISH", "{\"messages\":[" + messages + "]}");
  ready.fabric.run(Duration::of_ms(100));
  const std::string reply = ready.fabric.reply(0).value();
  size_t at = 0;
  for (int i = 0; i < 40; ++i) {
    const size_t next = reply.find(i == 5 ? "refused e5" : "\"" + std::to_string(1000 + i) + "\"", at);
    REQUIRE(next != std::string::npos);
    at = next;
  }
  for (Answers& answers : ready.answers) {  // each bucket was asked once, an author's messages in order
    std::set<uint16_t> buckets;
    for (const wire::Request& request : answers.asked) {
      const auto& publish = std::get<wire::Publish>(request);
      std::map<std::string, std::string> last;
      CHECK(buckets.insert(ready.map->bucket_of(publish.messages[0].author).value()).second);
      for (const auto& message : publish.messages) {
        CHECK(ready.map->bucket_of(message.author) == ready.map->bucket_of(publish.messages[0].author));
        if (message.body == "refuse") continue;
        CHECK(last[message.author] < message.body);
        last[message.author] = message.body;
      }
    }
  }
}

TEST_CASE("front: a part that fails gives its code to its own elements only") {
  Ready ready(2);
  ready.fabric.crash(1);
  ready.fabric.run(Duration::of_s(5));
  const std::string here = ready.name(0), there = ready.name(1);
  const std::string reply = ready.ask(0, "FOLLOW", "{\"pairs\":[[\"" + here + "\",\"x\"],[\"" + there + "\",\"x\"],[\"" + here + "\",\"slow\"]]}");
  CHECK(has(reply, "OK"));
  CHECK(has(reply, "\"active\":1"));
  CHECK(has(reply, "\"pending\":1"));
  CHECK(has(reply, "[[1,\"UNAVAILABLE\"]]"));
}

TEST_CASE("front: a node that cannot be reached is said at once, a broken session tells that the outcome is unknown") {
  Ready ready(2);
  const std::string publish = "{\"author\":\"" + ready.name(1) + "\",\"body\":\"1\"}";
  ready.answers[1].silent = true;
  CHECK(ready.ask(0, "PUBLISH", publish) == "no reply");
  ready.fabric.crash(1);
  ready.fabric.run(Duration::of_s(4));
  const std::string broken = ready.fabric.reply(0).value();
  CHECK(has(broken, "UNAVAILABLE"));
  CHECK(has(broken, "outcome is unknown"));
  CHECK(has(broken, "key"));
  const std::string refused = ready.ask(0, "PUBLISH", publish);
  CHECK(has(refused, "UNAVAILABLE"));
  CHECK(has(refused, "cannot be reached"));
  CHECK(!has(refused, "unknown"));
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
}

TEST_CASE("front: a restart of the owner ends what was asked of it, at once when its new boot is heard") {
  Ready ready(2);
  ready.answers[1].silent = true;
  CHECK(ready.ask(0, "READ", "{\"entity\":\"" + ready.name(1) + "\"}") == "no reply");
  ready.fabric.crash(1);
  ready.fabric.start(1);
  ready.fabric.run(Duration::of_ms(50));
  CHECK(has(ready.fabric.reply(0).value(), "UNAVAILABLE"));
}

TEST_CASE("front: a request without an answer ends with TIMEOUT at its deadline, and the shard may forget it") {
  Ready ready(1);
  ready.answers[0].silent = true;
  CHECK(ready.ask(0, "READ", "{\"entity\":\"a\",\"after\":0,\"wait_ms\":2000}", Duration::of_ms(11'900)) == "no reply");
  ready.fabric.run(Duration::of_ms(200));
  CHECK(has(ready.fabric.reply(0).value(), "TIMEOUT"));
  REQUIRE(ready.fabric[0].to_shards<shard::Forget>().size() == 1);
  const uint64_t ask = ready.fabric[0].to_shards<shard::Ask>()[0].ask;
  CHECK(ready.fabric[0].to_shards<shard::Forget>()[0].ask == ask);
  ready.fabric.from_shard(0, 0, shard::Answer{ask, Error{Code::internal, "late", 0}});
  CHECK(!ready.fabric.reply(0));
  CHECK(ready.fabric[0].counters().answers_late == 1);
}

TEST_CASE("front: the owner forgets what a node asked when that node's session has ended") {
  Ready ready(2);
  ready.answers[1].silent = true;
  CHECK(ready.ask(0, "READ", "{\"entity\":\"" + ready.name(1) + "\"}") == "no reply");
  CHECK(ready.fabric[1].node->requests_in_flight() == 1);
  ready.fabric.crash(0);
  ready.fabric.run(Duration::of_s(4));
  CHECK(ready.fabric[1].node->requests_in_flight() == 0);
  CHECK(ready.fabric[1].to_shards<shard::Forget>().size() == 1);
}

TEST_CASE("front: a frame that the network repeats carries its request out once") {
  Ready ready(2);
  ready.fabric.seen.clear();
  CHECK(has(ready.ask(0, "PUBLISH", "{\"author\":\"" + ready.name(1) + "\",\"body\":\"1\"}"), "OK"));
  const auto sent = ready.fabric.seen;
  for (const auto& packet : sent) ready.fabric.deliver(packet);
  ready.fabric.run(Duration::of_s(1));
  CHECK(ready.answers[1].asked.size() == 1);
  CHECK(!ready.fabric.reply(0));
  CHECK(ready.fabric[1].counters().forwards_repeated >= 1);
}

TEST_CASE("front: a node that is not the owner says so, and the first node tries again until the deadline") {
  Ready ready(2);
  // n2 answers everything as if it had no bucket: a Forward for a bucket of n1 comes to it
  wire::LinkFrame frame{ready.map->fabric_id, ready.fabric[0].options.boot, ready.fabric[1].options.boot, 0, {}};
  wire::Following following{ready.name(0), 50, 0};
  frame.items.push_back(wire::Forward{99, 5000, 1, following});
  ready.fabric.seen.clear();
  ready.fabric.deliver({0, "link-n2", wire::encode_frame(frame)});
  CHECK(ready.fabric[1].counters().forwards_not_owner == 1);
  CHECK(ready.answers[1].asked.empty());
  bool answered = false;
  for (const auto& packet : ready.fabric.seen) {
    const auto back = wire::decode_frame(packet.bytes);
    for (const auto& item : back->items)
      if (const auto* reply = std::get_if<wire::ForwardReply>(&item)) answered = reply->not_owner && reply->request == 99;
  }
  CHECK(answered);
}

TEST_CASE("front: too many requests in flight are refused as BUSY, and draining refuses new ones") {
  Ready ready(1);
  ready.answers[0].silent = true;
  Output out;
  const std::string args = "{\"entity\":\"a\"}";
  for (size_t i = 0; i < limits::requests_in_flight_max; ++i)
    ready.fabric[0].node->on_client(ready.fabric.now(), {"r"}, {"READ", args}, out);
  CHECK(out.clients.empty());
  ready.fabric[0].node->on_client(ready.fabric.now(), {"r"}, {"READ", args}, out);
  REQUIRE(out.clients.size() == 1);
  CHECK(has(out.clients[0].reply.result, "BUSY"));
  CHECK(has(out.clients[0].reply.result, "retry_after_ms"));
  CHECK(ready.fabric[0].node->requests_in_flight() == limits::requests_in_flight_max);
  out.clear();
  ready.fabric[0].node->drain(ready.fabric.now(), out);
  ready.fabric[0].node->on_client(ready.fabric.now(), {"r"}, {"PING", "{}"}, out);
  CHECK(has(out.clients[0].reply.result, "stopping"));
}

TEST_CASE("front: a node that stops ends the long polls, and goes on with what else is in flight") {
  Ready ready(1);
  ready.answers[0].silent = true;
  Output out;
  ready.fabric[0].node->on_client(ready.fabric.now(), {"poll"}, {"READ", "{\"entity\":\"a\",\"after\":0,\"wait_ms\":60000}"}, out);
  ready.fabric[0].node->on_client(ready.fabric.now(), {"read"}, {"READ", "{\"entity\":\"a\"}"}, out);
  out.clear();
  ready.fabric[0].node->drain(ready.fabric.now(), out);
  REQUIRE(out.clients.size() == 1);
  CHECK(out.clients[0].route == std::vector<std::string>{"poll"});
  CHECK(has(out.clients[0].reply.result, "stopping"));
  REQUIRE(out.shards.size() == 1);
  CHECK(std::holds_alternative<shard::Forget>(out.shards[0].in));
  CHECK(ready.fabric[0].node->requests_in_flight() == 1);
}

TEST_CASE("front: too many bytes of requests in flight are refused as BUSY until some are answered") {
  Ready ready(1);
  ready.answers[0].silent = true;
  Output out;
  const std::string args = "{\"author\":\"a\"}", body(1u << 20, 'b');
  const auto publish = [&] { ready.fabric[0].node->on_client(ready.fabric.now(), {"r"}, {"PUBLISH", args, body}, out); };
  size_t taken = 0;
  for (; out.clients.empty() && taken < 1000; ++taken) publish();
  CHECK(taken - 1 == limits::request_bytes_in_flight_max / (body.size() + args.size() + 7));
  CHECK(has(out.clients.at(0).reply.result, "BUSY"));
  CHECK(ready.fabric[0].node->requests_in_flight() == taken - 1);
  const auto asked = std::get<shard::Ask>(out.shards.at(0).in).ask;
  out.clear();
  ready.fabric[0].node->on_shard(ready.fabric.now(), 0, shard::Answer{asked, Error{Code::internal, "", 0}}, out);
  out.clear();
  publish();
  CHECK(out.clients.empty());
}

TEST_CASE("front: FOLLOWERS pages through all leaves, each follower once, and counts them all on every page") {
  Ready ready(3);
  std::set<std::pair<uint16_t, uint32_t>> followers;
  std::set<std::string> names;
  for (uint16_t bucket : {0, 1, 2, 3, 7, 8, 15})
    for (uint32_t number = 1; number <= bucket + 1u; ++number) {
      followers.insert({bucket, number});
      names.insert("f" + std::to_string(bucket) + "." + std::to_string(number));
    }
  for (Answers& answers : ready.answers) answers.followers["star"] = followers;
  for (const int limit : {1, 2, 3, 7, 100}) {
    std::multiset<std::string> got;
    std::string after = "0";
    for (int page = 0; page < 200 && !after.empty(); ++page) {
      const std::string reply = ready.ask(0, "FOLLOWERS", "{\"entity\":\"star\",\"limit\":" + std::to_string(limit) + ",\"after\":" + after + "}");
      REQUIRE(has(reply, "\"count\":" + std::to_string(followers.size())));
      size_t on_page = 0;
      for (size_t at = reply.find("\"f"); at != std::string::npos; at = reply.find("\"f", at + 1), ++on_page)
        got.insert(reply.substr(at + 1, reply.find('"', at + 1) - at - 1));
      CHECK(on_page <= static_cast<size_t>(limit));
      const size_t next = reply.find("\"next\":") + 7;
      after = has(reply, "\"next\":null") ? "" : reply.substr(next, reply.find_first_of(",}", next) - next);
    }
    CHECK(after.empty());
    CHECK(std::multiset<std::string>(names.begin(), names.end()) == got);
  }
  CHECK(has(ready.ask(1, "FOLLOWERS", "{\"entity\":\"nobody\"}"), "\"count\":0"));
}

TEST_CASE("front: TREE shows the reflectors as they are and as they would be with another fanout") {
  Ready ready(3);
  for (Answers& answers : ready.answers)
    for (uint16_t bucket = 0; bucket < 16; ++bucket)
      for (uint32_t number = 1; number <= 3; ++number) answers.followers["star"].insert({bucket, number});
  const std::string wide = ready.ask(0, "TREE", "{\"entity\":\"star\"}");
  CHECK(has(wide, "\"followers\":48"));
  CHECK(has(wide, "\"levels\":1"));
  CHECK(has(wide, "\"children\":16"));
  const std::string narrow = ready.ask(0, "TREE", "{\"entity\":\"star\",\"fanout\":4}");
  CHECK(has(narrow, "branch"));
  CHECK(!has(narrow, "\"levels\":1}"));
  const std::string root = ready.ask(0, "TREE", "{\"entity\":\"star\",\"fanout\":4,\"depth\":1}");
  CHECK(!has(root, "branch"));
  CHECK(has(root, "\"root\""));
}

TEST_CASE("front: a survey ends with an error when one of its buckets cannot be asked") {
  Ready ready(2);
  for (Answers& answers : ready.answers)
    for (uint16_t bucket = 0; bucket < 16; ++bucket) answers.followers[ready.name(0)].insert({bucket, 1});
  ready.fabric.crash(1);
  ready.fabric.run(Duration::of_s(5));
  CHECK(has(ready.ask(0, "FOLLOWERS", "{\"entity\":\"" + ready.name(0) + "\"}"), "UNAVAILABLE"));
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
}

TEST_CASE("ingest: a message without an answer is published; while its bucket is busy it waits, then it is dropped and counted") {
  Ready ready(1);
  const auto send = [&](const std::string& body) {
    Output out;
    ready.fabric[0].node->on_ingest(ready.fabric.now(), {"alice", body}, out);
    ready.fabric.take(0, out);
  };
  send("11");
  ready.fabric.run(Duration::of_ms(10));
  CHECK(ready.fabric[0].counters().ingest_published == 1);
  bool busy = true;
  std::vector<std::string> published;
  ready.fabric.shard = [&](size_t, const shard::In& in) -> std::vector<shard::Out> {
    const auto* ask = std::get_if<shard::Ask>(&in);
    if (ask == nullptr) return {};
    if (busy) return {shard::Answer{ask->ask, Error{Code::busy, "full", 100}}};
    published.push_back(std::get<wire::Publish>(ask->request).messages[0].body);
    return {shard::Answer{ask->ask, wire::PublishResult{{wire::Published{MessageId(1), 1}}, false}}};
  };
  for (const std::string body : {"1", "2", "3"}) send(body);
  ready.fabric.run(Duration::of_s(1));
  CHECK(ready.fabric[0].node->requests_in_flight() == 3);
  busy = false;
  ready.fabric.run(Duration::of_s(1));
  CHECK(published == std::vector<std::string>{"1", "2", "3"});
  busy = true;
  send("4");
  ready.fabric.run(ingest_wait_max + Duration::of_s(1));
  CHECK(ready.fabric[0].counters().ingest_dropped == 1);
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
  for (size_t i = 0; i < ingest_waiting_max + 10; ++i) send("5");
  CHECK(ready.fabric[0].counters().ingest_dropped == 11);
  Output out;
  ready.fabric[0].node->on_ingest(ready.fabric.now(), {"", "x"}, out);
  CHECK(ready.fabric[0].counters().ingest_refused == 1);
}

TEST_CASE("front: a live feed tells its shard that somebody listens, again when the shards start, and takes complete topics only") {
  Ready ready(1);
  const std::string topic("home/alice\0", 11);
  const auto subscribe = [&](std::string_view bytes, bool on) {
    Output out;
    ready.fabric[0].node->on_feed_subscription(ready.fabric.now(), bytes, on, out);
    ready.fabric.take(0, out);
  };
  subscribe(topic, true);
  subscribe(topic, true);
  subscribe("", true);
  subscribe("home/", true);
  subscribe("home/alice", true);
  auto audience = ready.fabric[0].to_shards<shard::Audience>();
  REQUIRE(audience.size() == 1);
  CHECK(audience[0].present);
  CHECK(audience[0].entity == "alice");
  shard::Feed feed{wire::Timeline::home, "alice", {Position(1, 5), nullptr}, Position()};
  ready.fabric.from_shard(0, 0, feed);
  REQUIRE(ready.fabric[0].feed.size() == 1);
  CHECK(ready.fabric[0].feed[0].topic == topic);
  feed.retracted = MessageId(77);
  ready.fabric.from_shard(0, 0, feed);
  const auto retraction = wire::encode_feed_retraction(wire::Timeline::home, "alice", MessageId(77));
  REQUIRE(ready.fabric[0].feed.size() == 2);
  CHECK(ready.fabric[0].feed[1].topic == topic);
  CHECK(ready.fabric[0].feed[1].head == retraction.head);
  CHECK(ready.fabric[0].feed[1].body.empty());
  subscribe(topic, false);
  CHECK(!ready.fabric[0].to_shards<shard::Audience>().back().present);
  ready.fabric.from_shard(0, 0, feed);
  CHECK(ready.fabric[0].feed.size() == 2);
}

TEST_CASE("front: every timeline has a live feed") {
  Ready ready(1);
  for (const std::string timeline : {"home", "sent", "mentions", "replies", "topic"}) {
    Output out;
    ready.fabric[0].node->on_feed_subscription(ready.fabric.now(), timeline + "/#x" + '\0', true, out);
    REQUIRE(out.shards.size() == 1);
    CHECK(wire::timeline_name(std::get<shard::Audience>(out.shards[0].in).timeline) == timeline);
    CHECK(std::get<shard::Audience>(out.shards[0].in).entity == "#x");
  }
}

}  // namespace
}  // namespace canopy::node::test
