// The client's DEALER: packets out and in. The only file of the client with zmq in it is its .cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace canopy {

// Thread use: one thread at a time.
class DealerSocket {
 public:
  // Returns at once; connections are made, and made again, in the background.
  // Errors: bad_request for an endpoint that ZeroMQ does not take.
  [[nodiscard]] static Result<DealerSocket> connect(const std::vector<std::string>& endpoints);
  DealerSocket(DealerSocket&&) noexcept;
  DealerSocket& operator=(DealerSocket&&) noexcept;
  ~DealerSocket();

  // Returns false when no connection stands: nothing was taken.
  bool try_send(const std::vector<std::string>& frames);
  // Returns whether a packet was there. Its frames are valid until the next call.
  bool try_receive(std::vector<std::string_view>& frames);
  // Returns how many connections were lost since the last call.
  int take_disconnects();
  // Waits for a packet, a lost connection, a signal, with `or_writable` also for a connection that
  // takes a packet; at most `most`. Returns false when a signal ended it.
  bool wait(Duration most, bool or_writable);

 private:
  struct Impl;
  explicit DealerSocket(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace canopy
