#include "leaf/timelines.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"

namespace canopy::leaf {
namespace {

constexpr size_t block_lines_max = 256;              // 16 KiB
constexpr uint64_t base_distance = uint64_t{1} << 31;
constexpr size_t odd_home_bytes = 64;                // its place in the map
constexpr size_t headers_ahead = 16, lines_ahead = 8;  // how far the next followers' memory is asked for

uint32_t seconds(Instant instant) { return static_cast<uint32_t>((instant.us + 999'999) / 1'000'000); }

}  // namespace

// ---- One timeline

Timelines::View::View(const Timelines& of, EntityNo follower) : of_(&of), header_(&of.headers_[follower.value()]), odd_(nullptr) {
  if (header_->odd) odd_ = &of.odd_.at(follower.value());
}

std::optional<Timelines::Shown> Timelines::View::back(Place& at) const {
  if (at.k == 0 && of_->line(at.line).prev != 0) {
    at.line = of_->line(at.line).prev;
    at.k = Line::entries;
  }
  const HomeEntry* const odd = at.odd > 0 ? &(*odd_)[at.odd - 1] : nullptr;
  if (at.k > 0) {
    const Position plain(of_->base_ + of_->line(at.line).offsets[at.k - 1]);
    if (!odd || odd->position < plain) {
      --at.k;
      return Shown{plain};
    }
  }
  if (!odd) return std::nullopt;
  --at.odd;
  return Shown{odd->position, odd};
}

std::optional<Timelines::Shown> Timelines::View::ahead(Place& at) const {
  if (at.k == Line::entries && at.line != header_->newest) {
    at.line = of_->line(at.line).next;
    at.k = 0;
  }
  const HomeEntry* const odd = odd_ && at.odd < odd_->size() ? &(*odd_)[at.odd] : nullptr;
  if (at.k < (at.line == header_->newest ? header_->fill : Line::entries)) {
    const Position plain(of_->base_ + of_->line(at.line).offsets[at.k]);
    if (!odd || plain < odd->position) {
      ++at.k;
      return Shown{plain};
    }
  }
  if (!odd) return std::nullopt;
  ++at.odd;
  return Shown{odd->position, odd};
}

size_t Timelines::View::size() const { return std::min(total(), of_->capacity_); }

Position Timelines::View::newest() const {
  Place at = end();
  const auto shown = back(at);
  return shown ? shown->position : Position();
}

Position Timelines::View::before_newest() const {
  Place at = end();
  back(at);
  const auto shown = back(at);
  return shown ? shown->position : Position();
}

Position Timelines::View::left() const {
  Position left = header_->left;
  Place at = begin();
  for (size_t n = total(); n > of_->capacity_; --n) left = std::max(left, ahead(at)->position);
  return left;
}

HomeEntry Timelines::View::entry(const Shown& shown, const store::Reader& reader) const {
  if (shown.odd) return *shown.odd;
  const auto row = reader.delivery(of_->bucket_, shown.position);
  ASSERT(row && !row->dead);
  return {shown.position, row->ref, false};
}

// ---- Lines

uint32_t Timelines::take_line(EntityNo keep) {
  if (free_ == 0 && fresh_ >= blocks_.size() << block_shift_) {
    if (blocks_.empty()) {
      // Small blocks when there may be only little.
      for (block_shift_ = 0; 2u << block_shift_ <= block_lines_max && (16 * sizeof(Line)) << block_shift_ <= bytes_max_;) ++block_shift_;
      block_mask_ = (1u << block_shift_) - 1;
    }
    const size_t block_bytes = sizeof(Line) << block_shift_;
    if (!blocks_.empty() && bytes() + block_bytes > bytes_max_) make_room(keep);
    if (free_ == 0) {
      do blocks_.emplace_back(new Line[size_t{1} << block_shift_]);
      while (fresh_ >= blocks_.size() << block_shift_);
    }
  }
  ++lines_used_;
  if (free_ == 0) return fresh_++;
  return std::exchange(free_, line(free_).next);
}

// Its newest line is full: the oldest one comes round when it holds nothing that is shown.
void Timelines::new_line(Header& header, EntityNo follower) {
  uint32_t fresh = header.oldest;
  if (header.count >= capacity_ + Line::entries) {
    const Line& oldest = line(fresh);
    header.left = std::max(header.left, Position(base_ + oldest.offsets[Line::entries - 1]));
    header.oldest = oldest.next;
    line(header.oldest).prev = 0;
    header.count -= Line::entries;
  } else {
    fresh = take_line(follower);
  }
  line(fresh).prev = header.newest;
  line(fresh).next = 0;
  line(header.newest).next = fresh;
  header.newest = fresh;
  header.fill = 0;
}

inline void Timelines::add(Header& header, EntityNo follower, uint32_t offset) {
  if (header.fill == Line::entries) new_line(header, follower);
  line(header.newest).offsets[header.fill++] = offset;
  ++header.count;
  entries_ += total(header, follower) <= capacity_;
}

// Those behind it move up. Returns from how many lines behind its own. REQUIRES: all are shown.
uint64_t Timelines::take_out(Header& header, EntityNo follower, uint32_t in, uint32_t k) {
  uint64_t lines = 0;
  for (;; ++lines) {
    Line& here = line(in);
    const uint32_t fill = in == header.newest ? header.fill : Line::entries;
    std::memmove(here.offsets + k, here.offsets + k + 1, (fill - k - 1) * sizeof here.offsets[0]);
    if (in == header.newest) break;
    here.offsets[Line::entries - 1] = line(here.next).offsets[0];
    in = here.next;
    k = 0;
  }
  pop_newest(header, follower);
  return lines;
}

// REQUIRES: it has an entry in its lines.
void Timelines::pop_newest(Header& header, EntityNo follower) {
  entries_ -= total(header, follower) <= capacity_;
  --header.count;
  if (--header.fill > 0 || header.newest == header.oldest) return;
  const uint32_t emptied = header.newest;
  header.newest = line(emptied).prev;
  header.fill = Line::entries;
  line(header.newest).next = 0;
  line(emptied).next = std::exchange(free_, emptied);
  --lines_used_;
}

// An offset has 32 bits: what is too far above the base needs another one, and all begins anew.
void Timelines::make_base_for(Position at) {
  if (below_base(at) || (at.packed() - base_ <= UINT32_MAX && (base_ != 0 || at.packed() < base_distance))) return;
  if (std::any_of(headers_.begin(), headers_.end(), [](const Header& header) { return header.count > 0; })) drop_all();
  for (Header& header : headers_) header.upto = 0;
  base_ = at.packed() > base_distance ? at.packed() - base_distance : 0;
}

void Timelines::add_odd(Header& header, EntityNo follower, const HomeEntry& entry) {
  auto& odd = odd_[follower.value()];
  header.odd = true;
  odd.push_back(entry);
  ++odd_entries_;
  entries_ += total(header, follower) <= capacity_;
  if (odd.size() <= capacity_) return;
  header.left = std::max(header.left, odd.front().position);
  odd.erase(odd.begin());
  --odd_entries_;
}

// ---- All of them

void Timelines::limit(size_t capacity, size_t bytes_max, Duration window) {
  if (capacity != capacity_ || bytes() > bytes_max) drop_all();
  capacity_ = std::max<size_t>(capacity, 1);
  bytes_max_ = bytes_max;
  window_ = window;
}

size_t Timelines::bytes() const {
  return headers_.capacity() * sizeof(Header) + (blocks_.size() * sizeof(Line) << block_shift_) +
         blocks_.capacity() * sizeof blocks_[0] + odd_entries_ * sizeof(HomeEntry) + odd_.size() * odd_home_bytes;
}

Timelines::View Timelines::open(EntityNo follower, Now now, const Deferred& deferred, const store::Reader& reader) {
  const uint16_t reads = this->reads(follower);
  if (!contains(follower) || !take_in(follower, deferred, reader)) read_cold(follower, reader);
  Header& header = headers_[follower.value()];
  header.read_s = seconds(now.instant);
  header.reads = static_cast<uint16_t>(reads + 1);
  return view(follower);
}

void Timelines::read_cold(EntityNo follower, const store::Reader& reader) {
  const uint32_t no = follower.value();
  const Home home = read_home(bucket_, follower, capacity_, reader);
  const Position upto = reader.position(bucket_);  // what a step in progress has deferred is not in there
  make_base_for(upto);
  if (homes_++ == 0) oldest_held_ = Position(UINT64_MAX);
  if (headers_.size() <= no) headers_.resize(no + 1);
  Header& header = headers_[no];
  header.newest = header.oldest = take_line(follower);
  line(header.newest).prev = line(header.newest).next = 0;
  header.left = home.left;
  header.upto = below_base(upto) ? 0 : static_cast<uint32_t>(upto.packed() - base_);
  for (const HomeEntry& entry : home.entries) {
    if (entry.backfilled || entry.direct || below_base(entry.position)) {
      add_odd(header, follower, entry);
    } else {
      add(header, follower, static_cast<uint32_t>(entry.position.packed() - base_));
    }
  }
  if (!home.entries.empty()) oldest_held_ = std::min(oldest_held_, home.entries.front().position);
  if (bytes() > bytes_max_) make_room(follower);
}

// Returns false when it was dropped: the store is the shorter way. A row not above what has left it has left too:
// as many newer ones as are shown stood there then.
bool Timelines::take_in(EntityNo follower, const Deferred& deferred, const store::Reader& reader) {
  const Position synced = upto(headers_[follower.value()]);
  if (deferred.newest() <= synced) return true;
  std::vector<Position> rows;
  const Position now_upto = reader.position(bucket_);
  if (!deferred.collect(follower, synced, capacity_, reader, rows) || (!rows.empty() && below_base(rows.front()))) {
    ++taken_in_.given_up;
    drop(follower);
    return false;
  }
  make_base_for(now_upto);
  if (!contains(follower)) return false;
  Header& header = headers_[follower.value()];
  const Position left = view(follower).left();
  rows.erase(rows.begin(), std::upper_bound(rows.begin(), rows.end(), left));
  if (!rows.empty()) {
    const auto offset = [this](Position at) { return static_cast<uint32_t>(at.packed() - base_); };
    oldest_held_ = std::min(oldest_held_, rows.front());
    // Those above the oldest of the rows come out, and in again between them.
    std::vector<uint32_t> above;
    while (header.fill > 0 && line(header.newest).offsets[header.fill - 1] >= offset(rows.front())) {
      above.push_back(line(header.newest).offsets[header.fill - 1]);
      pop_newest(header, follower);
    }
    size_t repeats = 0;
    for (const Position row : rows) {
      const uint32_t at = offset(row);
      for (; !above.empty() && above.back() < at; above.pop_back()) add(header, follower, above.back());
      if (!above.empty() && above.back() == at && !planted("a switched leaf's rows are shown twice")) ++repeats;
      else add(header, follower, at);
    }
    for (; !above.empty(); above.pop_back()) add(header, follower, above.back());
    ++taken_in_.times;
    taken_in_.rows += rows.size() - repeats;
    taken_in_.repeats += repeats;
  }
  brought_up(follower, now_upto);
  return true;
}

void Timelines::brought_up(EntityNo follower, Position upto) {
  if (!contains(follower) || below_base(upto) || upto.packed() - base_ > UINT32_MAX) return;
  uint32_t& known = headers_[follower.value()].upto;
  known = std::max(known, static_cast<uint32_t>(upto.packed() - base_));
}

Position Timelines::all_brought_up() const {
  Position all(UINT64_MAX);
  for (const Header& header : headers_)
    if (header.newest != 0) all = std::min(all, upto(header));
  return all;
}

size_t Timelines::append_all(const uint32_t* followers, size_t n, Position at) {
  if (homes_ == 0 || n == 0) return 0;
  make_base_for(at);
  ASSERT(!below_base(at));
  if (homes_ == 0) return 0;
  const auto offset = static_cast<uint32_t>(at.packed() - base_);
  oldest_held_ = std::min(oldest_held_, at);
  const bool out_of_order = planted("warm list out of order");
  Header* const headers = headers_.data();
  const size_t known = headers_.size();
  size_t written = 0;
  for (size_t i = 0; i < n; ++i) {
    if (i + headers_ahead < n) __builtin_prefetch(headers + std::min<size_t>(followers[i + headers_ahead], known - 1), 1);
    if (i + lines_ahead < n && followers[i + lines_ahead] < known) __builtin_prefetch(&line(headers[followers[i + lines_ahead]].newest), 1);
    const uint32_t follower = followers[i];
    if (follower >= known) continue;
    Header& header = headers[follower];
    if (header.newest == 0) continue;
    add(header, EntityNo(follower), offset);
    ++written;
    if (out_of_order && header.count % 5 == 0 && header.fill > 1) {
      auto& offsets = line(header.newest).offsets;
      std::swap(offsets[header.fill - 1], offsets[header.fill - 2]);
    }
  }
  return written;
}

Position Timelines::append(EntityNo follower, const HomeEntry& entry) {
  const Position previous = view(follower).newest();
  ASSERT(previous < entry.position);
  if (entry.backfilled || entry.direct) {
    oldest_held_ = std::min(oldest_held_, entry.position);
    add_odd(headers_[follower.value()], follower, entry);
    if (bytes() > bytes_max_) make_room(follower);
  } else {
    const uint32_t no = follower.value();
    append_all(&no, 1, entry.position);
  }
  return previous;
}

std::optional<Timelines::Found> Timelines::find(EntityNo follower, Position position, uint64_t& lines) const {
  const Header& header = headers_[follower.value()];
  if (header.odd) {
    const auto& odd = odd_.at(follower.value());
    const auto at = std::lower_bound(odd.begin(), odd.end(), position, [](const HomeEntry& e, Position p) { return e.position < p; });
    if (at != odd.end() && at->position == position) return Found{0, 0, static_cast<size_t>(at - odd.begin())};
  }
  if (below_base(position) || position.packed() - base_ > UINT32_MAX) return std::nullopt;
  const auto offset = static_cast<uint32_t>(position.packed() - base_);
  uint32_t in = header.newest, fill = header.fill;
  // Retractions are mostly of the newest entries or, one after another, of the oldest: no walk over all lines for these.
  if (header.oldest != in && line(header.oldest).offsets[Line::entries - 1] >= offset) in = header.oldest, fill = Line::entries;
  while (line(in).prev != 0 && (fill == 0 || line(in).offsets[0] > offset)) {
    in = line(in).prev;
    fill = Line::entries;
    ++lines;
  }
  for (uint32_t k = 0; k < fill; ++k)
    if (line(in).offsets[k] == offset) return Found{in, k, {}};
  return std::nullopt;
}

// What has left stays in its line until all of that has.
bool Timelines::shown(EntityNo follower, Position position) const {
  return position > view(follower).left();
}

bool Timelines::holds(EntityNo follower, Position position) const {
  uint64_t lines = 0;
  return contains(follower) && find(follower, position, lines) && shown(follower, position);
}

bool Timelines::retract(EntityNo follower, Position position) {
  if (!contains(follower)) return false;
  uint64_t lines = 0;
  const auto found = find(follower, position, lines);
  lines_gone_through_ += lines;
  if (!found || !shown(follower, position)) return false;
  if (!view(follower).left().zero()) {
    drop(follower);
    return true;
  }
  Header& header = headers_[follower.value()];
  if (!found->odd) {
    const uint64_t moved = take_out(header, follower, found->line, found->k);
    lines_gone_through_ += moved - std::min(moved, lines);  // the same ones again are in the cache
    return true;
  }
  auto& odd = odd_.at(follower.value());
  odd.erase(odd.begin() + static_cast<ptrdiff_t>(*found->odd));
  --odd_entries_, --entries_;
  if (odd.empty()) {
    odd_.erase(follower.value());
    header.odd = false;
  }
  return true;
}

void Timelines::drop(EntityNo follower) {
  if (!contains(follower)) return;
  Header& header = headers_[follower.value()];
  entries_ -= std::min(total(header, follower), capacity_);
  lines_used_ -= std::max<size_t>(1, (header.count + Line::entries - 1) / Line::entries);
  line(header.newest).next = free_;
  free_ = header.oldest;
  if (header.odd) {
    const auto odd = odd_.find(follower.value());
    odd_entries_ -= odd->second.size();
    odd_.erase(odd);
  }
  const uint16_t reads = header.reads;
  header = Header();
  header.reads = reads;
  if (--homes_ == 0) drop_all();
}

void Timelines::drop_with_entries_below(Position horizon) {
  if (homes_ == 0 || oldest_held_ >= horizon) return;
  Position oldest(UINT64_MAX);
  for (uint32_t no = 0; no < headers_.size(); ++no) {
    const Header& header = headers_[no];
    if (header.newest == 0) continue;
    Position first(UINT64_MAX);
    if (header.count > 0) first = Position(base_ + line(header.oldest).offsets[0]);
    if (header.odd) first = std::min(first, odd_.at(no).front().position);
    if (first >= horizon) oldest = std::min(oldest, first);
    else drop(EntityNo(no));
  }
  oldest_held_ = oldest;
}

// Gives all memory back.
void Timelines::drop_all() {
  headers_ = std::vector<Header>();
  odd_.clear();
  blocks_ = std::vector<std::unique_ptr<Line[]>>();
  free_ = 0;
  fresh_ = 1;
  base_ = 0;
  lines_used_ = homes_ = entries_ = odd_entries_ = 0;
}

void Timelines::drop_unused(Now now, const std::function<bool(EntityNo)>& keep) {
  for (uint32_t no = 0; no < headers_.size(); ++no)
    if (headers_[no].newest != 0 && now.instant.us - int64_t{headers_[no].read_s} * 1'000'000 > window_.us && !keep(EntityNo(no)))
      drop(EntityNo(no));
}

// Drops the coldest half of the timelines (but one): rare, so a sort is cheap enough. What is
// dropped is a cache; whoever tails it reads it again from the store.
void Timelines::make_room(EntityNo keep) {
  const size_t headers = headers_.capacity() * sizeof(Header);
  const size_t half = bytes_max_ > headers ? (bytes_max_ - headers) / 2 : 0;
  std::vector<std::pair<uint32_t, EntityNo>> by_age;
  for (uint32_t no = 0; no < headers_.size(); ++no)
    if (headers_[no].newest != 0 && EntityNo(no) != keep) by_age.emplace_back(headers_[no].read_s, EntityNo(no));
  std::sort(by_age.begin(), by_age.end());
  for (const auto& [age, no] : by_age) {
    if (lines_used_ * sizeof(Line) + odd_entries_ * sizeof(HomeEntry) <= half) break;
    drop(no);
  }
}

void Timelines::check(const Deferred& deferred, const store::Reader& reader) const {
  size_t entries = 0, odd_entries = 0, homes = 0, lines = 0;
  for (uint32_t no = 0; no < headers_.size(); ++no) {
    const Header& header = headers_[no];
    if (header.newest == 0) continue;
    const View warm = view(EntityNo(no));
    ++homes;
    entries += warm.size();
    odd_entries += warm.odd_ ? warm.odd_->size() : 0;
    uint32_t count = header.fill;
    for (uint32_t in = header.newest; ++lines, in != header.oldest; in = line(in).prev) {
      ASSERT(line(line(in).prev).next == in);
      count += Line::entries;
    }
    ASSERT(count == header.count && line(header.oldest).prev == 0);
    const Home cold = read_home(bucket_, EntityNo(no), capacity_, reader);
    std::map<Position, Shown> all;  // with what it will take in
    std::vector<Position> rows;
    ASSERT(deferred.collect(EntityNo(no), upto(header), SIZE_MAX, reader, rows));
    Position left = warm.left();
    for (const Position row : rows)
      if (row > left) all.emplace(row, Shown{row});
    warm.up(Position(), [&](const Shown& shown) {
      ASSERT(shown.position >= oldest_held_);
      all.insert_or_assign(shown.position, shown);
      return true;
    });
    for (; all.size() > capacity_; all.erase(all.begin())) left = all.begin()->first;
    ASSERT(all.size() == cold.entries.size() && left >= cold.left && upto(header) <= reader.position(bucket_));
    auto entry = cold.entries.begin();
    for (const auto& [position, shown] : all) {
      ASSERT(position == entry->position && warm.entry(shown, reader).ref == entry->ref && shown.backfilled() == entry->backfilled);
      ++entry;
    }
  }
  ASSERT(entries == entries_ && odd_entries == odd_entries_ && homes == homes_ && lines == lines_used_);
}

}  // namespace canopy::leaf
