// The front: clients' requests, each answered once. What this node knows it answers itself; the rest
// goes to the buckets that it touches, in parts, and comes back as one reply.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/number_map.h"
#include "node/asks.h"
#include "node/ingest.h"
#include "node/split.h"
#include "node/survey.h"

namespace canopy::node {

class Front {
 public:
  using StatusSource = std::function<wire::StatusResult()>;

  Front(const NodeOptions& options, const Place& place, Links& links, Frames& frames, Counters& counters,
        StatusSource status)
      : options_(options), place_(place), links_(links), frames_(frames), counters_(counters),
        status_(std::move(status)), asks_(place, links, frames, counters), ingest_(place, asks_, counters) {}

  // `refusal`: why nothing is answered now (not ready, draining); STATUS is answered all the same.
  void on_client(Now now, std::vector<std::string> route, const std::vector<std::string_view>& frames,
                 const std::optional<std::string>& refusal, Output& out);
  void on_ingest(Now now, const std::vector<std::string_view>& frames, Output& out);

  void on_answer(Now now, shard::Answer answer, Output& out);
  void on_forward(Now now, const Peer& from, wire::Forward forward, Output& out);
  void on_forward_reply(Now now, PeerNo from, wire::ForwardReply reply, Output& out);
  void on_session_ended(Now now, PeerNo peer, Output& out);
  void on_map(Now now, Output& out) { ingest_.pump(now, out); settle(now, out); }
  void on_time(Now now, Output& out);
  void drain(Now now, Output& out);   // long polls end; what else is in flight goes on
  Instant next_deadline() const;

  size_t requests_in_flight() const { return asks_.in_flight() + ingest_.waiting(); }
  size_t clients_in_flight() const { return requests_.size(); }
  size_t ingest_waiting() const { return ingest_.waiting(); }
  bool ingest_full() const { return ingest_.full(); }

 private:
  struct Request {
    std::vector<std::string> route;
    wire::Encoding encoding = wire::Encoding::msgpack;
    Instant deadline;
    size_t bytes = 0;                              // of its frames
    size_t kind = 0;                               // of its verb: the index in wire::Request
    size_t open = 0;                               // parts without a reply
    // At most one of the two; with none the one part's reply is the reply.
    std::optional<Gather> gather;
    std::unique_ptr<Survey> survey;
    struct Asked {
      std::vector<uint32_t> indices;               // of the client's elements, in the part's order; none: from the first
      size_t elements = 0;
      unsigned moves = 0;                          // answered Moved so often before
    };
    std::vector<Asked> parts;                      // by part; of a survey none
  };

  Request& keep(Request client);  // under last_number_
  std::optional<wire::Reply> answer_here(const wire::Request& request);
  std::unique_ptr<Survey> survey_of(const wire::Request& request) const;  // null: it is asked in parts
  void begin(Now now, Request client, wire::Request request, Output& out);
  // Asks each bucket for its part of what stands at these of the client's elements.
  void ask_parts(Now now, uint64_t number, Request& client, wire::Request request,
                 const std::vector<uint32_t>& indices, unsigned moves, Output& out);
  void ask_part(Now now, uint64_t number, Request& client, Part part, unsigned moves, Output& out);
  // Returns the part's reply when it does not go on under the names of `again`.
  std::optional<Error> on_moved(Now now, uint64_t number, Request& client, uint32_t part, wire::Request again, Output& out);
  void go_on(Now now, uint64_t number, Request& request, Output& out);
  // Deals with all that has ended. Every entry point that may end an ask calls it last.
  void settle(Now now, Output& out);
  void on_client_part(Now now, Asks::Done done, Output& out);
  bool on_part(Now now, uint64_t number, Request& request, Asks::Done& done, Output& out);
  void on_peer_done(Asks::Done done);
  void reply(std::vector<std::string> route, wire::Encoding encoding, const wire::Reply& reply, Output& out);

  const NodeOptions& options_;
  const Place& place_;
  Links& links_;
  Frames& frames_;
  Counters& counters_;
  StatusSource status_;
  Asks asks_;
  Ingest ingest_;
  NumberMap<Request> requests_;                     // never walked
  size_t bytes_in_flight_ = 0;                      // of requests_
  uint64_t last_number_ = 0;
};

}  // namespace canopy::node
