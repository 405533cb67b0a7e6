#include "dealer.h"

#include <cstring>

#include "stop.h"

namespace canopy::bench {

using namespace std::chrono_literals;

zmq::context_t& context() {
  static zmq::context_t context(1);
  return context;
}

Frames frames_of(const wire::Request& request) {
  wire::RequestFrames encoded = wire::encode_request(request, wire::Encoding::msgpack);
  Frames frames;
  frames.verb = wire::verb_of(request);
  frames.args = std::move(encoded.args);
  frames.has_body = encoded.body.has_value();
  if (encoded.body) frames.body = std::move(*encoded.body);
  return frames;
}

Dealer::Dealer(const std::string& endpoint) : socket_(context(), zmq::socket_type::dealer) {
  socket_.set(zmq::sockopt::linger, 0);
  socket_.set(zmq::sockopt::sndhwm, 0);  // who uses it bounds what is in flight
  socket_.set(zmq::sockopt::rcvhwm, 0);
  socket_.set(zmq::sockopt::reconnect_ivl, 20);
  socket_.set(zmq::sockopt::reconnect_ivl_max, 200);
  socket_.connect(endpoint);
}

void Dealer::send(uint32_t tag, const Frames& frames) {
  using zmq::send_flags;
  socket_.send(zmq::buffer(&tag, sizeof tag), send_flags::sndmore);
  socket_.send(zmq::const_buffer(), send_flags::sndmore);
  socket_.send(zmq::buffer(frames.verb), send_flags::sndmore);
  socket_.send(zmq::buffer(frames.args), frames.has_body ? send_flags::sndmore : send_flags::none);
  if (frames.has_body) socket_.send(zmq::buffer(frames.body), send_flags::none);
}

bool Dealer::receive(uint32_t& tag, bool& ok, std::string_view& result) {
  zmq::message_t first, empty;
  if (!socket_.recv(first, zmq::recv_flags::dontwait)) return false;
  if (first.size() != sizeof tag || !first.more() || !socket_.recv(empty) || !empty.more() || !socket_.recv(status_) ||
      !status_.more() || !socket_.recv(result_) || result_.more())
    throw Stop("a reply of other frames than PROTOCOL.md says");
  std::memcpy(&tag, first.data(), sizeof tag);
  ok = status_.to_string_view() == "OK";
  result = result_.to_string_view();
  return true;
}

bool Dealer::wait(std::chrono::milliseconds most) {
  zmq::pollitem_t item{socket_.handle(), 0, ZMQ_POLLIN, 0};
  try {
    return zmq::poll(&item, 1, most) > 0;
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) throw;
    return false;
  }
}

wire::Reply Dealer::call(const wire::Request& request, std::chrono::milliseconds patience) {
  const Frames frames = frames_of(request);
  const uint32_t wanted = 0x80000000u | ++calls_;
  send(wanted, frames);
  const auto until = std::chrono::steady_clock::now() + patience;
  for (;;) {
    stop_if_interrupted();
    uint32_t tag = 0;
    bool ok = false;
    std::string_view result;
    while (receive(tag, ok, result)) {
      if (tag != wanted) continue;
      auto reply = wire::decode_reply(frames.verb, ok ? "OK" : "ERR", result);
      if (!reply) throw Stop("a reply to " + std::string(frames.verb) + " that does not fit it: " + reply.error().message);
      return std::move(*reply);
    }
    if (std::chrono::steady_clock::now() > until) throw Stop("no answer to " + std::string(frames.verb));
    wait(50ms);
  }
}

}  // namespace canopy::bench
