#include "node/status.h"

#include "node/answers.h"

namespace canopy::node {
namespace {

using wire::StatusSection;

StatusSection node_section(const NodeOptions& options, const Place& place, const Links& links, const StatusFacts& facts) {
  StatusSection section{"node", {{"name", options.name}, {"version", options.version}, {"state", facts.state}}};
  if (!facts.waiting_for.empty()) section.fields.emplace_back("waiting_for", facts.waiting_for);
  if (!links.note().empty()) section.fields.emplace_back("note", links.note());
  section.fields.emplace_back("shards", uint64_t{options.shards});
  section.fields.emplace_back("map_version", place.version());
  if (!place.known()) return section;
  uint64_t buckets = 0;
  for (size_t i = 0; i < place.map->buckets.size(); ++i) buckets += place.mine(BucketId(static_cast<uint16_t>(i)));
  section.fields.emplace_back("buckets", buckets);
  section.fields.emplace_back("fabric", place.map->settings.name);
  section.fields.emplace_back("fabric_id", hexadecimal(place.map->fabric_id));
  return section;
}

StatusSection front_section(const Counters& c, const StatusFacts& facts) {
  return {"front",
          {{"requests", c.requests}, {"requests_in_flight", uint64_t{facts.requests_in_flight}},
           {"requests_refused", c.requests_refused}, {"requests_timed_out", c.requests_timed_out},
           {"requests_outcome_unknown", c.requests_outcome_unknown}, {"requests_moved", c.requests_moved},
           {"replies", c.replies},
           {"replies_error", c.replies_error}, {"answers_late", c.answers_late}, {"forwards_sent", c.forwards_sent},
           {"forwards_taken", c.forwards_taken}, {"forwards_not_owner", c.forwards_not_owner},
           {"forwards_repeated", c.forwards_repeated}, {"ingest", c.ingest},
           {"ingest_waiting", uint64_t{facts.ingest_waiting}}, {"ingest_published", c.ingest_published},
           {"ingest_refused", c.ingest_refused}, {"ingest_dropped", c.ingest_dropped},
           {"ingest_failed", c.ingest_failed}, {"feeds", uint64_t{facts.feeds}}, {"feed_frames", c.feed_frames},
           {"feeds_refused", c.feeds_refused}, {"feeds_elsewhere", c.feeds_elsewhere}}};
}

StatusSection links_section(const Links& links, const Counters& c, const StatusFacts& facts) {
  StatusSection section{
      "links",
      {{"hellos", c.hellos}, {"hellos_refused", c.hellos_refused}, {"hellos_other_fabric", c.hellos_other_fabric},
       {"hellos_own_name", c.hellos_own_name}, {"hellos_of_old_boot", c.hellos_of_old_boot},
       {"sessions_begun", c.sessions_begun}, {"sessions_ended", c.sessions_ended}, {"frames_sent", c.frames_sent},
       {"frames_received", c.frames_received}, {"frames_in_flight", uint64_t{facts.frames_in_flight}},
       {"frames_damaged", c.frames_damaged}, {"frames_not_for_this_boot", c.frames_not_for_this_boot},
       {"frames_of_unknown_boot", c.frames_of_unknown_boot}, {"frames_without_session", c.frames_without_session},
       {"frames_other_fabric", c.frames_other_fabric}, {"frames_timed_out", c.frames_timed_out},
       {"frame_acks_late", c.frame_acks_late}, {"link_items_dropped", c.link_items_dropped},
       {"packets_sent", c.packets_sent}, {"packets_received", c.packets_received},
       {"packets_without_link", c.packets_without_link}, {"packets_not_mine", c.packets_not_mine},
       {"packets_of_nobody", c.packets_of_nobody},
       {"offers_refused", c.offers_refused}}};
  for (const auto& [no, peer] : links.peers()) {
    if (peer.own || peer.hello.node.empty()) continue;
    section.fields.emplace_back("node " + peer.hello.node, std::string(peer.up ? "up " : "down ") + peer.endpoint);
  }
  return section;
}

StatusSection relay_section(const Counters& c, const StatusFacts& facts) {
  return {"relay",
          {{"pushes", c.pushes}, {"pushes_in_flight", uint64_t{facts.pushes_in_flight}},
           {"letters_per_message_max", c.letters_per_message_max}, {"stream_letters_sent", c.stream_letters_sent},
           {"stream_letters_received", c.stream_letters_received}, {"deliveries", c.deliveries},
           {"leaves_not_taken", c.leaves_not_taken}, {"leaves_not_mine", c.leaves_not_mine},
           {"leaves_without_credit", c.leaves_without_credit}}};
}

}  // namespace

wire::StatusResult status(const NodeOptions& options, const Place& place, const Links& links, const Counters& counters,
                          const StatusFacts& facts, const std::vector<StatusSection>& shards) {
  wire::StatusResult result;
  result.sections.push_back(node_section(options, place, links, facts));
  result.sections.push_back(front_section(counters, facts));
  result.sections.push_back(links_section(links, counters, facts));
  result.sections.push_back(relay_section(counters, facts));
  for (const StatusSection& section : shards)
    if (!section.name.empty()) result.sections.push_back(section);
  return result;
}

}  // namespace canopy::node
