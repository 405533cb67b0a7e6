// The process's signals as a descriptor that the loop polls.
#pragma once

#include <optional>

namespace canopy::daemon {

class Signals {
 public:
  Signals();   // before any thread starts, so that all of them leave the signals to this one
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return fd_; }
  std::optional<int> take() const;  // SIGTERM, SIGINT or SIGHUP; nullopt: none just now

 private:
  int fd_;
};

}  // namespace canopy::daemon
