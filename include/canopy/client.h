// A client of a Canopy fabric.
//
//   auto client = canopy::Client::connect();
//   if (!client) return complain(client.error());
//   auto told = client->publish({.author = "alice", .body = "hello"});
//   auto page = client->read({.entity = "bob", .after = 0, .wait = 1000ms});  // using namespace std::chrono_literals
//
// The library is not installed yet, it is linked from the build directory B (ninja -C B
// src/client/libcanopy-client.a), with the -I of this tree's include/ and -std=c++20:
//
//   B/src/client/libcanopy-client.a B/src/wire/libwire.a B/src/base/libbase.a -lzmq -lxxhash
//
// The protocol below it is PROTOCOL.md, beside this file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "canopy/error.h"
#include "canopy/message.h"

namespace canopy::client {

struct Options {
  // Client endpoints of one or more nodes of the same fabric; any node serves any entity. Requests
  // go in turn to those that are connected; a lost connection is made again by itself.
  std::vector<std::string> endpoints = {"tcp://127.0.0.1:7700"};
  milliseconds timeout{10'000};         // from submission to the answer; a request's own `wait` comes on top
  milliseconds connect_timeout{2'000};  // so long a request waits for any connection, if `timeout` is not shorter
  size_t in_flight_max = 256;           // requests beyond it wait here, inside the client; 1 to 10,000
  bool retry_busy = true;               // ask again after BUSY, when the fabric says, until `timeout`
};

using Ticket = uint64_t;  // names a submitted request; never 0, never used twice by one client

struct Completion {
  Ticket ticket = 0;
  Result<Answer> answer;
};

// A connection to the fabric, and the requests in flight on it.
//
// Thread use: one thread at a time; a client may be handed from thread to thread, or each thread
// may have its own. No call throws but for lack of memory. No call blocks beyond its time-outs.
//
// An answer that comes after its request's time-out is dropped: it cannot be taken for another's.
class Client {
 public:
  // Returns at once: the connections are made in the background. Errors: bad_request for an endpoint
  // that ZeroMQ does not understand, or an option out of bounds.
  static Result<Client> connect(Options options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();  // closes at once: what has not been answered may or may not have been done

  // ---- One request at a time ----
  // Each waits for its answer, at most `timeout`. Errors, beside those named: unreachable, no_answer,
  // and every code of the fabric that is not excluded by the verb (see error.h).

  // The node that answers. Errors: unavailable while it is starting.
  Result<NodeInfo> ping();

  // Returns when the message is settled. Errors: too_large, and bad_request for a key that was used
  // with another content.
  Result<Published> publish(Message message);
  // At most 1000 messages; one result for each.
  Result<PublishAnswer> publish_all(std::vector<Message> messages);

  // Returns pending when the author's bucket has not answered in `wait`; a repeat asks for the state.
  Result<FollowState> follow(std::string follower, std::string author, milliseconds wait = milliseconds{1000},
                             uint32_t backfill = 0);
  Result<FollowAnswer> follow_all(std::vector<Pair> pairs, milliseconds wait = milliseconds{1000});
  // Returns whether the follow was there.
  Result<bool> unfollow(std::string follower, std::string author);
  Result<UnfollowAnswer> unfollow_all(std::vector<Pair> pairs);

  // An unknown entity's timeline is empty, not an error.
  Result<Page> read(Read request);
  // Errors: not_found.
  Result<Entry> get(MessageId id);
  Result<Thread> thread(MessageId id, uint32_t limit = 50, Position after = 0);

  // From the answer on get() and `sent` lack it; other lists lose it when the retraction arrives. Errors:
  // denied for another's message; not_found, also when it is retracted already, be it by this very
  // call when its first answer was lost.
  Result<Retracted> retract(std::string author, MessageId id);
  Result<Deleted> delete_entity(std::string entity);

  Result<Marked> mark(Mark request);
  Result<Retention> retain(Retain request);
  // Safe to repeat. Errors: bad_request for an alias that is a name already.
  Result<Aliased> alias(std::string entity, std::string alias);
  // Safe to repeat; a repeat asks for the state.
  Result<Forwarding> forward(std::string from, std::string to, bool off = false);

  Result<Names> followers(std::string entity, uint32_t limit = 50, Cursor after = 0);
  Result<Names> following(std::string entity, uint32_t limit = 50, Cursor after = 0);
  Result<Place> lookup(std::string entity);
  Result<Map> map(uint64_t after = 0);
  Result<Tree> tree(std::string entity, uint32_t depth = 0, uint32_t fanout = 0, bool costs = false);
  Result<Status> status();

  // ---- Many requests at a time ----

  // Takes a request and returns at once; poll() sends it and gives its answer. Time-outs run from here.
  Ticket submit(Request request);

  // Sends what can be sent and returns the next finished request, in whatever order they finish;
  // none when nothing is pending or finished within `wait`, or a signal came. Every ticket is given
  // exactly once.
  std::optional<Completion> poll(milliseconds wait);

  // Requests submitted and not yet given by poll().
  size_t pending() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  template <class T>
  Result<T> call(Request request);

  std::unique_ptr<Impl> impl_;
};

}  // namespace canopy::client

namespace canopy {
// The other names stay in canopy::client: the daemon's own types are in canopy.
using client::Client;
}  // namespace canopy
