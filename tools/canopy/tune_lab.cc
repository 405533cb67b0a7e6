#include "tune_lab.h"

#include <ctime>
#include <stdexcept>
#include <utility>

#include "map/map.h"

namespace canopy::console {
namespace {

constexpr size_t at_once = 100;        // messages, reads, follows of a request
constexpr uint64_t map_size = uint64_t{4} << 30;

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <class T>
T checked(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

void leaves_of(const wire::Route& route, std::vector<BucketId>& leaves) {
  leaves.insert(leaves.end(), route.leaves.begin(), route.leaves.end());
  for (const wire::Route& child : route.children) leaves_of(child, leaves);
}

}  // namespace

TuneLab::TuneLab(const std::string& directory, leaf::Mode mode, uint32_t followers) {
  backend_ = checked(store::LmdbBackend::open({directory, map_size, store::Sync::on_demand}));
  store_ = checked(store::Store::open(*backend_, {}));
  shard::ShardOptions options;
  options.modes.forced = mode;
  shard_ = std::make_unique<shard::Shard>(*store_, options);
  map::FabricSettings settings;
  settings.bucket_count = buckets;
  map_ = std::make_shared<const map::BucketMap>(map::plan_fabric(std::string(16, 't'), settings, {{"here", "", "", "", "", 1000}}));
  std::vector<BucketId> all;
  for (uint16_t bucket = 0; bucket < buckets; ++bucket) all.emplace_back(bucket);
  shard_->push(shard::NewMap{map_, NodeIndex(0), all});

  std::vector<std::string> names, others;
  for (uint32_t i = 0; i < followers; ++i) names.push_back("u" + std::to_string(i));
  for (const std::string& name : names) followers_[map_->bucket_of(name)].push_back(name);
  if (followers_.size() < buckets) throw std::runtime_error("too few followers: not each bucket has one");
  for (uint32_t i = 0; others.size() < buckets; ++i) {
    std::string name = "o" + std::to_string(i);
    if (map_->bucket_of(name) == all[others.size()]) others.push_back(std::move(name));
  }
  for (const std::string& author : authors()) follow(names, author);
  follow(others, "other");
  if (mode == leaf::Mode::lazy) become_lazy();
  deliver(static_cast<uint32_t>(authors().size()));
  deliver_other(1);
}

TuneLab::~TuneLab() = default;

std::vector<std::string> TuneLab::authors() {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < followed; ++i) names.push_back("a" + std::to_string(i));
  return names;
}

// They tell their roots by letters, as far as these have room, and the rest later: it takes some time, not much.
void TuneLab::become_lazy() {
  const size_t leaves = buckets * (followed + 1);
  for (int waited_ms = 0; waited_ms < 10'000; waited_ms += 10) {
    size_t lazy = 0, letters = 0;
    for (uint16_t no = 0; no < buckets; ++no) {
      const bucket::Bucket* const bucket = shard_->find(BucketId(no));
      lazy += bucket->lazy_leaves(), letters += bucket->letters_waiting();
    }
    if (lazy == leaves && letters == 0) return;
    now_.instant = now_.instant + Duration::of_ms(10);
    now_.wall_ms += 10;
    work();
  }
  throw std::runtime_error("not all leaves became lazy");
}

bucket::Bucket::Counters TuneLab::counters() const {
  bucket::Bucket::Counters all;
  for (uint16_t no = 0; no < buckets; ++no) all.add(shard_->find(BucketId(no))->counters());
  return all;
}

void TuneLab::ask(BucketId bucket, wire::Request request) {
  shard_->push(shard::Ask{++asked_, bucket, std::move(request), now_.instant + Duration::of_s(3600)});
}

void TuneLab::take(shard::Out out) {
  if (auto* departs = std::get_if<shard::Depart>(&out)) {
    shard_->push(shard::Arrive{std::move(departs->packet)});
  } else if (auto* push = std::get_if<shard::Push>(&out)) {
    letters_.push_back(std::move(*push));
  } else if (const auto* delivered = std::get_if<shard::Delivered>(&out)) {
    auto pushed = tickets_.extract(delivered->ticket);
    if (pushed.empty()) throw std::runtime_error("a letter ended twice");
    pushed.mapped().not_taken = delivered->not_taken;
    shard_->push(std::move(pushed.mapped()));
  } else if (auto* answer = std::get_if<shard::Answer>(&out)) {
    if (const auto* error = std::get_if<Error>(&answer->reply)) throw std::runtime_error(error->message);
    ++answered_;
  }
}

double TuneLab::work() {
  std::vector<shard::Out> outs;
  double seconds = 0;
  do {
    now_.instant = now_.instant + Duration::of_ms(1);
    ++now_.wall_ms;
    const double begin = cpu_seconds();
    const auto done = shard_->cycle(now_, outs);
    seconds += cpu_seconds() - begin;
    if (!done) throw std::runtime_error(done.error().message);
    for (shard::Out& out : std::exchange(outs, {})) take(std::move(out));
  } while (shard_->queued() > 0 || shard_->next_deadline() <= now_.instant);
  return seconds;
}

void TuneLab::follow(const std::vector<std::string>& followers, const std::string& author) {
  std::map<BucketId, std::vector<wire::Pair>> pairs;
  for (const std::string& follower : followers) pairs[map_->bucket_of(follower)].push_back({follower, author});
  for (auto& [bucket, of_bucket] : pairs) {
    for (size_t i = 0; i < of_bucket.size(); i += at_once) {
      const auto begin = of_bucket.begin() + static_cast<ptrdiff_t>(i);
      wire::Follow request;
      request.pairs.assign(begin, begin + static_cast<ptrdiff_t>(std::min(at_once, of_bucket.size() - i)));
      request.batch = true;
      ask(bucket, std::move(request));
    }
  }
  work();
  if (answered_ != asked_) throw std::runtime_error("not all follows were made");
}

// The stream letters are made first, so that what is timed is their arrival.
double TuneLab::deliver(const std::vector<std::string>& authors, uint32_t messages) {
  double seconds = 0;
  while (messages > 0) {
    for (size_t i = 0; i < at_once && messages > 0; ++i, --messages) {
      const std::string& author = authors[++said_ % authors.size()];
      ask(map_->bucket_of(author), wire::Publish{{{author, "", "message " + std::to_string(said_), ""}}, false});
    }
    work();
    for (shard::Push& push : std::exchange(letters_, {})) {
      std::vector<BucketId> leaves;
      leaves_of(push.letter.route, leaves);
      tickets_[++ticket_] = {push.letter.root, push.letter.reflector, push.letter.item.no, {}};
      shard_->push(shard::Deliver{ticket_, push.letter.root, push.letter.reflector, push.letter.item, std::move(leaves)});
    }
    seconds += work();
  }
  if (!tickets_.empty() || answered_ != asked_) throw std::runtime_error("not all messages were delivered");
  return seconds;
}

double TuneLab::read_all() {
  for (const auto& [bucket, names] : followers_) {
    for (size_t i = 0; i < names.size(); i += at_once) {
      const auto begin = names.begin() + static_cast<ptrdiff_t>(i);
      wire::Read request;
      request.entities.assign(begin, begin + static_cast<ptrdiff_t>(std::min(at_once, names.size() - i)));
      request.batch = true;
      request.limit = 1;
      ask(bucket, std::move(request));
    }
  }
  const double seconds = work();
  if (answered_ != asked_) throw std::runtime_error("not all reads were answered");
  return seconds;
}

double TuneLab::read_singly(uint32_t times, uint32_t messages) {
  const auto before = counters();
  const bool lazy = shard_->find(BucketId(0))->lazy_leaves() > 0;
  double seconds = 0;
  for (uint32_t i = 0; i < times; ++i) {
    deliver(messages * followed);
    for (const auto& [bucket, names] : followers_) {
      wire::Read request;
      request.entities = {names.front()};
      request.limit = 1;
      ask(bucket, std::move(request));
      seconds += work();
      if (answered_ != asked_) throw std::runtime_error("a read was not answered");
    }
  }
  const auto after = counters();
  const uint64_t fetches = lazy ? uint64_t{times} * buckets * followed : 0;
  if (after.fetches_waited_for - before.fetches_waited_for != fetches || after.waited_in_vain != before.waited_in_vain)
    throw std::runtime_error("a read did not fetch once from each author that it follows");
  return seconds;
}

}  // namespace canopy::console
