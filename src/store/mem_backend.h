// The reference backend: two ordered maps in RAM, and what tests and the simulator need to do to a
// disk. It outlives the Store, as a disk outlives a process: destroy the Store, call crash(), open
// again.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/backend.h"

namespace canopy::store {

class MemBackend final : public Backend {
 public:
  using Rows = std::map<std::string, std::string, std::less<>>;
  using Image = std::array<Rows, 2>;  // by Space

  MemBackend() = default;
  explicit MemBackend(Image image);

  std::optional<std::string> get(Space space, std::string_view key) const override;
  void scan(Space space, std::string_view from, std::string_view to, const Visit& visit) const override;
  void scan_back(Space space, std::string_view from, std::string_view to, const Visit& visit) const override;
  Result<void> begin() override;
  Result<void> put(Space space, std::string_view key, std::string_view value) override;
  Result<void> erase(Space space, std::string_view key) override;
  Result<void> commit() override;
  void abort() override;
  uint64_t bytes_free() const override { return bytes_total_ - std::min(bytes_total_, bytes_used_); }
  uint64_t bytes_total() const override { return bytes_total_; }

  // ── hooks ──

  // What is durable: the last commit, without an open transaction.
  Image image() const;
  // The process dies: the open transaction is gone.
  void crash() { abort(); }
  // The next `count` commits fail with `code`. `durable`: what they wrote is kept all the same, as
  // after an error of the disk whose outcome nobody knows (never with busy).
  void fail_commits(int count, Code code, bool durable = false);
  // A put that would take more than `bytes` fails with busy.
  void set_bytes_total(uint64_t bytes) { bytes_total_ = bytes; }
  uint64_t commits() const { return commits_; }

 private:
  struct Undo {
    Space space;
    std::string key;
    std::optional<std::string> before;
  };
  Rows& rows(Space space) { return rows_[static_cast<size_t>(space)]; }
  const Rows& rows(Space space) const { return rows_[static_cast<size_t>(space)]; }
  void undo(Image& image) const;

  Image rows_;
  std::vector<Undo> undo_;
  bool open_ = false;
  uint64_t bytes_used_ = 0, bytes_before_ = 0;
  uint64_t bytes_total_ = uint64_t{1} << 40;
  uint64_t commits_ = 0;
  int failures_ = 0;
  Code failure_code_ = Code::busy;
  bool failure_durable_ = false;
};

}  // namespace canopy::store
