// What happened in a run: a hash of all of it, and the last lines. Two runs of one seed have the same.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/time.h"

namespace canopy::sim {

class Trace {
 public:
  // `what` must live as long as the trace: a literal. Lines are put into words only when printed.
  void add(Instant at, const char* what, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0);
  uint64_t hash() const { return hash_; }
  uint64_t lines() const { return lines_; }
  Instant last_at() const { return last_at_; }
  void print_all_to(std::FILE* out) { live_ = out; }
  void print_last(std::FILE* out, uint64_t lines) const;

 private:
  struct Line {
    Instant at;
    const char* what = "";
    uint64_t a = 0, b = 0, c = 0;
  };
  static void print(std::FILE* out, const Line& line);

  uint64_t hash_ = 0xcbf29ce484222325, lines_ = 0;
  Instant last_at_;
  std::array<Line, 512> ring_;
  std::FILE* live_ = nullptr;
};

// A rule of DESIGN.md was broken: the run ends with it.
class Violation : public std::runtime_error {
 public:
  Violation(std::string rule, const std::string& detail)
      : std::runtime_error(rule + ": " + detail), rule_(std::move(rule)) {}
  const std::string& rule() const { return rule_; }

 private:
  std::string rule_;
};

}  // namespace canopy::sim
