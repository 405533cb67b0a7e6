#include "link/sockets.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <zmq.hpp>

#include "base/assert.h"
#include "base/limits.h"
#include "link/endpoint.h"
#include "link/feeds.h"
#include "link/packet.h"

namespace canopy::link {
namespace {

constexpr int sockets_max = 4096;                // of the context; ZeroMQ's default is 1023
constexpr int linger_ms = 1000;
constexpr int front_queue_max = 10'000;          // replies to one client that does not read
constexpr int receive_queue_max = 1000;          // requests of one client, frames of one node
constexpr int feed_queue_max = 10'000;           // live messages to one subscriber
constexpr int feed_frame_bytes_max = 1024;       // from a subscriber: one byte and a topic
constexpr int64_t link_frame_bytes_max = 128 << 20;
constexpr size_t link_queue_max = 1000;
constexpr int front_burst = 256, ingest_burst = 256, feed_burst = 256, link_burst = 64;
constexpr size_t no_copy_bytes_min = 64 << 10;   // below it a copy is cheaper than the hand-over
constexpr size_t counted_bytes_min = 8 << 10;    // replies below it are bounded by front_queue_max
constexpr size_t client_unread_bytes_max = 256u << 20;  // of replies to one client; one is always allowed
constexpr size_t unread_bytes_max = 1u << 30;           // of replies to all clients

static_assert(sockets_max > 2 * static_cast<int>(limits::nodes_max) + 16, "a DEALER for each node");
static_assert(link_frame_bytes_max > static_cast<int64_t>(limits::reply_bytes_max + limits::body_bytes_max + limits::args_bytes_max),
              "what a node may forward or answer must pass a link");

// ZeroMQ's hand-over to its thread is invisible to the thread sanitizer; these marks tell it.
#ifdef __SANITIZE_THREAD__
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
void handed_over(void* object) { __tsan_release(object); }
void taken_over(void* object) { __tsan_acquire(object); }
#else
void handed_over(void*) {}
void taken_over(void*) {}
#endif

void free_string(void*, void* string) {  // on ZeroMQ's thread, after the last byte has left
  taken_over(string);
  delete static_cast<std::string*>(string);
}

zmq::message_t to_message(std::string bytes) {
  if (bytes.size() < no_copy_bytes_min) return zmq::message_t(bytes.data(), bytes.size());
  auto* kept = new std::string(std::move(bytes));
  zmq::message_t message(kept->data(), kept->size(), free_string, kept);
  handed_over(kept);
  return message;
}

// The bytes of large replies that ZeroMQ still has.
struct Unread {
  std::atomic<size_t> bytes = 0;
};

struct CountedReply {
  std::string bytes;
  std::shared_ptr<Unread> of_client, of_all;
};

void free_counted(void*, void* hint) {  // on ZeroMQ's thread, after the last byte has left
  taken_over(hint);
  const std::unique_ptr<CountedReply> reply(static_cast<CountedReply*>(hint));
  reply->of_client->bytes -= reply->bytes.size();
  reply->of_all->bytes -= reply->bytes.size();
}

zmq::message_t to_counted_message(std::string bytes, std::shared_ptr<Unread> of_client, std::shared_ptr<Unread> of_all) {
  of_client->bytes += bytes.size();
  of_all->bytes += bytes.size();
  auto* kept = new CountedReply{std::move(bytes), std::move(of_client), std::move(of_all)};
  zmq::message_t message(kept->bytes.data(), kept->bytes.size(), free_counted, kept);
  handed_over(kept);
  return message;
}

// An IPv6 socket (ZMQ_IPV6) that is bound to an IPv4 address says tcp://[::ffff:127.0.0.1]:7700.
std::string plain_v4(std::string endpoint) {
  constexpr std::string_view mapped = "tcp://[::ffff:";
  const size_t bracket = endpoint.find(']');
  if (!endpoint.starts_with(mapped) || bracket == std::string::npos) return endpoint;
  return "tcp://" + endpoint.substr(mapped.size(), bracket - mapped.size()) + endpoint.substr(bracket + 1);
}

// What every socket has. No ZMTP heartbeats: with a finite RCVHWM they abort libzmq 4.3.4 (issue 3937).
void set_common(zmq::socket_t& socket) {
  socket.set(zmq::sockopt::linger, linger_ms);
  socket.set(zmq::sockopt::handshake_ivl, 5000);
  socket.set(zmq::sockopt::tcp_maxrt, 5000);
  socket.set(zmq::sockopt::tcp_keepalive, 1);
  socket.set(zmq::sockopt::tcp_keepalive_idle, 10);
  socket.set(zmq::sockopt::tcp_keepalive_intvl, 5);
  socket.set(zmq::sockopt::tcp_keepalive_cnt, 3);
}

void set_bound(zmq::socket_t& socket, int64_t frame_bytes_max) {
  set_common(socket);
  socket.set(zmq::sockopt::maxmsgsize, frame_bytes_max);
  socket.set(zmq::sockopt::backlog, 1024);
}

// The frames of one packet. The rest of one that is too long is read and dropped, not kept.
class Frames {
 public:
  // Returns false when there is nothing to read.
  bool receive(zmq::socket_t& socket, size_t bytes_max) {
    views_.clear();
    cut_ = false;
    size_t bytes = 0;
    for (size_t n = 0;; ++n) {
      const bool kept = !cut_ && n < packet_frames_max;
      zmq::message_t& message = kept ? messages_[n] : dropped_;
      // The frames after the first are there already: ZeroMQ hands over whole packets only.
      if (!socket.recv(message, zmq::recv_flags::dontwait)) {
        dropped_.rebuild();
        return false;
      }
      bytes += message.size();
      const bool more = message.more();
      if (kept && bytes <= bytes_max)
        views_.push_back(message.to_string_view());
      else
        cut_ = true;
      if (!more) break;
    }
    dropped_.rebuild();
    return true;
  }
  const std::vector<std::string_view>& views() const { return views_; }
  const zmq::message_t& first() const { return messages_[0]; }
  bool cut() const { return cut_; }

 private:
  std::array<zmq::message_t, packet_frames_max> messages_;
  zmq::message_t dropped_;
  std::vector<std::string_view> views_;
  bool cut_ = false;
};

class ZmqSockets : public Sockets {
 public:
  explicit ZmqSockets(const SocketOptions& options)
      : packet_bytes_max_(options.request_frame_bytes_max + limits::args_bytes_max + route_bytes_max) {
    context_.set(zmq::ctxopt::max_sockets, sockets_max);
    context_.set(zmq::ctxopt::ipv6, 1);
  }

  Result<void> open(const SocketOptions& options) {
    const auto frame_bytes_max = static_cast<int64_t>(options.request_frame_bytes_max);
    TRY(open_one("listen.client", options.client, ZMQ_ROUTER, front_, bound_.client, [&](zmq::socket_t& s) {
      set_bound(s, frame_bytes_max);
      s.set(zmq::sockopt::router_mandatory, 1);
      s.set(zmq::sockopt::rcvhwm, receive_queue_max);
      s.set(zmq::sockopt::sndhwm, front_queue_max);
    }));
    TRY(open_one("listen.ingest", options.ingest, ZMQ_PULL, ingest_, bound_.ingest, [&](zmq::socket_t& s) {
      set_bound(s, frame_bytes_max);
      s.set(zmq::sockopt::rcvhwm, receive_queue_max);
    }));
    TRY(open_one("listen.feed", options.feed, ZMQ_XPUB, feed_, bound_.feed, [&](zmq::socket_t& s) {
      set_bound(s, feed_frame_bytes_max);
      s.set(zmq::sockopt::sndhwm, feed_queue_max);
      s.set(zmq::sockopt::xpub_manual, 1);  // each subscription and its end is told, none applied by itself
    }));
    return open_one("listen.link", options.link, ZMQ_ROUTER, link_, bound_.link, [&](zmq::socket_t& s) {
      set_bound(s, link_frame_bytes_max);
      s.set(zmq::sockopt::rcvhwm, receive_queue_max);
    });
  }

  const Bound& bound() const override { return bound_; }
  const Counters& counters() const override { return counters_; }

  void wait(Duration timeout, std::span<const int> fds, bool ingest) override {
    items_.clear();
    const auto add = [this](zmq::socket_t& socket) {
      if (socket) items_.push_back({socket.handle(), 0, ZMQ_POLLIN, 0});
    };
    add(front_);
    if (ingest) add(ingest_);
    add(feed_);
    add(link_);
    const size_t sockets = items_.size();
    for (const int fd : fds) items_.push_back({nullptr, fd, ZMQ_POLLIN, 0});
    // Rounded up: waking early would only mean to wait again.
    const int64_t ms = std::clamp<int64_t>((timeout.us + 999) / 1000, 0, 60'000);
    if (zmq_poll(items_.data(), static_cast<int>(items_.size()), static_cast<long>(ms)) < 0) {
      ASSERT(zmq_errno() == EINTR);  // anything else is a socket that is none
      return;
    }
    looked_ = true;
    readable_.clear();
    for (size_t i = 0; i < sockets; ++i)
      if (items_[i].revents & ZMQ_POLLIN) readable_.push_back(items_[i].socket);
  }

  bool receive(Receiver& receiver, bool ingest) override {
    bool more = burst(front_, front_burst, [&] { return receive_client(receiver); });
    if (ingest) more |= burst(ingest_, ingest_burst, [&] { return receive_ingest(receiver); });
    more |= burst(feed_, feed_burst, [&] { return receive_feed(receiver); });
    more |= burst(link_, link_burst, [&] { return receive_link(receiver); });
    looked_ = false;
    return more;
  }

  void send_client(std::vector<std::string> route, wire::ReplyFrames reply) override {
    if (!front_ || route.empty()) return;
    std::shared_ptr<Unread> unread;
    if (reply.result.size() >= counted_bytes_min) {
      unread = unread_of(route.front());
      const size_t size = reply.result.size();
      if ((unread->bytes > 0 && unread->bytes + size > client_unread_bytes_max) || unread_->bytes + size > unread_bytes_max) {
        ++counters_.replies_full;
        const Error error{Code::busy, "too many bytes of replies wait to be read", 1000};
        reply = wire::encode_reply(error, reply.result.front() == '{' ? wire::Encoding::json : wire::Encoding::msgpack);
        unread.reset();
      }
    }
    try {
      bool first = true;
      for (std::string& frame : route) {
        // The first frame decides: once it is taken, ZeroMQ takes the whole packet or drops it whole.
        if (!front_.send(to_message(std::move(frame)), more_) && first) {
          ++counters_.replies_full;
          return;
        }
        first = false;
      }
      (void)front_.send(to_message(std::move(reply.status)), more_);
      (void)front_.send(unread ? to_counted_message(std::move(reply.result), std::move(unread), unread_)
                               : to_message(std::move(reply.result)), zmq::send_flags::dontwait);
      ++counters_.replies;
    } catch (const zmq::error_t& error) {
      ++(error.num() == EHOSTUNREACH ? counters_.replies_gone : counters_.errors);
    }
  }

  void send_feed(wire::FeedFrames frames) override {
    if (!feed_) return;
    try {
      (void)feed_.send(to_message(std::move(frames.topic)), more_);
      (void)feed_.send(to_message(std::move(frames.head)), more_);
      (void)feed_.send(to_message(std::move(frames.body)), zmq::send_flags::dontwait);
      ++counters_.feed_out;
    } catch (const zmq::error_t&) {
      ++counters_.errors;
    }
  }

  void send_link(std::string_view endpoint, std::string bytes) override {
    const auto peer = peers_.find(endpoint);
    if (peer == peers_.end()) return;
    try {
      const size_t size = bytes.size();
      if (!peer->second.send(to_message(std::move(bytes)), zmq::send_flags::dontwait)) {
        ++counters_.link_full;
        return;
      }
      ++counters_.link_out;
      counters_.link_out_bytes += size;
    } catch (const zmq::error_t&) {
      ++counters_.errors;
    }
  }

  Result<void> connect(std::string_view endpoint) override {
    if (peers_.contains(endpoint)) return {};
    if (auto parsed = parse_peer_endpoint(endpoint); !parsed)
      return failure(Code::bad_request, "link " + std::string(endpoint) + ": " + parsed.error().message);
    if (peers_.size() >= 2 * limits::nodes_max)
      return failure(Code::busy, "link " + std::string(endpoint) + ": too many links");
    try {
      zmq::socket_t socket(context_, ZMQ_DEALER);
      set_common(socket);
      socket.set(zmq::sockopt::linger, 200);
      socket.set(zmq::sockopt::sndhwm, static_cast<int>(link_queue_max));
      socket.set(zmq::sockopt::maxmsgsize, int64_t{feed_frame_bytes_max});  // nothing comes back on it
      socket.set(zmq::sockopt::reconnect_ivl, 100);
      socket.set(zmq::sockopt::reconnect_ivl_max, 5000);
      socket.set(zmq::sockopt::connect_timeout, 5000);
      // Queue for no one: what waited for a dead node would only be old when it came.
      socket.set(zmq::sockopt::immediate, 1);
      socket.connect(std::string(endpoint));
      peers_.emplace(std::string(endpoint), std::move(socket));
      return {};
    } catch (const zmq::error_t& error) {
      ++counters_.errors;
      return failure(Code::internal, "link " + std::string(endpoint) + ": " + error.what());
    }
  }

  void disconnect(std::string_view endpoint) override {
    const auto peer = peers_.find(endpoint);
    if (peer == peers_.end()) return;
    try {
      peer->second.set(zmq::sockopt::linger, 0);
    } catch (const zmq::error_t&) {
      ++counters_.errors;
    }
    peers_.erase(peer);
  }

 private:
  template <class Set>
  Result<void> open_one(const char* setting, const std::string& endpoint, int type, zmq::socket_t& socket,
                        std::string& bound, Set set) {
    if (endpoint.empty()) return {};
    try {
      socket = zmq::socket_t(context_, type);
      set(socket);
      socket.bind(endpoint);
      bound = plain_v4(socket.get(zmq::sockopt::last_endpoint));
      return {};
    } catch (const zmq::error_t& error) {
      return failure(Code::unavailable, std::string(setting) + " " + endpoint + ": " + error.what());
    }
  }

  // Calls `one` until it has nothing more, `turns` times at most. Returns whether it was cut short.
  template <class One>
  bool burst(zmq::socket_t& socket, int turns, One one) {
    if (!socket || (looked_ && std::find(readable_.begin(), readable_.end(), socket.handle()) == readable_.end())) return false;
    try {
      for (int i = 0; i < turns; ++i)
        if (!one()) return false;
      return true;
    } catch (const zmq::error_t&) {
      ++counters_.errors;
      return false;
    }
  }

  bool receive_client(Receiver& receiver) {
    if (!frames_.receive(front_, packet_bytes_max_)) return false;
    const auto& all = frames_.views();
    if (all.empty()) {
      ++counters_.replies_refused;
      return true;
    }
    size_t route_frames = 0;
    const Packet packet = split_packet(all, frames_.cut(), route_frames);
    std::vector<std::string> route(all.begin(), all.begin() + static_cast<ptrdiff_t>(route_frames));
    if (packet != Packet::request) {
      refuse(packet, std::move(route));
      return true;
    }
    ++counters_.requests;
    payload_.assign(all.begin() + static_cast<ptrdiff_t>(route_frames), all.end());
    receiver.on_client(std::move(route), payload_);
    return true;
  }

  void refuse(Packet packet, std::vector<std::string> route) {
    ++counters_.replies_refused;
    Error error{Code::bad_request, "want an empty frame before the verb (a REQ socket sends it by itself), after at most 14 frames "
                                   "and 4096 bytes of your own"};
    if (packet == Packet::too_long)
      error = {Code::too_large, "want verb, args and body; this request has too many frames or bytes"};
    if (route.size() == 1) route.emplace_back();
    send_client(std::move(route), wire::encode_reply(error, wire::Encoding::json));
  }

  bool receive_ingest(Receiver& receiver) {
    if (!frames_.receive(ingest_, packet_bytes_max_)) return false;
    if (frames_.cut() || frames_.views().size() > payload_frames_max) {
      ++counters_.ingest_refused;
      return true;
    }
    ++counters_.ingested;
    receiver.on_ingest(frames_.views());
    return true;
  }

  bool receive_feed(Receiver& receiver) {
    if (!frames_.receive(feed_, feed_frame_bytes_max)) return false;
    if (frames_.views().empty() || frames_.views()[0].empty()) return true;
    const std::string_view frame = frames_.views()[0];
    if (frame[0] != 0 && frame[0] != 1) return true;  // a message from an XSUB socket: none of ours
    const bool on = frame[0] == 1;
    const std::string_view topic = frame.substr(1);
    const Feeds::Change change = feeds_.change(topic, on, feed_connection(frames_.first()));
    if (change == Feeds::Change::refused) {
      ++counters_.feed_topics_refused;
      return true;
    }
    // Applies to the connection that this message came from, so it has to happen before the next recv.
    if (on)
      feed_.set(zmq::sockopt::subscribe, topic);
    else
      feed_.set(zmq::sockopt::unsubscribe, topic);
    if (change == Feeds::Change::first) receiver.on_feed_subscription(topic, true);
    if (change == Feeds::Change::last) receiver.on_feed_subscription(topic, false);
    return true;
  }

  // Those that have read everything are forgotten now and then.
  std::shared_ptr<Unread> unread_of(const std::string& client) {
    if (unread_by_client_.size() >= unread_sweep_at_) {
      std::erase_if(unread_by_client_, [](const auto& one) { return one.second->bytes == 0; });
      unread_sweep_at_ = std::max<size_t>(64, 2 * unread_by_client_.size());
    }
    std::shared_ptr<Unread>& unread = unread_by_client_[client];
    if (!unread) unread = std::make_shared<Unread>();
    return unread;
  }

  // Whose message it is. ZeroMQ keeps a connection's properties as long as one of its messages, so
  // while we have one no other connection can have them at the same place.
  Feeds::Connection feed_connection(const zmq::message_t& message) {
    const char* property = zmq_msg_gets(message.handle(), "__fd");
    if (property == nullptr) return {};  // ZeroMQ's own, for a connection that has died
    const int descriptor = std::atoi(property);
    FeedConnection& connection = feed_connections_[descriptor];
    if (connection.property != property) {
      connection.property = property;
      connection.number = ++last_feed_connection_;
      zmq::message_t kept(1);
      if (zmq_msg_copy(kept.handle(), const_cast<zmq_msg_t*>(message.handle())) == 0) connection.kept = std::move(kept);
    }
    return {descriptor, connection.number};
  }

  bool receive_link(Receiver& receiver) {
    if (!frames_.receive(link_, static_cast<size_t>(link_frame_bytes_max))) return false;
    if (frames_.cut() || frames_.views().size() != 2) {
      ++counters_.link_in_refused;
      return true;
    }
    ++counters_.link_in;
    counters_.link_in_bytes += frames_.views()[1].size();
    receiver.on_link(frames_.views()[1]);
    return true;
  }

  static constexpr zmq::send_flags more_ = zmq::send_flags::dontwait | zmq::send_flags::sndmore;

  const size_t packet_bytes_max_;
  zmq::context_t context_;  // before the sockets: it ends after them
  zmq::socket_t front_, ingest_, feed_, link_;
  std::map<std::string, zmq::socket_t, std::less<>> peers_;
  Bound bound_;
  struct FeedConnection {
    const char* property = nullptr;
    uint64_t number = 0;
    zmq::message_t kept;
  };

  std::map<std::string, std::shared_ptr<Unread>> unread_by_client_;  // by routing id
  size_t unread_sweep_at_ = 64;
  const std::shared_ptr<Unread> unread_ = std::make_shared<Unread>();

  Feeds feeds_;
  std::map<int, FeedConnection> feed_connections_;  // by descriptor: as many as there were at once
  uint64_t last_feed_connection_ = 0;
  Counters counters_;
  Frames frames_;
  std::vector<std::string_view> payload_;
  std::vector<zmq::pollitem_t> items_;
  // What the last wait() has seen; for the next receive() only. To ask a socket that has nothing takes system calls.
  bool looked_ = false;
  std::vector<void*> readable_;
};

}  // namespace

Result<std::unique_ptr<Sockets>> Sockets::bind(const SocketOptions& options) {
  try {
    auto sockets = std::make_unique<ZmqSockets>(options);
    TRY(sockets->open(options));
    return sockets;
  } catch (const zmq::error_t& error) {
    return failure(Code::internal, std::string("ZeroMQ: ") + error.what());
  }
}

}  // namespace canopy::link
