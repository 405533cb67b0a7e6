// canopy-bench publish: small messages of authors without followers, singly and in batches, beside bare ZeroMQ.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bare.h"
#include "packer.h"
#include "stages.h"
#include "stop.h"
#include "text.h"
#include "wire/message.h"

namespace canopy::bench {
namespace {

using console::grouped;

struct PublishOptions {
  uint32_t authors = 1000;
  double seconds = 5;
  size_t small_body = 50, in_flight = 1024, batch = 100, batches_in_flight = 32;
};

// Reads the newest of `sent` of each author. Returns "" or what is wrong.
std::string compare_sent(Fabric& fabric, const Graph& graph, const Messages& messages) {
  for (size_t author = 0; author < graph.authors(); ++author) {
    wire::Read read;
    read.entities = {graph.author(author)};
    read.timeline = wire::Timeline::sent;
    read.limit = 1;
    const wire::Reply reply = fabric.dealer().call(read);
    const auto* result = std::get_if<wire::ReadResult>(&reply);
    const auto* page = result ? std::get_if<wire::TimelinePage>(&result->pages.at(0)) : nullptr;
    if (!page || page->entries.size() != 1) return graph.author(author) + " has sent nothing";
    const auto message = wire::decode_message(*page->entries[0].message);
    const auto number = message ? number_in(message->body) : std::nullopt;
    if (!number || messages.author_of(*number) != author || message->body != messages.body_of(*number))
      return graph.author(author) + " has sent something else";
  }
  return {};
}

void measure_one(Bench& bench, const PublishOptions& options, size_t batch, size_t in_flight, const std::string& heading) {
  Graph graph;
  graph.followers.resize(options.authors);
  Fabric fabric(bench.options.fabric);
  Messages messages{.body = options.small_body, .authors = graph.authors()};
  publish(bench, fabric, graph, messages, {.most = messages.authors, .batch = batch, .in_flight = in_flight});  // now all exist
  settle(fabric);
  bench.step("publishing: " + heading);
  const Usage before = fabric.usage();
  const double client_before = own_usage().cpu_s;
  const PublishResult result = publish(bench, fabric, graph, messages, {.most = UINT32_MAX, .seconds = options.seconds, .batch = batch, .in_flight = in_flight});
  const Usage after = fabric.usage();
  const double count = static_cast<double>(result.messages), cpu = after.cpu_s - before.cpu_s;
  Report& report = bench.report;
  report.heading(heading);
  report.number("publishes/s", count / result.seconds, "1/s",
                fmt::format("{} messages of {} bytes, {} authors, no followers", grouped(result.messages), options.small_body, options.authors));
  report.number("publishes per CPU-second of the nodes", count / std::max(cpu, 0.01), "1/s");
  report.number("cores that the nodes used", cpu / result.seconds, "");
  report.number("cores that this load used", (own_usage().cpu_s - client_before) / result.seconds, "");
  report.times("publish -> acknowledged, at this load", result.ms, fmt::format("{} requests in flight", in_flight));
  report.number("written to disk per message", static_cast<double>(settle(fabric).bytes_written - before.bytes_written) / count, "bytes");
  const uint64_t counted = await_counter(fabric, "publishes", messages.published);
  report.check("all publishes counted", counted == messages.published, fmt::format("{} of {}", grouped(counted), grouped(messages.published)));
  const std::string differs = compare_sent(fabric, graph, messages);
  report.check("the newest of each author is there", differs.empty(), differs);
}

void measure(Bench& bench, const PublishOptions& options) {
  measure_one(bench, options, 1, options.in_flight, "single PUBLISHes");
  Frames request;
  request.verb = "PUBLISH";
  Packer args(request.args);
  args.map(1), args.text("author"), args.text("a999");
  request.body.assign(options.small_body, 'x');
  request.has_body = true;
  bench.step("bare ZeroMQ");
  constexpr size_t reply_bytes = 22;  // {id, time}
  bench.report.number("bare ZeroMQ, the same sizes", bare_rate(request, reply_bytes, options.in_flight, std::min(options.seconds, 3.0)), "1/s",
                      "DEALER and ROUTER, both ends here");
  measure_one(bench, options, options.batch, options.batches_in_flight, fmt::format("batches of {}", options.batch));
}

}  // namespace

void add_publish(CLI::App& app, Action& action) {
  auto options = std::make_shared<PublishOptions>();
  CLI::App* command = app.add_subcommand("publish", "Publishes a second of authors without followers");
  command->add_option("--authors", options->authors, "so many")->check(CLI::Range(1u, 1'000'000u))->capture_default_str();
  command->add_option("--seconds", options->seconds, "each")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--small-body", options->small_body, "bytes of a message here")->check(CLI::Range(16, 100'000))->capture_default_str();
  command->add_option("--in-flight", options->in_flight, "single PUBLISHes at a time")->check(CLI::Range(1, 100'000))->capture_default_str();
  command->add_option("--batch", options->batch, "messages in a batch")->check(CLI::Range(2, 1000))->capture_default_str();
  command->add_option("--batches-in-flight", options->batches_in_flight, "at a time")->check(CLI::Range(1, 1000))->capture_default_str();
  command->callback([=, &action] { action = [=](Bench& bench) { measure(bench, *options); }; });
}

}  // namespace canopy::bench
