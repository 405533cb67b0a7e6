// canopy recover: the stores of a node that was stopped by a power cut and not by anybody, without the node.
#include <CLI/CLI.hpp>
#include <memory>

#include "args.h"
#include "daemon/recover.h"
#include "json.h"
#include "text.h"

namespace canopy::console {
namespace {

using daemon::Recovery;
using daemon::StoreFinding;

struct RecoverArgs {
  std::string data_dir;
  bool accept = false;
};

bool sound(const std::vector<StoreFinding>& findings) {
  return std::all_of(findings.begin(), findings.end(), [](const StoreFinding& found) { return found.report.damage.empty(); });
}

std::string verdict(const Recovery& recovery, const std::vector<StoreFinding>& findings, bool accepted) {
  if (!sound(findings))
    return "Damaged: the node cannot go on with this. Restore the directory from a backup, or empty it and begin anew.";
  if (accepted) return "Accepted: the node starts with what is there. What was published last may be missing.";
  if (!recovery.mark()) return "Nothing was found, and there is nothing to accept: the node was stopped in good order.";
  if (recovery.trusted_anyway()) return "Nothing was found, and there is nothing to accept: the machine has not restarted since, the node may start.";
  return "Nothing was found. What was written last may be missing, and rows of an earlier time in place of newer ones\n"
         "cannot be seen. A backup is the better choice where there is one; to go on with this one: canopy recover --accept DIR";
}

void report_json(const Recovery& recovery, const std::vector<StoreFinding>& findings, bool accepted) {
  for (const auto& [name, report] : findings)
    say(json_object({{"store", name}, {"rows", report.rows}, {"replayed", report.replayed}, {"damage", report.damage}}));
  say(json_object({{"sound", sound(findings)}, {"unclean", recovery.mark().has_value()}, {"accepted", accepted}}));
}

void report_table(const Globals& globals, const std::vector<StoreFinding>& findings) {
  Table table({{"store"}, {"rows", Align::right}, {"journal", Align::right}, {"found"}});
  for (const auto& [name, report] : findings)
    table.add({name, grouped(report.rows), grouped(report.replayed),
               report.damage.empty() ? Cell("nothing wrong", Style::good) : Cell(report.damage, Style::bad)});
  say(table.render(globals.out));
}

int run_recover(const Globals& globals, const RecoverArgs& args) {
  const auto recovery = Recovery::open(args.data_dir);
  if (!recovery) return complain_usage(recovery.error().message);
  std::vector<StoreFinding> findings;
  for (uint32_t shard = 0; shard < (*recovery)->shards(); ++shard) findings.push_back((*recovery)->check(shard));
  const bool accept = args.accept && (*recovery)->mark() && sound(findings);
  if (accept) {
    if (const auto done = (*recovery)->accept(); !done) return complain_usage(done.error().message);
  }
  if (globals.json) {
    report_json(**recovery, findings, accept);
  } else {
    report_table(globals, findings);
    say(verdict(**recovery, findings, accept));
  }
  return sound(findings) ? exit_ok : exit_refused;
}

}  // namespace

void add_recover(CLI::App& app, Action& action) {
  auto args = std::make_shared<RecoverArgs>();
  CLI::App* command = app.add_subcommand("recover", "Check the stores of a stopped node; accept them after a power cut");
  command->add_option("DIR", args->data_dir, "node.data_dir of the node, on this machine")->required();
  command->add_flag("--accept", args->accept, "if nothing is found, let the node start again with what is there");
  command->footer(R"(Examples:
  canopy recover /var/lib/canopy
  canopy recover --accept /var/lib/canopy

A node with store.durability = "interval" or "memory" does not start by itself after a power cut or a crash of
the machine: its stores may be damaged. This reads every row and replays the journals. With "commit" there is
nothing to recover. Run it as the user who owns the directory; its node must be stopped.)");
  command->callback([args, &action] { action = [args](const Globals& globals) { return run_recover(globals, *args); }; });
}

}  // namespace canopy::console
