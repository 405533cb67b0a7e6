// canopy-bench read: READs of timelines in memory, many in flight, beside bare ZeroMQ with the same sizes; and of timelines
// that are not in memory.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bare.h"
#include "graph_options.h"
#include "packer.h"
#include "stages.h"
#include "stop.h"
#include "text.h"

namespace canopy::bench {
namespace {

struct ReadOptions {
  GraphOptions graph{.users = 20'000, .follows = 4};
  double seconds = 5;
  size_t in_flight = 256, body = 100;
  uint32_t limit = 50;
  uint32_t cold_readers = 500, cold_authors = 400;
  bool cold = true, warm = true;
};

// READs of users drawn at random. Each answer is OK and as long as the entries that it must hold; one in a thousand is
// decoded and counted.
class Reads final : public Source {
 public:
  Reads(const Graph& graph, const ReadOptions& options, uint64_t seed)
      : graph_(graph), options_(options), dice_(seed),
        until_(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds))) {}

  Next next(Frames& frames) override {
    if (Clock::now() >= until_) return Next::end;
    write(frames);
    return Next::request;
  }
  void write(Frames& frames) {
    frames.verb = "READ";
    Packer args(frames.args);
    args.map(2), args.text("limit"), args.number(options_.limit);
    args.text("entity"), args.text(graph_.user(dice_.below(graph_.users)));
  }

  std::optional<std::chrono::milliseconds> on_reply(Frames& frames, bool ok, std::string_view result) override {
    if (!ok || result.size() < options_.limit * options_.body) check(frames, ok, result);
    if (++done_ % 1000 == 1) check(frames, ok, result);
    bytes_ += result.size();
    return std::nullopt;
  }
  uint64_t done() const { return done_; }
  size_t reply_bytes() const { return done_ ? static_cast<size_t>(bytes_ / done_) : 0; }

 private:
  void check(const Frames& frames, bool ok, std::string_view result) const {
    const auto reply = wire::decode_reply(frames.verb, ok ? "OK" : "ERR", result);
    if (!reply) throw Stop("READ: " + reply.error().message);
    if (const auto* error = std::get_if<Error>(&*reply)) throw Stop(fmt::format("READ: {}: {}", code_name(error->code), error->message));
    const auto& page = std::get<wire::TimelinePage>(std::get<wire::ReadResult>(*reply).pages.at(0));
    if (page.entries.size() != options_.limit)
      throw Stop(fmt::format("a READ has {} entries instead of {}", page.entries.size(), options_.limit));
  }
  const Graph& graph_;
  const ReadOptions& options_;
  Dice dice_;
  const Clock::time_point until_;
  uint64_t done_ = 0, bytes_ = 0;
};

// Follows, and so many messages of each author; returns when all is delivered.
void fill(const Bench& bench, Fabric& fabric, const Graph& graph, Messages& messages, uint64_t of_each) {
  bench.step(fmt::format("{} follows, {} messages", graph.edges(), of_each * graph.authors()));
  load_follows(bench, fabric, graph);
  publish(bench, fabric, graph, messages, {.most = of_each * graph.authors(), .batch = 100, .in_flight = 4});
  wait_delivered(fabric, graph, messages, last_deliveries(graph, messages, fabric.options().bucket_count, 100, 1));
}

void measure_warm(Bench& bench, const ReadOptions& options) {
  const Graph graph = make_graph(options.graph, bench.options.seed);
  Fabric fabric(bench.options.fabric);
  Messages messages{.body = options.body, .authors = graph.authors()};
  fill(bench, fabric, graph, messages, (options.limit + options.graph.follows - 1) / options.graph.follows);
  read_once(bench, fabric, graph);
  settle(fabric);

  bench.step("reading");
  Driver driver(fabric.endpoints());
  Reads reads(graph, options, bench.options.seed);
  Bar bar(bench, "reads", 0);
  const Usage before = fabric.usage();
  const double client_before = own_usage().cpu_s;
  const auto begin = Clock::now();
  const DriverResult result = driver.run(reads, {.in_flight = options.in_flight, .tick = [&] { bar.show(reads.done()); }});
  const double seconds = seconds_since(begin), cpu = fabric.usage().cpu_s - before.cpu_s, client = own_usage().cpu_s - client_before;
  Frames request;
  reads.write(request);
  bench.step("bare ZeroMQ");
  const double bare = bare_rate(request, reads.reply_bytes(), options.in_flight, std::min(options.seconds, 3.0));

  Report& report = bench.report;
  const double rate = static_cast<double>(result.requests) / seconds;
  report.heading(fmt::format("READ of {} entries with bodies of {} bytes, in memory", options.limit, options.body));
  report.number("READ/s", rate, "1/s", fmt::format("{} in flight, replies of {} bytes", options.in_flight, reads.reply_bytes()));
  report.number("READs per CPU-second of the nodes", static_cast<double>(result.requests) / std::max(cpu, 0.01), "1/s");
  report.number("cores that the nodes used", cpu / seconds, "");
  report.number("cores that this load used", client / seconds, "");
  report.times("READ -> answered, at this load", result.ms);
  report.number("bare ZeroMQ, the same sizes", bare, "1/s", "DEALER and ROUTER, both ends here");
  report.number("... Canopy's share of it", 100 * rate / bare, "%");
}

void measure_cold(Bench& bench, const ReadOptions& options) {
  // Each author has a fifth of the readers: there are five times as many authors as one reader follows.
  const uint32_t users = options.cold_readers / 5 * 5;
  const Graph graph = uniform_graph(users, users / 5, options.cold_authors, bench.options.seed);
  Fabric fabric(bench.options.fabric);
  Messages messages{.body = options.body, .authors = graph.authors()};
  fill(bench, fabric, graph, messages, 2);
  settle(fabric);
  bench.step("again from the disk, and reading each once");
  fabric.stop();
  const auto begin = Clock::now();
  fabric.start();
  const double start_s = seconds_since(begin);
  Samples cold, warm;
  for (Samples* samples : {&cold, &warm})
    for (uint32_t user = 0; user < graph.users; ++user) {
      wire::Read read;
      read.entities = {graph.user(user)};
      read.limit = options.limit;
      const Frames frames = frames_of(read);
      const auto sent = Clock::now();
      fabric.dealer().send(user, frames);
      uint32_t tag = 0;
      bool ok = false;
      std::string_view result;
      while (!fabric.dealer().receive(tag, ok, result) || tag != user) {
        stop_if_interrupted();
        fabric.dealer().wait(std::chrono::milliseconds(50));
      }
      samples->add(ms_since(sent));
      if (!ok || result.size() < options.limit * options.body) throw Stop("a cold READ was refused or too short");
    }
  Report& report = bench.report;
  report.heading(fmt::format("READ of a timeline that is not in memory, {} authors followed", options.cold_authors));
  report.times("cold READ", cold, "the first after a restart, one at a time; the kernel may have the file in its cache");
  report.times("the same READ again", warm);
  report.number("start until ready", start_s, "s");
  const std::string differs = compare_sample(fabric, graph, messages, 20, 800, bench.options.seed);
  report.check("timelines are exact", differs.empty(), differs.empty() ? "20 drawn at random, compared" : differs);
}

}  // namespace

void add_read(CLI::App& app, Action& action) {
  auto options = std::make_shared<ReadOptions>();
  auto warm_only = std::make_shared<bool>(false), cold_only = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("read", "READs a second of timelines in memory, and cold ones");
  add_graph_options(*command, options->graph);
  command->add_option("--seconds", options->seconds, "of reading")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--in-flight", options->in_flight, "requests at a time")->check(CLI::Range(1, 10'000))->capture_default_str();
  command->add_option("--read-body", options->body, "bytes of a message here")->check(CLI::Range(16, 100'000))->capture_default_str();
  command->add_option("--limit", options->limit, "entries of a READ")->check(CLI::Range(1, 800))->capture_default_str();
  command->add_option("--cold-readers", options->cold_readers, "cold READs")->check(CLI::Range(5, 100'000))->capture_default_str();
  command->add_option("--cold-authors", options->cold_authors, "that each of these follows")->check(CLI::Range(1, 10'000))->capture_default_str();
  auto* only = command->add_flag("--warm-only", *warm_only, "no cold READs");
  command->add_flag("--cold-only", *cold_only, "only these")->excludes(only);
  command->callback([=, &action] {
    options->warm = !*cold_only, options->cold = !*warm_only;
    action = [=](Bench& bench) {
      if (options->warm) measure_warm(bench, *options);
      if (options->cold) measure_cold(bench, *options);
    };
  });
}

}  // namespace canopy::bench
