// A shard with its store, in this process and without a network: what a leaf's work costs here, measured on the code
// that the nodes run.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "leaf/modes.h"
#include "shard/shard.h"
#include "store/lmdb_backend.h"

namespace canopy::console {

// A few authors that all of `followers` follow, in `buckets` buckets, so that rows of one leaf stand between those of
// others, as everywhere; and another author with one follower in each bucket. Throws std::runtime_error when
// something is not as it must be. In mode lazy all these leaves are lazy from the beginning.
class TuneLab {
 public:
  // `directory`: an empty one, for the store.
  TuneLab(const std::string& directory, leaf::Mode mode, uint32_t followers);
  ~TuneLab();

  static constexpr uint32_t buckets = 16, followed = 4;   // authors that each of `followers` follows
  // Publishes so many messages, the authors by turns. Returns the CPU seconds in which they came to the leaves; of
  // lazy ones none, the messages stay at the roots.
  double deliver(uint32_t messages) { return deliver(authors(), messages); }
  double deliver_other(uint32_t messages) { return deliver({"other"}, messages); }
  // Reads one entry of each follower's home. Returns the CPU seconds.
  double read_all();
  // So many times: each author publishes so many messages, then one follower of each bucket reads one entry of his
  // home, a request of its own that is answered before the next. So each read of a lazy lab makes `followed` leaves
  // fetch these messages. Returns the CPU seconds of the reads.
  // REQUIRES: `messages` fit in one fetch.
  double read_singly(uint32_t times, uint32_t messages);

 private:
  static std::vector<std::string> authors();
  double deliver(const std::vector<std::string>& authors, uint32_t messages);
  void follow(const std::vector<std::string>& followers, const std::string& author);
  void become_lazy();
  bucket::Bucket::Counters counters() const;   // of all buckets
  void ask(BucketId bucket, wire::Request request);
  // Works until nothing is left but stream letters, which wait in `letters_`. Returns the CPU seconds.
  double work();
  void take(shard::Out out);

  std::unique_ptr<store::LmdbBackend> backend_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<shard::Shard> shard_;
  bucket::MapRef map_;
  Now now_{{1'000'000}, 1'700'000'000'000};
  std::map<BucketId, std::vector<std::string>> followers_;   // by bucket
  std::vector<shard::Push> letters_;
  std::map<uint64_t, shard::Pushed> tickets_;
  uint64_t asked_ = 0, answered_ = 0, ticket_ = 0, said_ = 0;
};

}  // namespace canopy::console
