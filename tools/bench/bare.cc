#include "bare.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <lmdb.h>

#include "packer.h"
#include "stop.h"

namespace canopy::bench {
namespace {

void must(int rc, const char* what) {
  if (rc != 0) throw Stop(fmt::format("{}: {}", what, mdb_strerror(rc)));
}

}  // namespace

BareRouter::BareRouter(size_t reply_bytes)
    : reply_(reply_bytes, 'x'), endpoint_(fmt::format("tcp://127.0.0.1:{}", free_ports(1).at(0))), thread_([this] { serve(); }) {}

BareRouter::~BareRouter() {
  ended_ = true;
  thread_.join();
}

void BareRouter::serve() {
  zmq::socket_t socket(context(), zmq::socket_type::router);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::sndhwm, 0);
  socket.set(zmq::sockopt::rcvhwm, 0);
  socket.set(zmq::sockopt::rcvtimeo, 50);
  socket.bind(endpoint_);
  zmq::message_t who, tag, part;
  while (!ended_) {
    if (!socket.recv(who)) continue;
    if (!socket.recv(tag)) continue;
    for (bool more = tag.more(); more; more = part.more())
      if (!socket.recv(part)) break;
    socket.send(who, zmq::send_flags::sndmore);
    socket.send(tag, zmq::send_flags::sndmore);
    socket.send(zmq::const_buffer(), zmq::send_flags::sndmore);
    socket.send(zmq::str_buffer("OK"), zmq::send_flags::sndmore);
    socket.send(zmq::buffer(reply_), zmq::send_flags::none);
  }
}

SameRequest::SameRequest(Frames request, double seconds)
    : request_(std::move(request)), until_(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))) {}

Next SameRequest::next(Frames& frames) {
  if (Clock::now() >= until_) return Next::end;
  frames.verb = request_.verb;
  frames.args = request_.args;
  frames.body = request_.body;
  frames.has_body = request_.has_body;
  return Next::request;
}

double bare_rate(const Frames& request, size_t reply_bytes, size_t in_flight, double seconds) {
  BareRouter router(reply_bytes);
  Driver driver({router.endpoint()});
  SameRequest source(request, seconds);
  const auto begin = Clock::now();
  const DriverResult result = driver.run(source, {.in_flight = in_flight});
  return static_cast<double>(result.requests) / seconds_since(begin);
}

CommitProbe::CommitProbe(const std::string& parent_directory) : directory_(parent_directory + "/commit-probe-XXXXXX") {
  if (!mkdtemp(directory_.data())) throw Stop(directory_ + ": " + std::strerror(errno));
  must(mdb_env_create(&env_), "mdb_env_create");
  must(mdb_env_set_mapsize(env_, size_t{4} << 30), "mdb_env_set_mapsize");
  must(mdb_env_open(env_, directory_.c_str(), 0, 0644), "mdb_env_open");
  MDB_txn* transaction = nullptr;
  must(mdb_txn_begin(env_, nullptr, 0, &transaction), "mdb_txn_begin");
  must(mdb_dbi_open(transaction, nullptr, 0, &table_), "mdb_dbi_open");
  must(mdb_txn_commit(transaction), "mdb_txn_commit");
}

CommitProbe::~CommitProbe() {
  mdb_env_close(env_);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

double CommitProbe::commit_ms(size_t count, size_t bytes) {
  const std::string value(bytes, 'x');
  const auto begin = Clock::now();
  MDB_txn* transaction = nullptr;
  must(mdb_txn_begin(env_, nullptr, 0, &transaction), "mdb_txn_begin");
  for (size_t i = 0; i < count; ++i) {
    uint64_t key = __builtin_bswap64(++key_);
    MDB_val k{sizeof key, &key}, v{value.size(), const_cast<char*>(value.data())};
    must(mdb_put(transaction, table_, &k, &v, MDB_APPEND), "mdb_put");
  }
  must(mdb_txn_commit(transaction), "mdb_txn_commit");
  return ms_since(begin);
}

double append_rate(uint32_t lines, const std::vector<uint32_t>& order, double seconds) {
  struct alignas(64) Line {
    uint32_t count = 0, entries[15] = {};
  };
  constexpr size_t ahead = 32;
  std::vector<Line> all(lines);
  uint64_t appended = 0;
  const auto begin = Clock::now();
  while (seconds_since(begin) < seconds) {
    for (size_t i = 0; i < order.size(); ++i) {
      if (i + ahead < order.size()) __builtin_prefetch(&all[order[i + ahead]], 1);
      Line& line = all[order[i]];
      line.entries[line.count++ % 15] = static_cast<uint32_t>(appended + i);
    }
    appended += order.size();
  }
  const double rate = static_cast<double>(appended) / seconds_since(begin);
  uint64_t sum = 0;
  for (const Line& line : all) sum += line.count;
  if (sum != appended) throw Stop("the RAM loop lost entries");  // so that the loop cannot be left out
  return rate;
}

}  // namespace canopy::bench
