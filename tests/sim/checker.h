// Judges what clients read against what they were told. A broken rule is a Violation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/model.h"
#include "sim/scenario.h"
#include "wire/reply.h"

namespace canopy::sim {

// An entry as a client sees it.
struct Seen {
  Position position;
  MessageId id;
  const Publish* publish = nullptr;
};

class Checker {
 public:
  Checker(const Scenario& scenario, const Model& model) : scenario_(scenario), model_(model) {}

  // One page of an answer, under faults or not. `sent`: when the READ was. Returns its entries in
  // the order of the page.
  std::vector<Seen> check_page(wire::Timeline timeline, Entity entity, const wire::TimelinePage& page, bool ascending,
                               Instant sent) const;
  // Also that a page with the newest of a `sent` list has what was acknowledged before.
  void check_newest_sent(Entity author, const std::vector<Seen>& newest_first, size_t limit, Instant sent) const;
  void check_got(const Publish& asked, const wire::Entry& entry) const;

  // Whole lists, newest first, after everything has drained.
  void check_sent(Entity author, const std::vector<Seen>& list) const;
  void check_home(Entity follower, const std::vector<Seen>& list, bool truncated) const;
  void check_names(const char* rule, const std::vector<std::string>& names, uint64_t count, Entity entity, bool followers) const;
  void check_tree(Entity author, const wire::TreeResult& tree, uint64_t followers, const std::vector<BucketId>& buckets) const;

 private:
  void check_list(const std::vector<Seen>& newest_first, const std::string& where) const;
  void check_order(const std::vector<Seen>& list, bool ascending, const std::string& where) const;
  void check_once(const std::vector<Seen>& list, const std::string& where) const;
  void check_home_entry(Entity follower, const Seen& seen, Instant sent) const;
  // Of one author, oldest first: what must be in the home, and how many of the newest of it for sure.
  void check_author(Entity follower, Entity author, const std::vector<Seen>& list, bool full, bool truncated) const;

  const Scenario& scenario_;
  const Model& model_;
};

}  // namespace canopy::sim
