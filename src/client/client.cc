#include "canopy/client.h"

#include <algorithm>
#include <chrono>
#include <type_traits>

#include "base/assert.h"
#include "base/limits.h"
#include "client/session.h"
#include "client/socket.h"
#include "client/translate.h"

namespace canopy::client {
namespace {

constexpr size_t in_flight_bound = 10'000;
constexpr int burst_max = 1000;  // packets of one pass, each way

Instant now() {
  return {std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count()};
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += ", ";
    text += part;
  }
  return text;
}

Error refused(std::string message) { return {Code::bad_request, std::move(message), milliseconds{0}}; }

// Returns the one result of a request for one.
Result<Published> only(PublishAnswer answer) {
  if (answer.results.size() != 1) return Error{Code::internal, "PUBLISH: one message, but not one result", {}};
  return std::move(answer.results[0]);
}

}  // namespace

std::string_view name_of(Code code) {
  if (code == Code::unreachable) return "UNREACHABLE";
  if (code == Code::no_answer) return "NO_ANSWER";
  return code_name(static_cast<canopy::Code>(code));
}

struct Client::Impl {
  Session session;
  DealerSocket socket;
  bool one_endpoint = true;
  std::string where;

  // One pass: everything that can be sent, received and timed out without waiting.
  // Returns whether requests wait for a connection.
  bool turn() {
    for (int i = 0; i < burst_max; ++i)
      if (!receive()) break;
    if (socket.take_disconnects() > 0) {
      while (receive()) {}  // an answer that came before the connection went
      session.on_disconnected(one_endpoint, now());
    }
    session.on_time(now());
    for (int i = 0; i < burst_max; ++i) {
      const std::optional<Session::Ticket> ticket = session.next_to_send();
      if (!ticket) return false;
      if (!socket.try_send(session.packet(*ticket))) {
        session.on_blocked(now());
        return true;
      }
      session.on_sent(*ticket);
    }
    return true;
  }
  bool receive() {
    std::vector<std::string_view> frames;
    if (!socket.try_receive(frames)) return false;
    session.on_packet(frames, now());
    return true;
  }
  // Returns false when a signal ended the wait.
  bool wait(Instant until, bool blocked) {
    const Instant at = now();
    const Instant next = std::min(until, session.next_time());
    return next <= at || socket.wait(next - at, blocked);
  }
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::connect(Options options) {
  if (options.timeout.count() <= 0) return refused("timeout: must be more than 0 ms");
  if (options.connect_timeout.count() <= 0) return refused("connect_timeout: must be more than 0 ms");
  if (options.in_flight_max < 1 || options.in_flight_max > in_flight_bound)
    return refused("in_flight_max: must be 1 to " + std::to_string(in_flight_bound));
  canopy::Result<DealerSocket> socket = DealerSocket::connect(options.endpoints);
  if (!socket) return from_base(socket.error());
  SessionSettings settings;
  settings.timeout = Duration::of_ms(options.timeout.count());
  settings.connect_timeout = Duration::of_ms(options.connect_timeout.count());
  settings.in_flight_max = options.in_flight_max;
  settings.retry_busy = options.retry_busy;
  return Client(std::unique_ptr<Impl>(new Impl{Session(settings), std::move(*socket), options.endpoints.size() == 1,
                                               joined(options.endpoints)}));
}

Ticket Client::submit(Request request) { return impl_->session.submit(to_wire(request), now()); }

std::optional<Completion> Client::poll(milliseconds wait) {
  const Instant until = now() + Duration::of_ms(std::clamp<int64_t>(wait.count(), 0, 86'400'000));
  for (;;) {
    const bool blocked = impl_->turn();
    if (auto done = impl_->session.take()) {
      const Ticket ticket = done->ticket;
      return Completion{ticket, from_wire(std::move(*done), impl_->where)};
    }
    if (impl_->session.pending() == 0 || now() >= until || !impl_->wait(until, blocked)) return std::nullopt;
  }
}

size_t Client::pending() const { return impl_->session.pending(); }

template <class T>
Result<T> Client::call(Request request) {
  const Ticket ticket = submit(std::move(request));
  for (;;) {
    const bool blocked = impl_->turn();
    if (auto done = impl_->session.take(ticket)) {
      Result<Answer> answer = from_wire(std::move(*done), impl_->where);
      if (!answer) return answer.error();
      if (auto* value = std::get_if<T>(&*answer)) return std::move(*value);
      return Error{Code::internal, "the answer belongs to another verb", {}};
    }
    impl_->wait(Instant::never(), blocked);
  }
}

Result<NodeInfo> Client::ping() { return call<NodeInfo>(Ping{}); }

Result<Published> Client::publish(Message message) {
  Result<PublishAnswer> answer = call<PublishAnswer>(Publish{{std::move(message)}});
  if (!answer) return answer.error();
  return only(std::move(*answer));
}
Result<PublishAnswer> Client::publish_all(std::vector<Message> messages) {
  return call<PublishAnswer>(Publish{std::move(messages)});
}

Result<FollowState> Client::follow(std::string follower, std::string author, milliseconds wait, uint32_t backfill) {
  Result<FollowAnswer> answer = call<FollowAnswer>(Follow{{{std::move(follower), std::move(author)}}, wait, backfill});
  if (!answer) return answer.error();
  if (!answer->failed.empty()) return answer->failed[0].error;
  return answer->active > 0 ? FollowState::active : FollowState::pending;
}
Result<FollowAnswer> Client::follow_all(std::vector<Pair> pairs, milliseconds wait) {
  return call<FollowAnswer>(Follow{std::move(pairs), wait, 0});
}

Result<bool> Client::unfollow(std::string follower, std::string author) {
  Result<UnfollowAnswer> answer = call<UnfollowAnswer>(Unfollow{{{std::move(follower), std::move(author)}}});
  if (!answer) return answer.error();
  if (!answer->failed.empty()) return answer->failed[0].error;
  return answer->removed > 0;
}
Result<UnfollowAnswer> Client::unfollow_all(std::vector<Pair> pairs) {
  return call<UnfollowAnswer>(Unfollow{std::move(pairs)});
}

Result<Page> Client::read(Read request) { return call<Page>(std::move(request)); }
Result<Entry> Client::get(MessageId id) { return call<Entry>(Get{id}); }
Result<Thread> Client::thread(MessageId id, uint32_t limit, Position after) {
  return call<Thread>(GetThread{id, limit, after});
}
Result<Retracted> Client::retract(std::string author, MessageId id) {
  return call<Retracted>(Retract{std::move(author), id});
}
Result<Deleted> Client::delete_entity(std::string entity) { return call<Deleted>(Delete{std::move(entity)}); }
Result<Marked> Client::mark(Mark request) { return call<Marked>(std::move(request)); }
Result<Retention> Client::retain(Retain request) { return call<Retention>(std::move(request)); }
Result<Aliased> Client::alias(std::string entity, std::string alias) {
  return call<Aliased>(Alias{std::move(entity), std::move(alias)});
}
Result<Forwarding> Client::forward(std::string from, std::string to, bool off) {
  return call<Forwarding>(Forward{std::move(from), std::move(to), off});
}
Result<Names> Client::followers(std::string entity, uint32_t limit, Cursor after) {
  return call<Names>(Followers{std::move(entity), limit, after});
}
Result<Names> Client::following(std::string entity, uint32_t limit, Cursor after) {
  return call<Names>(Following{std::move(entity), limit, after});
}
Result<Place> Client::lookup(std::string entity) { return call<Place>(Lookup{std::move(entity)}); }
Result<Map> Client::map(uint64_t after) { return call<Map>(GetMap{after}); }
Result<Tree> Client::tree(std::string entity, uint32_t depth, uint32_t fanout, bool costs) {
  return call<Tree>(GetTree{std::move(entity), depth, fanout, costs});
}
Result<Status> Client::status() { return call<Status>(GetStatus{}); }

}  // namespace canopy::client
