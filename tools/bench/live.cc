// canopy-bench live: what followers that listen to their homes get, as it happens.
#include <CLI/CLI.hpp>
#include <atomic>
#include <fmt/format.h>
#include <thread>

#include "graph_options.h"
#include "stages.h"
#include "stop.h"
#include "text.h"

namespace canopy::bench {
namespace {

using namespace std::chrono_literals;
using console::grouped;

struct LiveOptions {
  GraphOptions graph{.users = 400, .follows = 4};
  double seconds = 3;
  size_t batch = 10, in_flight = 4;
};

// Listens to every home, in a thread of its own; counts what comes.
class Listener {
 public:
  Listener(const std::string& endpoint, const Graph& graph) : endpoint_(endpoint), graph_(graph), thread_([this] { listen(); }) {}
  ~Listener() {
    ended_ = true;
    thread_.join();
  }
  uint64_t beats() const { return beats_; }
  uint64_t entries() const { return entries_; }

 private:
  void listen() {
    zmq::socket_t socket(context(), zmq::socket_type::sub);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::rcvhwm, 0);
    socket.set(zmq::sockopt::rcvtimeo, 50);
    socket.connect(endpoint_);
    for (uint32_t user = 0; user < graph_.users; ++user) socket.set(zmq::sockopt::subscribe, wire::feed_topic(wire::Timeline::home, graph_.user(user)));
    zmq::message_t topic, head, body;
    while (!ended_) {
      if (!socket.recv(topic) || !socket.recv(head) || !socket.recv(body)) continue;
      ++(body.size() > 0 ? entries_ : beats_);
    }
  }
  const std::string endpoint_;
  const Graph& graph_;
  std::atomic<uint64_t> beats_{0}, entries_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

void measure(Bench& bench, const LiveOptions& options) {
  if (bench.options.fabric.nodes != 1) throw Stop("--nodes: live feeds come from the node that owns the entity; 1 here");
  const Graph graph = make_graph(options.graph, bench.options.seed);
  Fabric fabric(bench.options.fabric);
  Messages messages{.body = bench.options.body, .authors = graph.authors()};
  load_follows(bench, fabric, graph);
  publish(bench, fabric, graph, messages, {.most = messages.authors, .batch = 10, .in_flight = 4});
  wait_delivered(fabric, graph, messages, last_deliveries(graph, messages, fabric.options().bucket_count, 100, 1));
  read_once(bench, fabric, graph);
  Listener listener(fabric.feed(), graph);
  for (const auto begin = Clock::now(); listener.beats() < graph.users; std::this_thread::sleep_for(10ms)) {
    stop_if_interrupted();
    if (Clock::now() - begin > 30s) throw Stop("not every subscription has had its first beat");
  }
  bench.step(fmt::format("{} homes listened to, publishing", graph.users));
  const uint64_t from = messages.published;
  const Usage before = fabric.usage();
  const auto begin = Clock::now();
  publish(bench, fabric, graph, messages, {.most = UINT32_MAX, .seconds = options.seconds, .batch = options.batch, .in_flight = options.in_flight});
  const uint64_t wanted = deliveries(graph, messages, from, messages.published);
  uint64_t came = 0;
  auto last = Clock::now();
  while (came < wanted && Clock::now() - last < 3s) {
    stop_if_interrupted();
    std::this_thread::sleep_for(1ms);
    if (listener.entries() != came) came = listener.entries(), last = Clock::now();
  }
  const double seconds = std::chrono::duration<double>(last - begin).count();
  const double cpu = fabric.usage().cpu_s - before.cpu_s;
  Report& report = bench.report;
  report.number("entries on live feeds", static_cast<double>(came) / seconds, "1/s", fmt::format("{} homes listened to by one subscriber", grouped(graph.users)));
  report.number("... per CPU-second of the nodes", static_cast<double>(came) / std::max(cpu, 0.01), "1/s");
  report.number("lost by this subscriber", 100 * (1 - static_cast<double>(came) / static_cast<double>(wanted)), "%",
                fmt::format("{} of {} came; who is slow sees the gap by prev", grouped(came), grouped(wanted)));
  const std::string differs = compare_sample(fabric, graph, messages, 50, 800, bench.options.seed);
  report.check("timelines are exact", differs.empty(), differs.empty() ? "50 drawn at random, compared" : differs);
}

}  // namespace

void add_live(CLI::App& app, Action& action) {
  auto options = std::make_shared<LiveOptions>();
  CLI::App* command = app.add_subcommand("live", "Entries a second on live feeds");
  add_graph_options(*command, options->graph);
  command->add_option("--seconds", options->seconds, "of publishing")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--batch", options->batch, "messages in a request")->check(CLI::Range(1, 1000))->capture_default_str();
  command->add_option("--in-flight", options->in_flight, "requests at a time")->check(CLI::Range(1, 1000))->capture_default_str();
  command->callback([=, &action] { action = [=](Bench& bench) { measure(bench, *options); }; });
}

}  // namespace canopy::bench
