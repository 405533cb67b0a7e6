#include "store/mem_backend.h"

#include "base/assert.h"

namespace canopy::store {

MemBackend::MemBackend(Image image) : rows_(std::move(image)) {
  for (const Rows& rows : rows_)
    for (const auto& [key, value] : rows) bytes_used_ += key.size() + value.size();
}

std::optional<std::string> MemBackend::get(Space space, std::string_view key) const {
  const auto at = rows(space).find(key);
  return at == rows(space).end() ? std::nullopt : std::optional(at->second);
}

void MemBackend::scan(Space space, std::string_view from, std::string_view to, const Visit& visit) const {
  for (auto at = rows(space).lower_bound(from); at != rows(space).end() && at->first < to; ++at)
    if (!visit(at->first, at->second)) return;
}

void MemBackend::scan_back(Space space, std::string_view from, std::string_view to, const Visit& visit) const {
  auto at = rows(space).lower_bound(to);
  while (at != rows(space).begin() && (--at)->first >= from)
    if (!visit(at->first, at->second)) return;
}

Result<void> MemBackend::begin() {
  ASSERT(!open_);
  open_ = true;
  bytes_before_ = bytes_used_;
  return {};
}

Result<void> MemBackend::put(Space space, std::string_view key, std::string_view value) {
  ASSERT(open_);
  if (bytes_used_ + key.size() + value.size() > bytes_total_) return failure(Code::busy, "store: full");
  const auto [at, added] = rows(space).try_emplace(std::string(key), value);
  if (added) {
    undo_.push_back({space, at->first, std::nullopt});
    bytes_used_ += key.size() + value.size();
  } else {
    bytes_used_ += value.size();
    bytes_used_ -= at->second.size();
    undo_.push_back({space, at->first, std::move(at->second)});
    at->second = std::string(value);
  }
  return {};
}

Result<void> MemBackend::erase(Space space, std::string_view key) {
  ASSERT(open_);
  const auto at = rows(space).find(key);
  if (at == rows(space).end()) return {};
  bytes_used_ -= at->first.size() + at->second.size();
  undo_.push_back({space, at->first, std::move(at->second)});
  rows(space).erase(at);
  return {};
}

Result<void> MemBackend::commit() {
  ASSERT(open_);
  if (failures_ > 0) {
    --failures_;
    if (!failure_durable_) abort();
    open_ = false;
    undo_.clear();
    return failure(failure_code_, "store: a failure was asked for");
  }
  open_ = false;
  undo_.clear();
  ++commits_;
  return {};
}

void MemBackend::abort() {
  if (!open_) return;
  undo(rows_);
  undo_.clear();
  bytes_used_ = bytes_before_;
  open_ = false;
}

void MemBackend::undo(Image& image) const {
  for (auto last = undo_.rbegin(); last != undo_.rend(); ++last) {
    Rows& rows = image[static_cast<size_t>(last->space)];
    if (last->before) {
      rows.insert_or_assign(last->key, *last->before);
    } else {
      rows.erase(last->key);
    }
  }
}

MemBackend::Image MemBackend::image() const {
  Image image = rows_;
  undo(image);
  return image;
}

void MemBackend::fail_commits(int count, Code code, bool durable) {
  ASSERT(!durable || code != Code::busy);
  failures_ = count;
  failure_code_ = code;
  failure_durable_ = durable;
}

}  // namespace canopy::store
