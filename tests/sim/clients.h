// The clients' side of the wire: requests to any node, each answered once or given up.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/machine.h"
#include "sim/model.h"
#include "wire/reply.h"
#include "wire/request.h"

namespace canopy::sim {

// How a request ended. An error that says that nothing was done is `untouched`.
struct Outcome {
  Ended ended = Ended::unknown;
  wire::Reply reply = Error{};     // an Error unless ended is done
};
// Of one element of a batch.
Ended ended_of(const Error& error);

class Clients {
 public:
  using Done = std::function<void(const Outcome& outcome)>;
  struct Counters {
    uint64_t asked = 0, done = 0, untouched = 0, unknown = 0, given_up = 0;
  };

  Clients(Schedule& schedule, Trace& trace, uint64_t seed) : schedule_(schedule), trace_(trace), random_(seed) {}

  // `refusals`: codes that are a right answer too, beside those that say to come again; nothing was done then.
  void ask(Machine& machine, wire::Request request, Done done, std::vector<Code> refusals = {});
  void on_answer(size_t machine, uint64_t operation, const wire::ReplyFrames& frames);
  void on_ended(size_t machine);   // its process is gone: what was asked of it has an unknown outcome

  // Says in the trace what the last request was about, or how it ended.
  void note(const char* what, uint64_t a, uint64_t b, uint64_t c = 0) { trace_.add(schedule_.now(), what, a, b, c); }
  void give_up_percent(uint32_t percent) { give_up_percent_ = percent; }
  size_t open() const { return open_.size() + telling_; }
  const Counters& counters() const { return counters_; }

 private:
  struct Open {
    size_t machine = 0;
    std::string verb;
    Done done;
    std::vector<Code> refusals;
    bool given_up = false;
  };
  void end(uint64_t operation, Outcome outcome);

  Schedule& schedule_;
  Trace& trace_;
  Random random_;
  uint64_t last_ = 0;
  std::map<uint64_t, Open> open_;
  size_t telling_ = 0;             // answers on their way to who asked
  uint32_t give_up_percent_ = 0;
  Counters counters_;
};

}  // namespace canopy::sim
