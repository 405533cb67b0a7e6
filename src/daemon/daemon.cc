#include "daemon/daemon.h"

#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "daemon/clock.h"
#include "daemon/data_dir.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/queue.h"
#include "daemon/shard_thread.h"
#include "daemon/unsynced.h"
#include "link/endpoint.h"
#include "link/sockets.h"
#include "node/node.h"
#include "store/lmdb_backend.h"

namespace canopy::daemon {
namespace {

constexpr uint64_t control_map_size = uint64_t{256} << 20;
constexpr uint64_t page_bytes = 4096;
constexpr size_t frame_slack_bytes = 64 << 10;                    // names and the like around a body
constexpr size_t answers_at_once = 16;                            // encoded before they are sent
constexpr Duration turn_wait_max = Duration::of_s(1);             // the watchdog and the status want a turn
constexpr Duration drain_max = Duration::of_s(5);                 // of requests in flight after SIGTERM
constexpr Duration ingest_hold_max = Duration::of_s(1);           // then it is read, for the core to drop and count

map::FabricSettings fabric_settings(const Settings& s) {
  map::FabricSettings f;
  f.name = s.fabric.name;
  f.bucket_count = s.fabric.bucket_count;
  f.replicas = s.fabric.replicas;
  f.min_in_sync = s.fabric.min_in_sync;
  f.fanout = s.tree.fanout;
  f.leaf_segment = s.tree.leaf_segment;
  f.max_hops = s.tree.max_hops;
  f.capacity = s.timeline.capacity;
  f.body_max = s.limits.body_max;
  f.mentions = s.retention.mentions;
  f.replies = s.retention.replies;
  f.topic = s.retention.topic;
  f.sent = s.retention.sent;
  f.stream_retention = s.retention.stream;
  f.deliveries_max = s.limits.deliveries_max;
  return f;
}

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  ASSERT(getrandom(bytes.data(), count, 0) == static_cast<ssize_t>(count));  // up to 256 bytes never come short
  return bytes;
}

uint64_t random_number() {
  uint64_t number = 0;
  ASSERT(getrandom(&number, sizeof number, 0) == sizeof number);
  return number | 1;  // not zero
}

// What others are told to connect to: as set, else as bound, with the host's name for "every interface".
std::string advertised(const std::string& set, const std::string& bound) {
  if (!set.empty() || bound.empty()) return set;
  const auto endpoint = link::parse_endpoint(bound);
  if (!endpoint || !endpoint->every_interface()) return bound;
  return "tcp://" + surroundings().host_name + ':' + endpoint->port;
}

// A descriptor for each connection: out of them, ZeroMQ's accept spins at a full core.
void raise_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) log::warning("descriptors cannot be raised to max={}", limit.rlim_max);
}

class Shell : public Daemon, private link::Receiver {
 public:
  Shell(DaemonOptions options, const Signals& signals) : options_(std::move(options)), signals_(signals) {}

  Result<void> open() {
    const Settings& s = options_.settings;
    raise_descriptors();
    auto data_dir = DataDir::open(s.node.data_dir);
    if (!data_dir) return tl::unexpected<Error>(std::move(data_dir.error()));
    data_dir_ = std::move(*data_dir);
    TRY(judge_stores());
    auto control = store::LmdbBackend::open({data_dir_->control(), control_map_size});
    if (!control) return tl::unexpected<Error>(std::move(control.error()));
    control_ = std::move(*control);
    const auto shards = shard_count(*control_, s.store.shards);
    if (!shards) return tl::unexpected<Error>(shards.error());
    TRY(bind());
    TRY(open_node(*shards));
    return open_shards(*shards);
  }

  int run() override {
    const Settings& s = options_.settings;
    const auto& bound = sockets_->bound();
    log::notice("listening client={} feed={} ingest={} link={}", bound.client, bound.feed, bound.ingest, bound.link);
    log::notice("started node={} fabric={} version={} shards={} durability={} data_dir={}", log::quote(s.node.name), log::quote(s.fabric.name),
                CANOPY_VERSION, shards_.size(), durability_name(s.store.durability), log::quote(s.node.data_dir));
    watchdog_ = notify::watchdog();
    now_ = now();
    node_->start(now_, out_);
    carry_out();
    tell_state();
    bool more = true;
    while (!finished()) more = turn(more);
    return end();
  }

 private:
  // ---- opening

  Result<void> bind() {
    const Settings& s = options_.settings;
    link::SocketOptions options{s.listen.client, s.listen.feed, s.listen.ingest, s.listen.link, 0};
    options.request_frame_bytes_max = s.limits.body_max + limits::args_bytes_max + frame_slack_bytes;
    auto sockets = link::Sockets::bind(options);
    if (!sockets) return tl::unexpected<Error>(std::move(sockets.error()));
    sockets_ = std::move(*sockets);
    return {};
  }

  Result<void> open_node(uint32_t shards) {
    const Settings& s = options_.settings;
    const auto& bound = sockets_->bound();
    node::NodeOptions options;
    options.name = s.node.name;
    options.version = CANOPY_VERSION;
    options.settings = fabric_settings(s);
    options.client = advertised(s.advertise.client, bound.client);
    options.feed = advertised(s.advertise.feed, bound.feed);
    options.link = advertised(s.advertise.link, bound.link);
    options.zone = s.node.zone;
    options.weight_milli = s.node.weight_milli;
    options.seeds = s.fabric.seeds;
    options.bootstrap_expect = s.fabric.bootstrap_expect;
    options.shards = shards;
    options.boot = random_number();
    options.new_fabric_id = random_bytes(16);
    auto node = node::Node::open(std::move(options), *control_);
    if (!node) return tl::unexpected<Error>(std::move(node.error()));
    node_ = std::move(*node);
    return {};
  }

  // After an unclean stop without syncs: the stores are taken only while the kernel still has what was
  // committed. There is no other copy of them (fabric.replicas is 1) to begin again from.
  Result<void> judge_stores() {
    const std::string& path = data_dir_->path();
    auto mark = read_unsynced(path);
    if (!mark) return tl::unexpected<Error>(std::move(mark.error()));
    unsynced_ = std::move(*mark);
    const std::string boot = boot_id();
    if (unsynced_ && !can_be_trusted(*unsynced_, boot))
      return failure(Code::bad_request,
                     "node.data_dir = \"" + path + "\": its node ran without a sync of each commit (store.durability = \"" +
                         unsynced_->durability + "\") and was not stopped before the machine was, or a sync failed: the stores may be "
                         "damaged, and there is no other copy; to check and accept them: canopy recover " + path);
    if (unsynced_) log::warning("the stores were not closed, their last commits are synced now durability={}", unsynced_->durability);
    return {};
  }

  Result<void> mark_stores() const {
    if (durability() == Durability::commit) return {};
    return write_unsynced(data_dir_->path(), {std::string(durability_name(durability())), boot_id()});
  }

  Durability durability() const { return options_.settings.store.durability; }

  // All at once: each reads its own journal.
  Result<void> open_shards(uint32_t count) {
    TRY(mark_stores());
    const uint64_t map_size = (options_.settings.store.map_size + page_bytes - 1) / page_bytes * page_bytes;
    const auto& timeline = options_.settings.timeline;
    for (uint32_t i = 0; i < count; ++i) {
      ShardThreadOptions options;
      options.number = i;
      options.data_dir = data_dir_->path();
      options.path = data_dir_->shard(i);
      options.map_size = map_size;
      options.home_bytes_max = timeline.memory / count;
      options.active_window = timeline.active_window;
      options.modes = timeline.modes;
      options.durability = durability();
      options.sync_interval = options_.settings.store.sync_interval;
      options.sync_at_start = unsynced_.has_value();
      shards_.push_back(std::make_unique<ShardThread>(std::move(options), bell_));
    }
    to_shard_.resize(count);
    for (const auto& shard : shards_) TRY(shard->opened());
    return durability() == Durability::commit && unsynced_ ? remove_unsynced(data_dir_->path()) : Result<void>();
  }

  // ---- the loop

  // One pass: wait, take what there is (bounded), let the core think, do what it says. Returns
  // whether there is more to take without waiting.
  bool turn(bool more) {
    const bool ingest = take_ingest();
    if (!more) {
      bell_.doze();
      if (std::all_of(shards_.begin(), shards_.end(), [](const auto& shard) { return shard->empty(); }))
        sockets_->wait(time_left(instant_now(), node_->next_deadline(), turn_wait_max), std::array{bell_.fd(), signals_.fd()}, ingest);
      bell_.awake();
    }
    now_ = now();
    more = sockets_->receive(*this, ingest);
    take_from_shards();
    on_signals();
    if (now_.instant >= node_->next_deadline()) node_->on_time(now_, out_);
    node_->flush(now_, out_);
    carry_out();
    tell_state();
    return more;
  }

  // While much of it waits already, those who publish without an answer wait, too; for a bounded time.
  bool take_ingest() {
    if (!node_->ingest_full()) {
      ingest_held_since_.reset();
      return true;
    }
    if (!ingest_held_since_) ingest_held_since_ = now_.instant;
    return now_.instant - *ingest_held_since_ >= ingest_hold_max;
  }

  // All that they gave: it is bounded by what the core admitted. Answers go out run by run, before the rest of the
  // run is looked at: a client waits for them, and what a push leads to may keep all cores busy for long. A page of
  // a timeline may be large, and the sockets know who reads what he is sent.
  void take_from_shards() {
    for (uint32_t i = 0; i < shards_.size(); ++i) {
      shards_[i]->take(from_shard_);
      for (auto& run : from_shard_) {
        for (shard::Out& from : run) {
          if (!std::holds_alternative<shard::Answer>(from)) continue;
          node_->on_shard(now_, i, std::move(from), out_);
          if (out_.clients.size() >= answers_at_once) send_answers();
        }
        send_answers();
        for (shard::Out& from : run)
          if (!std::holds_alternative<shard::Answer>(from)) node_->on_shard(now_, i, std::move(from), out_);
        run.clear();
      }
      from_shard_.clear();
    }
  }

  void send_answers() {
    for (auto& [route, reply] : out_.clients) sockets_->send_client(std::move(route), std::move(reply));
    out_.clients.clear();
  }

  void carry_out() {
    for (const std::string& endpoint : out_.connect) {
      if (auto connected = sockets_->connect(endpoint); !connected) log::warning("{}", connected.error().message);
    }
    for (const std::string& endpoint : out_.disconnect) sockets_->disconnect(endpoint);
    send_answers();  // before the shards wake up: what they are given may keep all cores busy
    for (auto& [shard, in] : out_.shards) to_shard_[shard].push_back(std::move(in));
    for (uint32_t i = 0; i < shards_.size() && !stopped_; ++i)
      if (!to_shard_[i].empty()) shards_[i]->put(to_shard_[i]);
    for (auto& [endpoint, bytes] : out_.links) sockets_->send_link(endpoint, std::move(bytes));
    for (wire::FeedFrames& frames : out_.feed) sockets_->send_feed(std::move(frames));
    out_.clear();
  }

  void on_client(std::vector<std::string> route, const std::vector<std::string_view>& frames) override {
    node_->on_client(now_, std::move(route), frames, out_);
  }
  void on_ingest(const std::vector<std::string_view>& frames) override { node_->on_ingest(now_, frames, out_); }
  void on_feed_subscription(std::string_view topic, bool on) override { node_->on_feed_subscription(now_, topic, on, out_); }
  void on_link(std::string_view bytes) override { node_->on_link(now_, bytes, out_); }

  // ---- what is told outside

  void tell_state() {
    if (const auto fatal = node_->fatal(); fatal && !failed_) {
      failed_ = true;
      log::err("{}", *fatal);
    }
    if (!draining_since_) tell_ready();
    tell_sockets();
    if (watchdog_ && now_.instant - last_alive_ >= Duration{watchdog_->us / 4} && shards_alive()) {
      last_alive_ = now_.instant;
      notify::alive();
    }
  }

  void tell_sockets() {
    if (now_.instant - sockets_told_ < Duration::of_s(1)) return;
    sockets_told_ = now_.instant;
    const link::Counters& c = sockets_->counters();
    node_->on_sockets({"sockets",
                       {{"replies_refused", c.replies_refused}, {"replies_full", c.replies_full}, {"replies_gone", c.replies_gone},
                        {"ingest_refused", c.ingest_refused}, {"link_in", c.link_in}, {"link_in_bytes", c.link_in_bytes},
                        {"link_in_refused", c.link_in_refused}, {"link_out", c.link_out}, {"link_out_bytes", c.link_out_bytes},
                        {"link_full", c.link_full}, {"feed_out", c.feed_out}, {"feed_topics_refused", c.feed_topics_refused},
                        {"errors", c.errors}}});
  }

  void tell_ready() {
    if (ready_) return;
    if (node_->ready()) {
      ready_ = true;
      notify::ready(ready_status());
      log::notice("ready node={} fabric={}", log::quote(options_.settings.node.name), log::quote(options_.settings.fabric.name));
      return;
    }
    std::string waiting = node_->waiting_for();
    if (waiting == waiting_) return;
    waiting_ = std::move(waiting);
    notify::status(waiting_);
    log::notice("{}", waiting_);
  }

  std::string ready_status() const { return "ready as node " + options_.settings.node.name; }

  bool shards_alive() const {
    return std::all_of(shards_.begin(), shards_.end(), [this](const auto& shard) {
      const Instant since = shard->busy_since();
      return since == Instant::never() || now_.instant - since < *watchdog_;
    });
  }

  // ---- signals and the end

  void on_signals() {
    while (const auto signal = signals_.take()) {
      if (*signal == SIGHUP)
        reload();
      else
        drain();
    }
  }

  void reload() {
    if (ready_) notify::reloading();
    const auto read = load_settings(options_.config_file, options_.overrides, surroundings());
    if (read) {
      for (const std::string& key : changed_keys(options_.settings, *read))
        if (!changes_at_run_time(key)) log::warning("settings key={} has changed and takes effect with a restart", key);
      options_.settings.log.level = read->log.level;
      log::set_level(read->log.level);
      log::notice("settings read again");
    } else {
      log::err("settings kept as they were: {}", read.error().message);
    }
    if (ready_) notify::ready(ready_status());
  }

  // The second time it does not wait for what is in flight.
  void drain() {
    if (draining_since_) {
      hurry_ = true;
      return;
    }
    draining_since_ = now_.instant;
    notify::stopping("finishing " + std::to_string(node_->requests_in_flight()) + " requests");
    log::notice("stopping in_flight={}", node_->requests_in_flight());
    node_->drain(now_, out_);
  }

  bool finished() const {
    if (failed_ || hurry_) return true;
    return draining_since_ && (node_->requests_in_flight() == 0 || now_.instant - *draining_since_ >= drain_max);
  }

  // The shards commit what they were given; what they say then still goes out.
  int end() {
    const size_t left = node_->requests_in_flight();
    for (const auto& shard : shards_) shard->stop();
    stopped_ = true;
    now_ = now();
    take_from_shards();
    node_->flush(now_, out_);
    carry_out();
    sockets_.reset();  // gives what is queued a second to leave
    if (const auto synced = stores_closed(); !synced) {
      log::err("{}", synced.error().message);
      failed_ = true;
    }
    log::notice("stopped unanswered={}", left);
    return failed_ ? 1 : 0;
  }

  // The shards have synced what they had: a start on any machine may take it.
  Result<void> stores_closed() const {
    if (durability() == Durability::commit) return {};
    return remove_unsynced(data_dir_->path());
  }

  DaemonOptions options_;
  const Signals& signals_;
  std::unique_ptr<DataDir> data_dir_;  // the lock goes last
  std::optional<Unsynced> unsynced_;   // the mark that the process before left
  std::unique_ptr<store::LmdbBackend> control_;
  Bell bell_;
  std::unique_ptr<link::Sockets> sockets_;
  std::unique_ptr<node::Node> node_;
  std::vector<std::unique_ptr<ShardThread>> shards_;

  Now now_;                            // of this turn
  node::Output out_;
  std::vector<std::vector<shard::In>> to_shard_;            // by shard, of this turn
  std::vector<std::vector<shard::Out>> from_shard_;
  bool ready_ = false, failed_ = false, hurry_ = false, stopped_ = false;
  std::string waiting_;
  std::optional<Instant> draining_since_, ingest_held_since_;
  std::optional<Duration> watchdog_;
  Instant last_alive_, sockets_told_;
};

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::open(DaemonOptions options, const Signals& signals) {
  auto shell = std::make_unique<Shell>(std::move(options), signals);
  TRY(shell->open());
  return shell;
}

}  // namespace canopy::daemon
