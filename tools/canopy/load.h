// canopy load: what its two kinds share.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "args.h"
#include "progress.h"

namespace canopy::console {

struct LoadArgs {
  std::string file;
  bool publish = false;
  size_t batch = 0;      // 0: 1000 follows, 100 messages
  size_t in_flight = 8;  // requests
  double rate = 0;       // edges or messages a second; 0: as fast as it goes
  std::chrono::milliseconds patience{120'000};  // to go on without any progress
  bool quiet = false;
};

// A file read line by line, "-" for stdin, with what is known about how far it is.
class LineFile {
 public:
  // Returns an error text, or "".
  std::string open(const std::string& name);
  // Returns false at the end. `line` has no line end.
  bool next(std::string& line);
  bool failed() const { return failed_; }  // the end came by an error
  uint64_t line_number() const { return line_number_; }  // of the line returned last; the first is 1
  double fraction() const;                               // read so far; negative when not known

 private:
  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdin) std::fclose(file);
    }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::vector<char> buffer_;
  size_t at_ = 0, end_ = 0;
  uint64_t size_ = 0, read_ = 0, line_number_ = 0;
  bool failed_ = false;
};

// What went wrong, counted, with the first few reasons.
class Reasons {
 public:
  void add(const std::string& reason, uint64_t count = 1);
  uint64_t count() const { return count_; }
  const std::vector<std::string>& first() const { return first_; }

 private:
  uint64_t count_ = 0;
  std::vector<std::string> first_;
};

// A pace of so many a second. 0: none.
class Pace {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Pace(double rate) : rate_(rate), next_(Clock::now()) {}
  bool allows() const { return rate_ <= 0 || Clock::now() >= next_; }
  void count(size_t n);

 private:
  double rate_;
  Clock::time_point next_;
};

bool worth_another_try(client::Code code);
std::string reason_of(const client::Error& error);  // "BAD_REQUEST: author: …"
void nap(std::chrono::milliseconds time);           // a signal ends it

int load_follows(const Globals& globals, const LoadArgs& args);
int load_messages(const Globals& globals, const LoadArgs& args);

}  // namespace canopy::console
