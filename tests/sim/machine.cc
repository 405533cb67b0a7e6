#include "sim/machine.h"

#include <algorithm>
#include <memory>

#include "base/assert.h"
#include "sim/network.h"
#include "store/keys.h"

namespace canopy::sim {
namespace {

constexpr uint64_t wall_at_start_ms = 1'700'000'000'000;

std::string boot_name(Random& random) {
  std::string id;
  put_be64(id, random.next());
  put_be64(id, random.next());
  return id;
}

bool has_rows(const store::Store& store, BucketId bucket, store::Table table) {
  const std::string prefix = store::KeyBuilder(bucket, table);
  bool found = false;
  store.scan(prefix, store::after_prefix(prefix), [&](std::string_view, std::string_view) {
    found = true;
    return false;
  });
  return found;
}

}  // namespace

Machine::Machine(size_t index, const Scenario& scenario, Schedule& schedule, Trace& trace, World world, uint64_t seed)
    : index_(index), scenario_(scenario), schedule_(schedule), trace_(trace), world_(std::move(world)), random_(seed),
      offset_us_(static_cast<int64_t>(random_.below(1'000'000'000'000))) {
  for (uint32_t i = 0; i < scenario_.shards; ++i) sides_.push_back(std::make_unique<Side>());
}

Now Machine::local() const {
  const int64_t ms = schedule_.now().us / 1000 + skew_ms_;
  return {Instant{schedule_.now().us + offset_us_}, wall_at_start_ms + static_cast<uint64_t>(std::max<int64_t>(ms, 0))};
}

// ---- the process

void Machine::start() {
  ASSERT(!up());
  ++process_;
  ++counters_.starts;
  skew_ms_ = static_cast<int64_t>(random_.below(10'000)) - 5'000;
  trace_.add(schedule_.now(), "start", index_, process_);
  stalled_until_ = {};
  crash_after_commit_ = false;
  for (uint32_t i = 0; i < scenario_.shards; ++i) {
    Side& s = side(i);
    store::StoreOptions options;
    options.journal_value_bytes = 512;
    options.overlay_bytes_max = scenario_.overlay_bytes_max;
    options.journal_bytes_max = scenario_.journal_bytes_max;
    options.slice_bytes = scenario_.slice_bytes;
    options.trim_values_max = 64;
    options.chunk_bytes = 256;
    auto opened = store::Store::open(s.disk, options);
    if (!opened) throw Violation("a store opens again", opened.error().message);
    s.store = std::move(*opened);
    shard::ShardOptions shard_options;
    shard_options.name = "shard-" + std::to_string(i);
    shard_options.home_bytes_max = scenario_.home_bytes_max;
    shard_options.cycle_timelines_max = scenario_.cycle_timelines_max;
    shard_options.active_window = scenario_.active_window;
    shard_options.modes = scenario_.modes;
    s.shard = std::make_unique<shard::Shard>(*s.store, shard_options);
  }
  node::NodeOptions options;
  options.name = "n" + std::to_string(index_ + 1);
  options.version = "sim";
  options.settings = scenario_.settings;
  options.link = link_endpoint(index_);
  options.client = "client://" + std::to_string(index_);
  options.feed = "feed://" + std::to_string(index_);
  for (size_t i = 0; i < scenario_.nodes; ++i) options.seeds.push_back(link_endpoint(i));
  options.bootstrap_expect = scenario_.nodes;
  options.shards = scenario_.shards;
  options.boot = random_.next() | 1;
  options.new_fabric_id = boot_name(random_);
  auto node = node::Node::open(options, control_);
  if (!node) throw Violation("a node opens again", node.error().message);
  node_ = std::move(*node);
  node_->start(local(), out_);
  carry_out();
  for (uint32_t i = 0; i < scenario_.shards; ++i) wake_shard(i, schedule_.now());
  wake_core(global(node_->next_deadline()));
}

void Machine::crash(const char* why) {
  if (!up()) return;
  trace_.add(schedule_.now(), why, index_, process_);
  ++counters_.crashes;
  size_t committed = 0, queued = 0;
  for (auto& s : sides_) {
    counters_.outs_lost += s->outs_waiting;
    committed += s->outs_waiting > 0;
    queued += !s->inbox.empty();
  }
  counters_.crashes_between_commit_and_send += committed > 0;
  counters_.crashes_between_shards += committed > 0 && queued > 0;
  count_process();
  node_.reset();
  inputs_.clear();
  out_.clear();
  core_at_ = Instant::never();
  for (auto& s : sides_) {
    s->shard.reset();
    s->store.reset();
    s->disk.crash();
    s->inbox.clear();
    s->turn_at = Instant::never();
    s->syncing = false;
    s->outs_waiting = 0;
    s->aborted = 0;
  }
  control_.crash();
  world_.ended(index_);
}

// ---- packets

void Machine::input(Input in) {
  if (!up()) return;
  inputs_.push_back(std::move(in));
  wake_core(schedule_.now() + Duration{static_cast<int64_t>(random_.below(300))});
}

void Machine::on_link(const std::string& bytes) { input(bytes); }
void Machine::on_client(uint64_t operation, wire::RequestFrames frames) { input(FromClient{operation, std::move(frames)}); }
void Machine::on_feed_subscription(std::string topic, bool on) { input(Subscription{std::move(topic), on}); }

// ---- faults

void Machine::turn(shard::Turn turn) {
  if (!up()) return;
  for (uint32_t i = 0; i < scenario_.shards; ++i) {
    if (!side(i).shard->find(turn.bucket)) continue;
    side(i).inbox.push_back(turn);
    wake_shard(i, schedule_.now());
  }
}

void Machine::fill_disk(uint32_t shard, uint64_t bytes_left) {
  store::MemBackend& disk = side(shard).disk;
  disk.set_bytes_total(disk.bytes_total() - disk.bytes_free() + bytes_left);
}

void Machine::heal_disk(uint32_t shard) {
  side(shard).disk.set_bytes_total(uint64_t{1} << 40);
  side(shard).disk.fail_commits(0, Code::busy);
}

void Machine::heal_disks() {
  for (uint32_t i = 0; i < scenario_.shards; ++i) heal_disk(i);
  crash_after_commit_ = false;
  stalled_until_ = {};
}

// ---- the threads

void Machine::wake_core(Instant at) {
  at = std::max({at, schedule_.now(), stalled_until_});
  if (!up() || core_at_ <= at) return;
  core_at_ = at;
  schedule_.at(at, [this, at, process = process_] {
    if (process != process_ || core_at_ != at || !up()) return;
    core_at_ = Instant::never();
    if (schedule_.now() < stalled_until_) return wake_core(stalled_until_);
    core_turn();
  });
}

void Machine::wake_shard(uint32_t shard, Instant at) {
  Side& s = side(shard);
  at = std::max({at, schedule_.now(), stalled_until_});
  if (!up() || s.syncing || s.turn_at <= at) return;
  s.turn_at = at;
  schedule_.at(at, [this, shard, at, process = process_] {
    if (process != process_ || side(shard).turn_at != at || !up()) return;
    side(shard).turn_at = Instant::never();
    if (schedule_.now() < stalled_until_) return wake_shard(shard, stalled_until_);
    shard_turn(shard);
  });
}

void Machine::core_turn() {
  while (!inputs_.empty()) {
    Input in = std::move(inputs_.front());
    inputs_.pop_front();
    take(in);
  }
  if (local().instant >= node_->next_deadline()) node_->on_time(local(), out_);
  node_->flush(local(), out_);
  if (const auto fatal = node_->fatal()) throw Violation("a node never ends itself here", *fatal);
  static_cast<const node::Core&>(*node_).check();
  carry_out();
  wake_core(global(node_->next_deadline()));
}

void Machine::take(Input& in) {
  if (auto* bytes = std::get_if<std::string>(&in)) {
    node_->on_link(local(), *bytes, out_);
  } else if (auto* client = std::get_if<FromClient>(&in)) {
    std::string number;
    put_be64(number, client->operation);
    std::vector<std::string_view> frames{client->frames.verb, client->frames.args};
    if (client->frames.body) frames.push_back(*client->frames.body);
    node_->on_client(local(), {"client", number, ""}, frames, out_);
  } else if (auto* subscription = std::get_if<Subscription>(&in)) {
    node_->on_feed_subscription(local(), subscription->topic, subscription->on, out_);
  } else {
    auto& from = std::get<FromShard>(in);
    node_->on_shard(local(), from.shard, std::move(from.out), out_);
  }
}

void Machine::carry_out() {
  for (auto& [shard, in] : out_.shards) {
    side(shard).inbox.push_back(std::move(in));
    wake_shard(shard, schedule_.now() + Duration{static_cast<int64_t>(random_.below(300))});
  }
  for (auto& link : out_.links) world_.link(index_, link.endpoint, std::move(link.bytes));
  for (const auto& client : out_.clients) {
    ASSERT(client.route.size() == 3);
    world_.answer(index_, Cursor(client.route[1]).be64(), client.reply);
  }
  for (const auto& frames : out_.feed) world_.feed(index_, frames);
  out_.clear();
}

void Machine::shard_turn(uint32_t shard) {
  Side& s = side(shard);
  while (!s.inbox.empty()) {
    s.shard->push(std::move(s.inbox.front()));
    s.inbox.pop_front();
  }
  ++counters_.cycles;
  std::vector<shard::Out> outs;
  const uint64_t commits = s.disk.commits();
  if (auto done = s.shard->cycle(local(), outs); !done) {
    ++counters_.commits_failed;
    return crash("the commit failed");
  }
  const bool committed = s.disk.commits() > commits;
  s.shard->check();
  trace_.add(schedule_.now(), "cycle", index_ * 100 + shard, outs.size(), committed);
  for (const auto& out : outs) look_at(out, s);
  if (!s.store->dirty() && random_.chance(scenario_.checkpoint_percent)) {
    ++counters_.checkpoints;
    if (const auto done = s.store->checkpoint(); !done && done.error().code != Code::busy) {
      ++counters_.commits_failed;
      return crash("the checkpoint failed");
    }
    s.shard->check(true);
  }
  s.syncing = true;
  s.outs_waiting = static_cast<size_t>(
      std::count_if(outs.begin(), outs.end(), [](const auto& o) { return !std::holds_alternative<shard::Report>(o); }));
  if (!committed) s.outs_waiting = 0;
  if (crash_after_commit_ && s.outs_waiting > 0) return crash("crash after a commit");
  const Duration sync{committed ? 100 + static_cast<int64_t>(random_.below(random_.chance(5) ? 50'000 : 2'000)) : 1};
  schedule_.after(sync, [this, shard, process = process_, outs = std::make_shared<std::vector<shard::Out>>(std::move(outs))] {
    if (process == process_ && up()) release(shard, std::move(*outs));
  });
}

void Machine::release(uint32_t shard, std::vector<shard::Out> outs) {
  Side& s = side(shard);
  s.syncing = false;
  s.outs_waiting = 0;
  for (shard::Out& out : outs) input(FromShard{shard, std::move(out)});
  wake_shard(shard, s.inbox.empty() ? global(s.shard->next_deadline()) : schedule_.now());
}

void Machine::look_at(const shard::Out& out, Side& s) {
  const auto* report = std::get_if<shard::Report>(&out);
  if (!report) return;
  for (const auto& [name, value] : report->section.fields)
    if (name == "commits_refused") {
      counters_.batches_aborted += std::get<uint64_t>(value) - s.aborted;
      s.aborted = std::get<uint64_t>(value);
    }
}

// ---- what a checker may look at

const bucket::Bucket* Machine::find(BucketId bucket) const {
  for (const auto& s : sides_)
    if (s->shard)
      if (const auto* found = s->shard->find(bucket)) return found;
  return nullptr;
}

const store::Store* Machine::store_of(BucketId bucket) const {
  for (const auto& s : sides_)
    if (s->shard && s->shard->find(bucket)) return s->store.get();
  return nullptr;
}

std::string Machine::not_drained() const {
  const std::string where = "node " + std::to_string(index_);
  if (!ready()) return where + " is not ready";
  if (node_->requests_in_flight() > 0) return where + " has requests in flight";
  for (const auto& s : sides_)
    if (!s->inbox.empty() || s->shard->queued() > 0) return where + " has a full inbox";
  for (uint32_t i = 0; i < scenario_.settings.bucket_count; ++i) {
    const BucketId bucket_id(static_cast<uint16_t>(i));
    const auto* bucket = find(bucket_id);
    if (!bucket) continue;
    const std::string which = where + " bucket " + std::to_string(i);
    if (bucket->pending_roots() > 0) return which + " has pending roots";
    if (bucket->letters_waiting() > 0) return which + " has letters waiting";
    if (bucket->waiting() > 0) return which + " has requests waiting";
    if (has_rows(*store_of(bucket_id), bucket_id, store::Table::ending)) return which + " has a deletion that goes on";
    if (has_rows(*store_of(bucket_id), bucket_id, store::Table::retired)) return which + " has deliveries to erase";
  }
  return "";
}

void Machine::count_process() {
  for (uint32_t i = 0; i < scenario_.settings.bucket_count; ++i)
    if (const auto* bucket = find(BucketId(static_cast<uint16_t>(i)))) counters_.buckets.add(bucket->counters());
  const node::Counters& c = static_cast<const node::Core&>(*node_).counters();
  counters_.forwards += c.forwards_taken;
  counters_.forwards_repeated += c.forwards_repeated;
  counters_.frames_timed_out += c.frames_timed_out;
  counters_.sessions_ended += c.sessions_ended;
  counters_.late_answers += c.answers_late;
  counters_.relayed += c.stream_letters_received;
  counters_.feed_frames += c.feed_frames;
  for (const auto& s : sides_) counters_.letters_cut += s->shard->letters_cut();
  if (c.letters_per_message_max > scenario_.settings.fanout)
    throw Violation("no reflector sends more than fanout letters for a message", std::to_string(c.letters_per_message_max));
}

Machine::Counters Machine::counters() const {
  Machine::Counters c = counters_;
  if (!up()) return c;
  for (const auto& s : sides_) c.letters_cut += s->shard->letters_cut();
  for (uint32_t i = 0; i < scenario_.settings.bucket_count; ++i)
    if (const auto* bucket = find(BucketId(static_cast<uint16_t>(i)))) c.buckets.add(bucket->counters());
  return c;
}

}  // namespace canopy::sim
