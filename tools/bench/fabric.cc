#include "fabric.h"

#include <arpa/inet.h>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <random>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "driver.h"
#include "stop.h"

namespace canopy::bench {
namespace {

using namespace std::chrono_literals;
constexpr auto ready_patience = 600s;  // a large store takes its time
constexpr size_t log_bytes_shown = 2000;

std::string made_directory(const std::string& parent) {
  std::string pattern = parent + "/canopy-bench-XXXXXX";
  if (!mkdtemp(pattern.data())) throw Stop(pattern + ": " + std::strerror(errno));
  return pattern;
}

}  // namespace

std::vector<uint16_t> free_ports(size_t count) {
  std::vector<uint16_t> ports;
  std::random_device chance;
  while (ports.size() < count) {
    const auto port = static_cast<uint16_t>(20000 + chance() % 12000);
    if (std::find(ports.begin(), ports.end(), port) != ports.end()) continue;
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) ports.push_back(port);
    close(probe);
  }
  return ports;
}

Fabric::Fabric(const FabricOptions& options) : options_(options), directory_(made_directory(options.directory)) {
  const auto ports = free_ports(4 * options.nodes);
  const auto endpoint = [&](size_t node, size_t which) { return fmt::format("tcp://127.0.0.1:{}", ports[4 * node + which]); };
  std::string seeds;
  for (size_t i = 0; i < options.nodes; ++i) seeds += fmt::format("{}\"{}\"", i ? "," : "", endpoint(i, 3));
  for (size_t i = 0; i < options.nodes; ++i) {
    Node node;
    node.endpoint = endpoint(i, 0), node.feed = endpoint(i, 1);
    node.log_file = fmt::format("{}/n{}.log", directory_, i + 1);
    std::vector<std::string> settings = {
        fmt::format("node.name=n{}", i + 1), fmt::format("node.data_dir={}/n{}", directory_, i + 1),
        "listen.client=" + node.endpoint, "listen.feed=" + node.feed, "listen.ingest=" + endpoint(i, 2),
        "listen.link=" + endpoint(i, 3), fmt::format("fabric.bucket_count={}", options.bucket_count),
        fmt::format("store.shards={}", options.shards)};
    if (options.nodes > 1) {
      settings.push_back("fabric.seeds=[" + seeds + "]");
      settings.push_back(fmt::format("fabric.bootstrap_expect={}", options.nodes));
    }
    settings.insert(settings.end(), options.settings.begin(), options.settings.end());
    node.command = {options.canopyd};
    for (const std::string& setting : settings) node.command.insert(node.command.end(), {"--set", setting});
    nodes_.push_back(std::move(node));
  }
  try {
    launch();
  } catch (...) {
    nodes_.clear();
    std::filesystem::remove_all(directory_);
    throw;
  }
}

Fabric::~Fabric() {
  nodes_.clear();  // ends the processes
  std::error_code ignored;
  if (options_.keep)
    fmt::print(stderr, "kept: {}\n", directory_);
  else
    std::filesystem::remove_all(directory_, ignored);
}

void Fabric::launch() {
  for (Node& node : nodes_) {
    node.process = std::make_unique<Process>(node.command, node.log_file);
    node.dealer = std::make_unique<Dealer>(node.endpoint);
  }
  for (Node& node : nodes_) wait_ready(node);
  if (nodes_.size() > 1) wait_linked();
}

void Fabric::wait_ready(Node& node) {
  const auto begin = Clock::now();
  // Those that are not answered yet when one is, are later: their tags must be nobody else's.
  for (uint32_t tag = 0x40000000u; Clock::now() - begin < ready_patience; ++tag) {
    stop_if_interrupted();
    if (node.process->ended()) throw Stop("canopyd ended before it was ready:\n" + end_of_log(node));
    node.dealer->send(tag, frames_of(wire::Ping{}));
    uint32_t answered = 0;
    bool ok = false;
    std::string_view result;
    if (node.dealer->wait(20ms))
      while (node.dealer->receive(answered, ok, result))
        if (ok) return;
    std::this_thread::sleep_for(1ms);
  }
  throw Stop("canopyd is not ready:\n" + end_of_log(node));
}

void Fabric::wait_linked() {
  const auto begin = Clock::now();
  for (Node& node : nodes_) {
    for (;;) {
      const wire::Reply reply = node.dealer->call(wire::Map{});
      const auto* map = std::get_if<wire::MapResult>(&reply);
      if (map && std::all_of(map->nodes.begin(), map->nodes.end(), [](const auto& it) { return it.state == "up"; })) break;
      if (Clock::now() - begin > ready_patience) throw Stop("the nodes do not see each other:\n" + end_of_log(node));
      std::this_thread::sleep_for(50ms);
    }
  }
}

std::string Fabric::end_of_log(const Node& node) const {
  std::ifstream in(node.log_file);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  return text.size() > log_bytes_shown ? text.substr(text.size() - log_bytes_shown) : text;
}

std::vector<std::string> Fabric::endpoints() const {
  std::vector<std::string> all;
  for (const Node& node : nodes_) all.push_back(node.endpoint);
  return all;
}

Usage Fabric::usage() {
  Usage sum;
  for (const Node& node : nodes_) sum += usage_of(node.process->pid());
  return sum;
}

uint64_t Fabric::disk_bytes() {
  uint64_t sum = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
    struct stat about {};
    if (entry.is_regular_file() && ::stat(entry.path().c_str(), &about) == 0) sum += static_cast<uint64_t>(about.st_blocks) * 512;
  }
  return sum;
}

void Fabric::stop() {
  for (Node& node : nodes_) {
    if (const int status = node.process->stop(); status != 0)
      throw Stop(fmt::format("canopyd ended with {} after SIGTERM:\n{}", status, end_of_log(node)));
    node.dealer.reset();
  }
}

void Fabric::start() { launch(); }

void Fabric::stop_if_ended() {
  for (Node& node : nodes_)
    if (node.process->ended()) throw Stop("canopyd ended by itself:\n" + end_of_log(node));
}

uint64_t Fabric::counter(std::string_view section_begin, std::string_view field) {
  uint64_t sum = 0;
  bool found = false;
  for (Node& node : nodes_) {
    const wire::Reply reply = node.dealer->call(wire::Status{});
    const auto* status = std::get_if<wire::StatusResult>(&reply);
    if (!status) throw Stop("STATUS was refused");
    for (const auto& section : status->sections) {
      if (section.name.compare(0, section_begin.size(), section_begin) != 0) continue;
      for (const auto& [name, value] : section.fields)
        if (name == field && std::holds_alternative<uint64_t>(value)) sum += std::get<uint64_t>(value), found = true;
    }
  }
  if (!found) throw Stop(fmt::format("STATUS has no {}… {}", section_begin, field));
  return sum;
}

}  // namespace canopy::bench
