#include <doctest/doctest.h>

#include "ready.h"
#include "wire/message.h"

namespace canopy::node::test {
namespace {

// Two nodes; messages that the buckets have, by id.
struct Threads : Ready {
  explicit Threads(size_t hosts = 2) : Ready(hosts) {
    for (Answers& one : answers) one.special = [this](const wire::Request& request) { return answer(request); };
  }
  // A message of an entity of that node.
  MessageId message(size_t node, const std::string& body, MessageId reply_to = MessageId()) {
    const std::string author = name(node);
    last = MessageId::after(last, 1'700'000'000'000, map->bucket_of(author));
    wire::MessageView view;
    view.id = last;
    view.position = Position(1, messages.size() + 1);
    view.author = author;
    view.body = body;
    view.reply_to = reply_to;
    messages[last] = {view.position, make_blob(wire::encode_message(view))};
    return last;
  }
  std::optional<wire::Reply> answer(const wire::Request& request) {
    if (const auto* get = std::get_if<wire::Get>(&request)) {
      if (refuse) return *refuse;
      if (messages.contains(get->id)) return wire::GetResult{messages[get->id]};
    }
    if (const auto* thread = std::get_if<wire::Thread>(&request); thread != nullptr && messages.contains(thread->id))
      return wire::ThreadResult{messages[thread->id], std::nullopt, {}, std::nullopt};
    return std::nullopt;
  }
  std::string thread(size_t host, MessageId id, Duration wait = Duration::of_ms(100)) {
    return ask(host, "THREAD", "{\"id\":\"" + std::to_string(id.packed()) + "\"}", wait);
  }
  std::map<MessageId, wire::Entry> messages;
  MessageId last;
  std::optional<Error> refuse;  // GET
};

TEST_CASE("THREAD: what the message replies to comes from its own bucket, on this node or another") {
  Threads ready;
  for (const size_t parent : {size_t{0}, size_t{1}})
    for (const size_t child : {size_t{0}, size_t{1}}) {
      const MessageId of = ready.message(parent, "the question");
      const std::string reply = ready.thread(0, ready.message(child, "the answer", of));
      CHECK(has(reply, "OK"));
      CHECK(has(reply, "the answer"));
      CHECK(has(reply, "the question"));
    }
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
}

TEST_CASE("THREAD: a message that replies to nothing, or to what is gone, has no parent") {
  Threads ready;
  const MessageId alone = ready.message(0, "alone");
  CHECK(has(ready.thread(0, alone), "\"parent\":null"));
  CHECK(ready.answers[0].asked.size() == 1);
  const MessageId gone = ready.message(1, "gone");
  ready.messages.erase(gone);
  const std::string reply = ready.thread(0, ready.message(0, "left", gone));
  CHECK(has(reply, "left"));
  CHECK(has(reply, "\"parent\":null"));
  CHECK(ready.answers[1].asked.size() == 1);
  CHECK(has(ready.thread(0, ready.message(0, "of no bucket", MessageId(16383))), "\"parent\":null"));
  CHECK(has(ready.thread(0, gone), "NOT_FOUND"));
}

TEST_CASE("THREAD: a parent that cannot be had now is left out; another error is told") {
  Threads ready;
  const MessageId there = ready.message(1, "there"), here = ready.message(0, "here", there);
  ready.refuse = Error{Code::internal, "damaged", 0};
  CHECK(has(ready.thread(0, here), "damaged"));
  ready.refuse.reset();
  CHECK(has(ready.thread(0, here), "there"));
  ready.fabric.crash(1);
  ready.fabric.run(Duration::of_s(5));
  const std::string reply = ready.thread(0, here);
  CHECK(has(reply, "here"));
  CHECK(has(reply, "\"parent\":null"));
  CHECK(has(ready.thread(0, there), "UNAVAILABLE"));
}

TEST_CASE("THREAD: while the parent's bucket says nothing the message waits for half of the time, then goes without") {
  Threads ready;
  const MessageId there = ready.message(1, "there"), here = ready.message(0, "here", there);
  ready.answers[1].silent = true;
  CHECK(ready.thread(0, here, Duration::of_ms(4'800)) == "no reply");
  ready.fabric.run(Duration::of_ms(400));
  const std::string reply = ready.fabric.reply(0).value_or("none");
  CHECK(has(reply, "here"));
  CHECK(has(reply, "\"parent\":null"));
  ready.fabric.run(Duration::of_s(10));
  CHECK(!ready.fabric.reply(0));
  CHECK(ready.thread(0, there, Duration::of_ms(9'800)) == "no reply");  // the message itself is waited for
  ready.fabric.run(Duration::of_ms(400));
  CHECK(has(ready.fabric.reply(0).value_or("none"), "TIMEOUT"));
  CHECK(ready.fabric[0].node->requests_in_flight() == 0);
  CHECK(ready.fabric[1].node->requests_in_flight() == 0);
}

TEST_CASE("THREAD: a session that breaks while the parent is asked for leaves it out") {
  Threads ready;
  const MessageId there = ready.message(1, "there"), here = ready.message(0, "here", there);
  ready.answers[1].silent = true;
  CHECK(ready.thread(0, here) == "no reply");
  ready.fabric.crash(1);
  ready.fabric.start(1);
  ready.fabric.run(Duration::of_ms(50));
  CHECK(has(ready.fabric.reply(0).value_or("none"), "\"parent\":null"));
}

TEST_CASE("LOOKUP: it works while the entity's node is down or says nothing, with the name as given") {
  Ready ready(2);
  const std::string there = ready.name(1), args = "{\"entity\":\"" + there + "\"}";
  CHECK(has(ready.ask(0, "LOOKUP", args), "\"endpoint\":\"client-n2\""));
  ready.answers[1].silent = true;
  CHECK(ready.ask(0, "LOOKUP", args, Duration::of_ms(4'800)) == "no reply");
  ready.fabric.run(Duration::of_ms(400));
  CHECK(has(ready.fabric.reply(0).value_or("none"), "client-n2"));
  ready.fabric.crash(1);
  ready.fabric.run(Duration::of_s(5));
  const std::string reply = ready.ask(0, "LOOKUP", args, Duration::of_ms(1));
  CHECK(has(reply, "\"entity\":\"" + there + "\""));
  CHECK(has(reply, "\"primary\":\"n2\""));
  CHECK(has(reply, "client-n2"));
}

TEST_CASE("LOOKUP: when only the alias' bucket answered, its entity's node is told from the map") {
  Ready ready(2);
  const std::string alias = ready.name(0), entity = ready.name(1);
  ready.answers[0].aliases[alias] = entity;
  ready.fabric.crash(1);
  ready.fabric.run(Duration::of_s(5));
  const std::string reply = ready.ask(0, "LOOKUP", "{\"entity\":\"" + alias + "\"}");
  CHECK(has(reply, "\"entity\":\"" + entity + "\""));
  CHECK(has(reply, "client-n2"));
}

}  // namespace
}  // namespace canopy::node::test
