#include "load.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fmt/format.h>
#include <sys/stat.h>

#include "text.h"

namespace canopy::console {
namespace {
constexpr size_t buffer_bytes = 1 << 18;
constexpr size_t reasons_shown = 5;
}  // namespace

std::string LineFile::open(const std::string& name) {
  file_.reset(name == "-" ? stdin : std::fopen(name.c_str(), "rb"));
  if (!file_) return fmt::format("{}: {}", name, std::strerror(errno));
  struct stat about {};
  if (fstat(fileno(file_.get()), &about) == 0) {
    if (S_ISDIR(about.st_mode)) return fmt::format("{}: is a directory", name);
    if (S_ISREG(about.st_mode)) size_ = static_cast<uint64_t>(about.st_size);
  }
  buffer_.resize(buffer_bytes);
  return {};
}

bool LineFile::next(std::string& line) {
  line.clear();
  for (bool begun = false;; begun = true) {
    if (at_ == end_) {
      end_ = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
      at_ = 0;
      if (end_ == 0) {
        failed_ = std::ferror(file_.get()) != 0;
        if (!begun || line.empty()) return false;
        ++line_number_;  // the last line, without an end
        return true;
      }
    }
    const char* from = buffer_.data() + at_;
    const auto* end = static_cast<const char*>(std::memchr(from, '\n', end_ - at_));
    const size_t n = end ? static_cast<size_t>(end - from) : end_ - at_;
    line.append(from, n);
    at_ += n + (end ? 1 : 0);
    read_ += n + (end ? 1 : 0);
    if (end) {
      ++line_number_;
      return true;
    }
  }
}

double LineFile::fraction() const {
  return size_ == 0 ? -1 : std::min(1.0, static_cast<double>(read_) / static_cast<double>(size_));
}

void Reasons::add(const std::string& reason, uint64_t count) {
  count_ += count;
  if (first_.size() < reasons_shown && std::find(first_.begin(), first_.end(), reason) == first_.end())
    first_.push_back(reason);
}

void Pace::count(size_t n) {
  if (rate_ <= 0) return;
  // What was not used is not made up for, beyond a tenth of a second.
  next_ = std::max(next_, Clock::now() - std::chrono::milliseconds(100)) +
          std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(static_cast<double>(n) / rate_));
}

bool worth_another_try(client::Code code) {
  using client::Code;
  return code == Code::busy || code == Code::unavailable || code == Code::timeout || code == Code::no_answer ||
         code == Code::unreachable;
}

std::string reason_of(const client::Error& error) {
  const std::string code(name_of(error.code));
  return error.message.empty() || error.message == code ? code : code + ": " + error.message;
}

void nap(std::chrono::milliseconds time) {
  const auto ms = time.count();
  const timespec span{ms / 1000, static_cast<long>(ms % 1000) * 1'000'000};
  nanosleep(&span, nullptr);
}

void add_load(CLI::App& app, Action& action) {
  auto args = std::make_shared<LoadArgs>();
  auto patience = std::make_shared<std::string>("2m");
  CLI::App* load = app.add_subcommand("load", "Load a follow graph, or publish a file of messages");
  load->add_option("FILE", args->file, "one 'follower author' to a line, white space or a TAB between; '-': stdin")->required();
  load->add_flag("--publish", args->publish, "the file has messages: author<TAB>body");
  load->add_option("--batch", args->batch, "so many in one request: 1000 follows, 100 messages")->check(CLI::Range(size_t{1}, size_t{10'000}));
  load->add_option("--in-flight", args->in_flight, "requests at a time")->check(CLI::Range(size_t{1}, size_t{1000}))->capture_default_str();
  load->add_option("--rate", args->rate, "at most so many follows or messages a second")->check(CLI::NonNegativeNumber);
  load->add_option("--patience", *patience, "give up after so long without progress")->type_name("TIME")->capture_default_str();
  load->add_flag("--quiet", args->quiet, "no progress");
  load->footer(R"(Examples:
  canopy load graph.txt
  zcat twitter.gz | canopy load - --in-flight 16
  canopy load --publish messages.tsv --rate 500

A line that begins with '#' is a comment. Follows are safe to load again. Messages get keys of this
run, so that what has to be asked again is not published twice.)");
  load->callback([=, &action] {
    action = [=](const Globals& globals) {
      const auto parsed = parse_duration(*patience);
      if (!parsed || parsed->count() <= 0) return complain_usage(fmt::format("--patience '{}': give a time like 30s or 5m", *patience));
      args->patience = *parsed;
      if (args->publish && args->batch > 1000) return complain_usage("--batch: at most 1000 messages go in one request");
      arm_interrupt();
      return args->publish ? load_messages(globals, *args) : load_follows(globals, *args);
    };
  });
}

}  // namespace canopy::console
