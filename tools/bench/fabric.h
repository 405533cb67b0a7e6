// The fabric that is measured: canopyd processes on loopback, their data in a directory of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dealer.h"
#include "process.h"
#include "wire/reply.h"

namespace canopy::bench {

struct FabricOptions {
  std::string canopyd;                // the program
  std::string directory = "/tmp";     // where the fabric's own directory is made: on the disk that is measured
  uint32_t nodes = 1;
  uint32_t shards = 0;                // of each node; 0: as canopyd chooses
  uint32_t bucket_count = 256;
  std::vector<std::string> settings;  // key=value, for each node
  bool keep = false;                  // leave the directory at the end
};

class Fabric {
 public:
  // Returns when every node is ready and sees the others. Throws Stop.
  explicit Fabric(const FabricOptions& options);
  ~Fabric();
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  const FabricOptions& options() const { return options_; }
  const std::string& directory() const { return directory_; }
  std::vector<std::string> endpoints() const;
  const std::string& feed(size_t node = 0) const { return nodes_.at(node).feed; }
  Dealer& dealer(size_t node = 0) { return *nodes_.at(node).dealer; }

  Usage usage();             // of all nodes
  uint64_t disk_bytes();     // that their data takes on the disk
  void stop();               // SIGTERM to each, and waits
  void start();              // after stop(), on the same data; returns when ready
  void stop_if_ended();      // throws Stop when a node has ended by itself

  // Returns the sum of a counter of STATUS over all nodes' sections whose name begins with `section`; these are
  // renewed once a second. Throws Stop when no section has it.
  uint64_t counter(std::string_view section, std::string_view field);
  uint64_t shard_counter(std::string_view field) { return counter("shard", field); }

 private:
  struct Node {
    std::vector<std::string> command;
    std::string endpoint, feed, log_file;
    std::unique_ptr<Process> process;
    std::unique_ptr<Dealer> dealer;
  };
  void launch();
  void wait_ready(Node& node);
  void wait_linked();
  std::string end_of_log(const Node& node) const;

  FabricOptions options_;
  std::string directory_;
  std::vector<Node> nodes_;
};

// Returns free TCP ports of loopback, below the ephemeral ones: there a connect to a port that nobody has yet could
// meet itself.
std::vector<uint16_t> free_ports(size_t count);

}  // namespace canopy::bench
