#include "tree_picture.h"

#include <doctest/doctest.h>

namespace canopy::console {
namespace {

client::Reflector reflector(const char* kind, std::optional<uint32_t> bucket, const char* node, uint64_t children,
                            uint64_t followers, uint32_t parent) {
  client::Reflector made;
  made.kind = kind;
  made.bucket = bucket;
  made.node = node;
  made.children = children;
  made.followers = followers;
  made.parent = parent;
  return made;
}

}  // namespace

TEST_CASE("tree: levels, nodes and counts stand in columns") {
  client::Tree tree{"alice", 1004, 2, {}};
  tree.reflectors = {reflector("root", 17, "n1", 2, 1004, 0), reflector("branch", {}, "n2", 2, 1003, 0),
                     reflector("leaf", 3, "n2", 1000, 1000, 1), reflector("leaf", 4, "n2", 3, 3, 1),
                     reflector("leaf", 17, "n1", 1, 1, 0)};
  CHECK(tree_picture(tree, {}, false) ==
        "alice · 1,004 followers · 2 levels · 3 leaves\n"
        "root bucket 17 on n1       2 children  1,004 followers\n"
        "├─ branch on n2            2 children  1,003 followers\n"
        "│  ├─ leaf bucket 3 on n2              1,000 followers\n"
        "│  └─ leaf bucket 4 on n2                  3 followers\n"
        "└─ leaf bucket 17 on n1                    1 follower\n");
}

TEST_CASE("tree: many leaves are summed up, unless all are asked for") {
  client::Tree tree{"alice", 70, 1, {}};
  tree.reflectors = {reflector("root", 0, "n1", 7, 70, 0)};
  for (uint32_t i = 0; i < 7; ++i) tree.reflectors.push_back(reflector("leaf", i, "n1", 10, 10, 0));
  CHECK(tree_picture(tree, {}, false) ==
        "alice · 70 followers · 1 level · 7 leaves\n"
        "root bucket 0 on n1     7 children  70 followers\n"
        "├─ leaf bucket 0 on n1              10 followers\n"
        "├─ leaf bucket 1 on n1              10 followers\n"
        "├─ leaf bucket 2 on n1              10 followers\n"
        "├─ leaf bucket 3 on n1              10 followers\n"
        "└─ … 3 more leaves                  30 followers\n");
  CHECK(tree_picture(tree, {}, true).find("└─ leaf bucket 6 on n1") != std::string::npos);
  tree.reflectors.resize(6);  // one more than is shown: a line of its own is as short
  CHECK(tree_picture(tree, {}, false).find("more") == std::string::npos);
}

TEST_CASE("tree: an entity without followers is its root") {
  client::Tree tree{"nobody", 0, 1, {reflector("root", 5, "n1", 0, 0, 0)}};
  CHECK(tree_picture(tree, {}, false) ==
        "nobody · 0 followers · 1 level · 0 leaves\n"
        "root bucket 5 on n1  0 children  0 followers\n");
}

TEST_CASE("tree: a list that is no tree is drawn as far as it is one") {
  client::Tree tree{"odd", 0, 1, {reflector("root", 5, "n1", 1, 0, 0), reflector("leaf", 1, "n1", 0, 0, 9)}};
  CHECK(tree_picture(tree, {}, false).find("root bucket 5") != std::string::npos);
}

}  // namespace canopy::console
