// The shell of a node: it waits, reads the clock, moves packets between sockets, the node's core and the
// shards' threads, and ends in good order. What is said and why is the core's business.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/settings.h"
#include "daemon/signals.h"

namespace canopy::daemon {

struct DaemonOptions {
  Settings settings;
  std::string config_file;             // read again on SIGHUP; "": none
  std::vector<std::string> overrides;  // of the command line, on top each time
};

class Daemon {
 public:
  // Opens the directory, the control store, the sockets, the node and the shards, in this order. An
  // error of code bad_request is the operator's (a setting, stores that are not trusted), any other the machine's. `signals` outlives it.
  [[nodiscard]] static Result<std::unique_ptr<Daemon>> open(DaemonOptions options, const Signals& signals);
  virtual ~Daemon() = default;

  // Works until SIGTERM or SIGINT. Returns the exit status.
  virtual int run() = 0;
};

}  // namespace canopy::daemon
