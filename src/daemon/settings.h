// A node's settings: read once at start, checked as a whole, then never changed but for the log level.
// Every key, what it may be and what is not there yet stands in one table in settings.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/retention.h"
#include "base/time.h"
#include "leaf/modes.h"

namespace canopy::daemon {

// When others hear of a commit. commit: after its fsync. interval: at once, with a sync every
// store.sync_interval. memory: at once, with a sync only at the end; for a RAM disk.
enum class Durability : uint8_t { commit, interval, memory };
std::string_view durability_name(Durability durability);

enum class LogLevel : uint8_t { err = 3, warning = 4, notice = 5, info = 6, debug = 7 };  // as in syslog(3)

struct Settings {
  struct {
    std::string name;      // "": the host's; filled in by read_settings
    std::string data_dir;  // "": under the user's state directory; filled in by read_settings
    std::string zone;
    uint32_t weight_milli = 1000;
    bool insecure = false;
  } node;
  struct {
    std::string client = "tcp://127.0.0.1:7700";
    std::string feed = "tcp://127.0.0.1:7701";
    std::string ingest = "tcp://127.0.0.1:7702";
    std::string link = "tcp://127.0.0.1:7703";
    std::string metrics;
  } listen;
  struct {
    std::string client, feed, link;
  } advertise;
  struct {
    std::string name = "canopy";
    std::vector<std::string> seeds;
    uint32_t bootstrap_expect = 1;
    uint32_t bucket_count = 256;
    uint32_t replicas = 1;
    uint32_t min_in_sync = 1;
  } fabric;
  struct {
    uint32_t fanout = 64;
    uint32_t leaf_segment = 10'000;
    uint32_t max_hops = 16;
  } tree;
  struct {
    Durability durability = Durability::commit;
    Duration sync_interval = Duration::of_s(1);
    uint32_t shards = 0;
    uint64_t map_size = uint64_t{64} << 30;
  } store;
  struct {
    uint32_t capacity = 800;
    Duration active_window = Duration::of_s(24 * 3600);
    uint64_t memory = uint64_t{4} << 30;
    leaf::ModeOptions modes;
  } timeline;
  struct {
    Retention mentions{10'000, 0}, replies{10'000, 0}, topic{100'000, 0}, sent;
    uint64_t stream = 10'000;
  } retention;
  struct {
    uint64_t body_max = 1 << 20;
    uint64_t outbox_max = 1 << 30;
    uint64_t deliveries_max = 1 << 30;
  } limits;
  struct {
    LogLevel level = LogLevel::notice;
  } log;
};

// What the machine has to say; passed in so that a test is the same everywhere.
struct Surroundings {
  std::string host_name;
  std::string xdg_state_home, home;  // environment variables; "" when not set
};
Surroundings surroundings();

// Returns the settings of the TOML text (from `file`, named in errors) with `overrides` ("key=value")
// on top, or an error that names the key, the value and what would be right.
[[nodiscard]] Result<Settings> read_settings(std::string_view toml, std::string_view file,
                                             const std::vector<std::string>& overrides, const Surroundings& around);

// The same from a file; "" for the defaults.
[[nodiscard]] Result<Settings> load_settings(const std::string& file, const std::vector<std::string>& overrides,
                                             const Surroundings& around);

// Returns the keys that differ, "log.level" and the like, in the order of the table.
std::vector<std::string> changed_keys(const Settings& before, const Settings& after);
bool changes_at_run_time(std::string_view key);  // else it takes a restart

}  // namespace canopy::daemon
