// canopy export: an entity as JSON lines, page by page. What is published meanwhile may be in it or not.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "args.h"
#include "entries.h"
#include "json.h"
#include "portable.h"
#include "progress.h"
#include "text.h"

namespace canopy::console {
namespace {

using client::Client;
using client::Error;

constexpr uint32_t page_size = 1000;

// A file that has its name only when it is whole; "-" is stdout.
class WholeFile {
 public:
  explicit WholeFile(std::string name) : name_(std::move(name)), part_(name_ + ".part") {}
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;
  ~WholeFile() {
    if (!file_ || file_ == stdout) return;
    std::fclose(file_);
    if (part_ != name_) std::remove(part_.c_str());
  }
  // Each returns an error text, or "".
  std::string open() {
    struct stat about {};
    if (name_ != "-" && stat(name_.c_str(), &about) == 0 && !S_ISREG(about.st_mode)) part_ = name_;  // a pipe, a device
    file_ = name_ == "-" ? stdout : std::fopen(part_.c_str(), "wb");
    return file_ ? "" : failure(part_);
  }
  std::string write(const std::string& line) {
    if (std::fwrite(line.data(), 1, line.size(), file_) == line.size() && std::fputc('\n', file_) != EOF) return {};
    return failure(name_);
  }
  std::string finish() {
    if (std::fflush(file_) != 0) return failure(name_);
    if (file_ == stdout) return {};
    if (fsync(fileno(file_)) != 0 && errno != EINVAL) return failure(part_);
    if (part_ != name_ && std::rename(part_.c_str(), name_.c_str()) != 0) return failure(name_);
    std::fclose(std::exchange(file_, nullptr));
    return {};
  }

 private:
  static std::string failure(const std::string& name) { return fmt::format("{}: {}", name, std::strerror(errno)); }
  std::string name_, part_;
  std::FILE* file_ = nullptr;
};

struct ExportArgs {
  std::string entity, file = "-";
  bool quiet = false;
};

class Export {
 public:
  Export(const Globals& globals, const ExportArgs& args, Client& client, WholeFile& file)
      : globals_(globals), args_(args), client_(client), file_(file),
        // A bar between lines on the same terminal would be in their way.
        progress_(globals.err, args.quiet || (args.file == "-" && globals.out.tty)) {}

  int run() {
    const auto place = client_.lookup(args_.entity);  // also says whether anybody is there, before a file is
    if (!place) return complain(globals_, place.error());
    if (!write(ExportHeader{place->entity})) return fail();  // by its first name
    if (!edges("follows", &Client::following, [](std::string name) { return ExportedFollow{std::move(name)}; })) return fail();
    if (!edges("followers", &Client::followers, [](std::string name) { return ExportedFollower{std::move(name)}; })) return fail();
    // `sent` is what an import can use; what others said stands below it.
    for (const char* timeline : {"sent", "mentions", "replies", "topic", "home"})
      if (!list(timeline)) return fail();
    if (!write(ExportEnd{lines_})) return fail();
    if (wrong_ = file_.finish(); !wrong_.empty()) return fail();
    progress_.clear();
    return report();
  }

 private:
  using Ask = client::Result<client::Names> (Client::*)(std::string, uint32_t, client::Cursor);
  static constexpr double phases = 7;

  // Each returns false when the export ends here: error_, wrong_ or a signal says why.
  bool write(const ExportLine& line) {
    wrong_ = file_.write(write_export_line(line));
    ++lines_;
    return wrong_.empty();
  }

  template <class Line>
  bool edges(const char* what, Ask ask, Line line) {
    uint64_t& count = counts_.emplace_back(what, 0).second;
    client::Cursor after = 0;
    for (bool more = true; more;) {
      auto page = (client_.*ask)(args_.entity, page_size, after);
      if (!page) return refused(page.error());
      for (std::string& name : page->names)
        if (!write(line(std::move(name)))) return false;
      count += page->names.size();
      more = page->next.has_value();
      after = page->next.value_or(0);
      if (!show(page->count ? static_cast<double>(count) / static_cast<double>(page->count) : 1)) return false;
    }
    ++phase_;
    return true;
  }

  bool list(const char* name) {
    uint64_t& count = counts_.emplace_back(name, 0).second;
    client::Read read{args_.entity, client::Timeline::home, 1};
    parse_timeline(name, read.timeline);
    // How far a list is, is told by its positions.
    const auto newest = client_.read(read);
    if (!newest) return refused(newest.error());
    const client::Position end = newest->entries.empty() ? 0 : newest->entries.front().position;
    std::optional<client::Position> begin;
    read.limit = page_size;
    read.after = 0;
    while (*read.after < end) {
      auto page = client_.read(read);
      if (!page) return refused(page.error());
      if (page->entries.empty()) break;
      for (const std::string& author : page->incomplete) incomplete_ = author;
      for (client::Entry& entry : page->entries) {
        if (!begin) begin = entry.position;
        read.after = entry.position;
        if (!write(ExportedEntry{name, std::move(entry)})) return false;
        ++count;
      }
      if (!show(end > *begin ? static_cast<double>(*read.after - *begin) / static_cast<double>(end - *begin) : 1)) return false;
    }
    ++phase_;
    return true;
  }

  bool refused(const Error& error) {
    error_ = error;
    return false;
  }

  // Also where a signal is seen.
  bool show(double of_phase) {
    if (progress_.due()) {
      rate_.add(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count(), lines_);
      ProgressState state;
      state.fraction = (phase_ + std::clamp(of_phase, 0.0, 1.0)) / phases;
      state.done = lines_;
      state.unit = "lines";
      state.rate = rate_.now();
      progress_.show(state);
    }
    return !interrupted();
  }

  int fail() {
    progress_.clear();
    if (error_) return complain(globals_, *error_);
    if (!wrong_.empty()) return complain_usage(wrong_);
    warn(globals_, "interrupted; nothing is exported");
    return exit_refused;
  }

  int report() {
    if (!incomplete_.empty()) warn(globals_, "home may lack entries, not reached just now: " + incomplete_);
    if (args_.file == "-") return exit_ok;
    if (globals_.json) {
      std::vector<std::pair<std::string, JsonValue>> fields{{"entity", args_.entity}};
      for (const auto& [what, count] : counts_) fields.emplace_back(what, count);
      say(json_object(fields));
      return exit_ok;
    }
    Table table({{"what"}, {"count", Align::right}});
    for (const auto& [what, count] : counts_) table.add({what, grouped(count)});
    say(table.render(globals_.out, false));
    return exit_ok;
  }

  const Globals& globals_;
  const ExportArgs& args_;
  Client& client_;
  WholeFile& file_;
  Progress progress_;
  Rate rate_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::vector<std::pair<std::string, uint64_t>> counts_;
  uint64_t lines_ = 0;
  double phase_ = 0;
  std::optional<Error> error_;
  std::string wrong_, incomplete_;
};

int run_export(const Globals& globals, const ExportArgs& args) {
  arm_interrupt();
  WholeFile file(args.file);
  if (const std::string error = file.open(); !error.empty()) return complain_usage(error);
  return with_client(globals, [&](Client& client) { return Export(globals, args, client, file).run(); });
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  auto args = std::make_shared<ExportArgs>();
  CLI::App* command = app.add_subcommand("export", "Write an entity, its edges and lists, as JSON lines");
  command->add_option("ENTITY", args->entity, "who")->required();
  command->add_option("FILE", args->file, "where to; '-' or nothing: stdout");
  command->add_flag("--quiet", args->quiet, "no progress");
  command->footer(R"(Examples:
  canopy export alice alice.jsonl
  canopy export alice | gzip > alice.jsonl.gz
  canopy export alice | jq -r 'select(.timeline == "sent").entry.body'

A header, whom it follows, its followers, then sent, mentions, replies, topic and home, oldest first;
bodies that are not UTF-8 as base64. Aliases, forwards, markers and retention are not in it. FILE has its
name only when it is whole.)");
  command->callback([args, &action] { action = [args](const Globals& globals) { return run_export(globals, *args); }; });
}

}  // namespace canopy::console
