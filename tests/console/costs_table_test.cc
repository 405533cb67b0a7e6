#include "costs_table.h"

#include <doctest/doctest.h>

namespace canopy::console {
namespace {

client::Reflector leaf(uint32_t bucket, uint64_t followers, std::optional<client::LeafCosts> costs) {
  client::Reflector made;
  made.kind = "leaf";
  made.bucket = bucket;
  made.node = "n1";
  made.followers = followers;
  made.costs = std::move(costs);
  return made;
}

client::Tree tree_of(std::vector<client::Reflector> leaves) {
  client::Tree tree{"alice", 0, 1, {}};
  client::Reflector root;
  root.kind = "root";
  tree.reflectors.push_back(root);
  for (auto& one : leaves) {
    tree.followers += one.followers;
    tree.reflectors.push_back(std::move(one));
  }
  return tree;
}

}  // namespace

TEST_CASE("costs: each leaf with its mode and what the others would cost") {
  const auto tree = tree_of({leaf(3, 400, client::LeafCosts{"append", false, 380, client::LeafCosts::Measured{12.34, 250.4, 6'700, 41'250, 912'000}}),
                             leaf(17, 6'000, client::LeafCosts{"merge", false, 5'900, client::LeafCosts::Measured{12.34, 0.002, 89'500, 1'024, 1'100}}),
                             leaf(20, 1, client::LeafCosts{"append", false, 0, {}})});
  CHECK(costs_table(tree, {}, false) ==
        "alice · 6,401 followers · 3 leaves · 2 append · 1 merge\n"
        "BUCKET  NODE  MODE    FOLLOWERS   WARM  MESSAGES/S  READS/S     APPEND      MERGE     LAZY\n"
        "    17  n1    merge       6,000  5,900        12.3   0.0020    89.5 µs  ● 1.02 µs  1.10 µs\n"
        "     3  n1    append        400    380        12.3      250  ● 6.70 µs    41.2 µs   912 µs\n"
        "    20  n1    append          1      0           –        –          –          –        –\n"
        "   all        mixed       6,401  6,280        12.3      250    96.2 µs    42.3 µs   913 µs\n"
        "\n"
        "WARM: timelines in memory. The last three: what a message costs there in each mode, with the reads that it causes.\n"
        "–: not enough was seen of it yet.\n");
}

TEST_CASE("costs: many leaves are summed up, unless all are asked for") {
  std::vector<client::Reflector> leaves;
  for (uint32_t i = 0; i < 64; ++i) leaves.push_back(leaf(i, 10, client::LeafCosts{"append", true, 5, client::LeafCosts::Measured{1, 1, 10, 20, 30}}));
  const std::string text = costs_table(tree_of(leaves), {}, false);
  CHECK(text.find("64 append (timeline.mode)\n") != std::string::npos);
  CAPTURE(text);
  CHECK(text.find("…  44 more  append        440   220        1.00     44.0  ● 440 ns   880 ns  1.32 µs\n") != std::string::npos);
  CHECK(text.find("all           append        640   320        1.00     64.0  ● 640 ns  1.28 µs  1.92 µs\n") != std::string::npos);
  CHECK(costs_table(tree_of(leaves), {}, true).find("    63  n1") != std::string::npos);
}

TEST_CASE("costs: nobody follows") { CHECK(costs_table(tree_of({}), {}, false) == "alice · 0 followers · 0 leaves\n"); }

TEST_CASE("costs: times of a few digits") {
  CHECK(cost_text(0) == "0 ns");
  CHECK(cost_text(999) == "999 ns");
  CHECK(cost_text(1'000) == "1.00 µs");
  CHECK(cost_text(99'949) == "99.9 µs");
  CHECK(cost_text(123'456) == "123 µs");
  CHECK(cost_text(1'240'000) == "1.24 ms");
  CHECK(cost_text(61'000'000'000) == "61.0 s");
}

}  // namespace canopy::console
