#include "client/socket.h"

#include <algorithm>
#include <cerrno>
#include <zmq.hpp>

namespace canopy {
namespace {
constexpr const char* monitor_endpoint = "inproc://client-monitor";  // each client has its own context
constexpr int64_t reply_frame_bytes_max = 256 << 20;
}  // namespace

struct DealerSocket::Impl {
  zmq::context_t context{1};
  zmq::socket_t dealer{context, zmq::socket_type::dealer};
  zmq::socket_t monitor{context, zmq::socket_type::pair};
  std::vector<zmq::message_t> parts;  // of the packet received last

  Impl() {
    dealer.set(zmq::sockopt::linger, 0);
    dealer.set(zmq::sockopt::ipv6, true);
    // A packet goes only to a connection that stands, so that none waits for a node that is away.
    dealer.set(zmq::sockopt::immediate, true);
    // The session bounds what is in flight; a high-water mark here would only lose answers.
    dealer.set(zmq::sockopt::sndhwm, 0);
    dealer.set(zmq::sockopt::rcvhwm, 0);
    dealer.set(zmq::sockopt::maxmsgsize, reply_frame_bytes_max);
    dealer.set(zmq::sockopt::reconnect_ivl, 100);
    dealer.set(zmq::sockopt::reconnect_ivl_max, 2000);
    // A peer that vanished without a word: unacknowledged bytes, or an idle connection, end it.
    // No ZMQ_HEARTBEAT_IVL: it can abort a process that reads slowly.
    dealer.set(zmq::sockopt::tcp_maxrt, 10'000);
    dealer.set(zmq::sockopt::tcp_keepalive, 1);
    dealer.set(zmq::sockopt::tcp_keepalive_idle, 30);
    dealer.set(zmq::sockopt::tcp_keepalive_intvl, 10);
    dealer.set(zmq::sockopt::tcp_keepalive_cnt, 3);
    if (zmq_socket_monitor(dealer.handle(), monitor_endpoint, ZMQ_EVENT_DISCONNECTED) != 0) throw zmq::error_t();
    monitor.set(zmq::sockopt::linger, 0);
    monitor.connect(monitor_endpoint);
  }
  ~Impl() { zmq_socket_monitor(dealer.handle(), nullptr, 0); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
};

DealerSocket::DealerSocket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DealerSocket::DealerSocket(DealerSocket&&) noexcept = default;
DealerSocket& DealerSocket::operator=(DealerSocket&&) noexcept = default;
DealerSocket::~DealerSocket() = default;

Result<DealerSocket> DealerSocket::connect(const std::vector<std::string>& endpoints) {
  if (endpoints.empty()) return failure(Code::bad_request, "endpoints: give at least one, like tcp://127.0.0.1:7700");
  std::string at;
  try {
    auto impl = std::make_unique<Impl>();
    for (const std::string& endpoint : endpoints) {
      at = endpoint;
      impl->dealer.connect(endpoint);
    }
    return DealerSocket(std::move(impl));
  } catch (const zmq::error_t& error) {
    if (at.empty()) return failure(Code::internal, std::string("cannot open a ZeroMQ socket: ") + error.what());
    return failure(Code::bad_request,
                   "endpoint '" + at + "': " + error.what() + "; it should look like tcp://127.0.0.1:7700 or ipc:///path");
  }
}

bool DealerSocket::try_send(const std::vector<std::string>& frames) {
  for (size_t i = 0; i < frames.size(); ++i) {
    const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
    // Only the first frame can be refused: the rest of a packet follows it into the same pipe.
    try {
      if (!impl_->dealer.send(zmq::buffer(frames[i]), more | zmq::send_flags::dontwait)) return false;
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR && error.num() != EHOSTUNREACH) throw;
      return false;
    }
  }
  return true;
}

bool DealerSocket::try_receive(std::vector<std::string_view>& frames) {
  impl_->parts.clear();
  frames.clear();
  do {
    zmq::message_t part;
    try {
      if (!impl_->dealer.recv(part, zmq::recv_flags::dontwait)) return false;
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) throw;
      continue;
    }
    impl_->parts.push_back(std::move(part));
  } while (impl_->parts.empty() || impl_->parts.back().more());
  for (const zmq::message_t& part : impl_->parts) frames.push_back(part.to_string_view());
  return true;
}

int DealerSocket::take_disconnects() {
  int events = 0;
  zmq::message_t event, endpoint;
  try {
    while (impl_->monitor.recv(event, zmq::recv_flags::dontwait)) {
      if (impl_->monitor.recv(endpoint, zmq::recv_flags::dontwait)) ++events;
    }
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) throw;
  }
  return events;
}

bool DealerSocket::wait(Duration most, bool or_writable) {
  const short events = static_cast<short>(or_writable ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN);
  zmq_pollitem_t items[] = {{impl_->dealer.handle(), 0, events, 0}, {impl_->monitor.handle(), 0, ZMQ_POLLIN, 0}};
  // Rounded up, so that what is due at the end of the wait is due after it.
  const int64_t ms = std::clamp<int64_t>((most.us + 999) / 1000, 0, 3'600'000);
  return zmq_poll(items, 2, static_cast<long>(ms)) >= 0 || zmq_errno() != EINTR;
}

}  // namespace canopy
