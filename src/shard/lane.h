// Stream letters that wait for a later turn: those of one stream in order, the streams by turns. Pure.
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/assert.h"
#include "base/time.h"
#include "shard/seam.h"

namespace canopy::shard {

class Lane {
 public:
  bool empty() const { return letters_ == 0; }
  size_t letters() const { return letters_; }
  // Whether letters of this stream wait: what comes of it must wait behind them.
  bool contains(const std::string& reflector) const { return streams_.contains(reflector); }

  // `soon`: its stream has the next turn.
  void add(Deliver letter, Instant now, bool soon = false) {
    const auto [at, fresh] = streams_.try_emplace(letter.reflector);
    if (fresh) {
      (soon ? turns_.emplace_front(letter.reflector) : turns_.emplace_back(letter.reflector));
    } else if (soon && turns_.front() != letter.reflector) {
      turns_.erase(std::find(turns_.begin(), turns_.end(), letter.reflector));
      turns_.push_front(letter.reflector);
    }
    at->second.push_back({std::move(letter), now});
    ++letters_;
  }

  // The letter whose turn it is. REQUIRES: !empty().
  Deliver& front() { return streams_.at(turns_.front()).front().letter; }
  // It is done, or (`again`) goes on when all other streams have had a turn.
  void next(bool again) {
    ASSERT(!empty());
    const auto at = streams_.find(turns_.front());
    if (!again) {
      at->second.pop_front();
      --letters_;
    }
    if (at->second.empty()) streams_.erase(at);
    else turns_.push_back(std::move(turns_.front()));
    turns_.pop_front();
  }

  // Since when the oldest letter has waited; never() when it is empty. Looks at each stream.
  Instant oldest() const {
    Instant oldest = Instant::never();
    for (const auto& [reflector, letters] : streams_) oldest = std::min(oldest, letters.front().since);
    return oldest;
  }

 private:
  struct Waiting {
    Deliver letter;
    Instant since;
  };
  std::unordered_map<std::string, std::deque<Waiting>> streams_;  // by reflector; none is empty
  std::deque<std::string> turns_;                                 // each of them once
  size_t letters_ = 0;
};

}  // namespace canopy::shard
