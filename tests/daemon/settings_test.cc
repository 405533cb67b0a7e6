#include "daemon/settings.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "base/values.h"

using namespace canopy;
using namespace canopy::daemon;

namespace {

const Surroundings around{"host", "/state", "/home/someone"};

Result<Settings> read(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  return read_settings(toml, "canopy.toml", overrides, around);
}

std::string refusal(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  const auto settings = read(toml, overrides);
  return settings ? "accepted" : settings.error().message;
}

}  // namespace

TEST_CASE("settings: nothing said is a fabric of one node under the user's state directory") {
  const auto settings = read("");
  REQUIRE(settings);
  CHECK(settings->node.name == "host");
  CHECK(settings->node.data_dir == "/state/canopy");
  CHECK(settings->listen.client == "tcp://127.0.0.1:7700");
  CHECK(settings->fabric.bootstrap_expect == 1);
  CHECK(settings->fabric.replicas == 1);
  CHECK(settings->store.map_size == uint64_t{64} << 30);

  const auto no_xdg = read_settings("", "", {}, {"host", "relative", "/home/someone"});
  REQUIRE(no_xdg);
  CHECK(no_xdg->node.data_dir == "/home/someone/.local/state/canopy");
  const auto homeless = read_settings("", "", {}, {"host", "", ""});
  REQUIRE(!homeless);
  CHECK(homeless.error().message == "node.data_dir: want a directory: neither XDG_STATE_HOME nor HOME is set");
}

TEST_CASE("settings: what a file says is taken, and an override goes above it") {
  const std::string toml = R"([node]
name = "n1"
weight = 2
[fabric]
bucket_count = 64
[store]
map_size = "1GiB"
[retention]
stream = "500"
[log]
level = "debug")";
  const auto settings = read(toml, {"fabric.bucket_count=128", "node.zone=attic", "limits.body_max=2MiB", "listen.feed="});
  REQUIRE(settings);
  CHECK(settings->node.name == "n1");
  CHECK(settings->node.weight_milli == 2000);
  CHECK(settings->node.zone == "attic");
  CHECK(settings->fabric.bucket_count == 128);
  CHECK(settings->store.map_size == uint64_t{1} << 30);
  CHECK(settings->store.durability == Durability::commit);
  CHECK(settings->retention.stream == 500);
  CHECK(settings->limits.body_max == 2 << 20);
  CHECK(settings->listen.feed == "");
  CHECK(settings->log.level == LogLevel::debug);

  const auto three = read("", {"fabric.bootstrap_expect=3", R"(fabric.seeds=["tcp://127.0.0.1:1", "tcp://[::1]:2", "ipc:///run/x"])"});
  REQUIRE(three);
  CHECK(three->fabric.seeds.size() == 3);
}

TEST_CASE("settings: the three ways of durability, and the interval of the second") {
  const std::vector<std::pair<std::string, Durability>> ways{
      {"commit", Durability::commit}, {"interval", Durability::interval}, {"memory", Durability::memory}};
  for (const auto& [name, durability] : ways) {
    const auto settings = read("[store]\ndurability = \"" + name + "\"\nsync_interval = \"250ms\"", {});
    REQUIRE(settings);
    CHECK(settings->store.durability == durability);
    CHECK(durability_name(settings->store.durability) == name);
    CHECK(settings->store.sync_interval == Duration::of_ms(250));
    CHECK(read("", {"store.durability=" + name})->store.durability == durability);
  }
}

TEST_CASE("settings: what the modes of a leaf cost") {
  CHECK(read("", {})->timeline.modes.costs == leaf::Costs());
  const auto settings = read("[costs]\nappend_ns = 1\ndeliver_ns = 2\nlook_ns = 3\nmerge_ns = 4", {"costs.fetch_ns=5"});
  REQUIRE(settings);
  CHECK(settings->timeline.modes.costs == leaf::Costs{1, 2, 3, 4, 5});
}

TEST_CASE("settings: a refusal names the key, the value and what would be right") {
  const std::string retention =
      "want a count, an age in whole seconds or both, such as \"10000\" or \"100000, 365d\", or \"\" for ever";
  struct Row {
    std::string toml, message;
  };
  const std::string sections =
      "the sections are [node], [listen], [advertise], [fabric], [tree], [store], [timeline], [costs], [retention], [limits], [log]";
  const std::vector<Row> table{
      {"[store]\nshardz = 2", "canopy.toml:2: store.shardz = 2: unknown setting; [store] has durability, sync_interval, shards, map_size"},
      {"[stores]\nshards = 2", "canopy.toml:2: stores.shards = 2: unknown setting; " + sections},
      {"[stores]", "canopy.toml:1: stores: unknown setting; " + sections},
      {"shards = 2", "canopy.toml:1: shards = 2: unknown setting; " + sections},
      {"[store", "canopy.toml:1: not TOML: Error while parsing table header: encountered end-of-file"},
      {"[store]\nshards = -1", "canopy.toml:2: store.shards = -1: want a number from 0 to 64 (0: one per core)"},
      {"[store]\nshards = \"2\"", "canopy.toml:2: store.shards = '2': want a number from 0 to 64 (0: one per core)"},
      {"[store]\nmap_size = \"64 gigs\"", "canopy.toml:2: store.map_size = '64 gigs': want a size from \"16MiB\" to \"64TiB\""},
      {"[store]\nmap_size = \"1MiB\"", "canopy.toml:2: store.map_size = '1MiB': want a size from \"16MiB\" to \"64TiB\""},
      {"[store]\ndurability = 1", "canopy.toml:2: store.durability = 1: want \"commit\", \"interval\" or \"memory\""},
      {"[store]\nsync_interval = \"1ms\"",
       "canopy.toml:2: store.sync_interval = '1ms': want a duration such as \"24h\" (ms, s, m, h, d), from \"10ms\" to \"1h\""},
      {"[store]\ndurability = \"some\"", "canopy.toml:2: store.durability = 'some': want \"commit\", \"interval\" or \"memory\""},
      {"[node]\nname = \"\"", "canopy.toml:2: node.name = '': want 1 to 200 bytes of UTF-8 without control characters"},
      {"[node]\ninsecure = 1", "canopy.toml:2: node.insecure = 1: want true or false"},
      {"[node]\nweight = 0", "canopy.toml:2: node.weight = 0: want a number from 0.001 to 1000.0"},
      {"[node]\ndata_dir = \"\"", "canopy.toml:2: node.data_dir = '': want a directory"},
      {"[listen]\nclient = \"127.0.0.1:7700\"",
       "canopy.toml:2: listen.client = '127.0.0.1:7700': want tcp://HOST:PORT or ipc://PATH, such as \"tcp://127.0.0.1:7700\", or \"\" for off"},
      {"[listen]\nclient = \"tcp://127.0.0.1:77000\"",
       "canopy.toml:2: listen.client = 'tcp://127.0.0.1:77000': want a port from 1 to 65535, or * for any free one, or \"\" for off"},
      {"[listen]\nclient = \"inproc://x\"",
       "canopy.toml:2: listen.client = 'inproc://x': want tcp://HOST:PORT or ipc://PATH, such as \"tcp://127.0.0.1:7700\", or \"\" for off"},
      {"[listen]\nmetrics = \"127.0.0.1:7704\"", "canopy.toml:2: listen.metrics = '127.0.0.1:7704': not supported yet; want \"\""},
      {"[advertise]\nlink = \"tcp://*:7703\"",
       "canopy.toml:2: advertise.link = 'tcp://*:7703': want an address that others can connect to, not every interface or any port"},
      {"[fabric]\nbucket_count = 100", "canopy.toml:2: fabric.bucket_count = 100: want a power of two from 1 to 4096"},
      {"[fabric]\nbucket_count = 8192", "canopy.toml:2: fabric.bucket_count = 8192: want a power of two from 1 to 4096"},
      {"[fabric]\nreplicas = 2", "canopy.toml:2: fabric.replicas = 2: not supported yet; want 1"},
      {"[fabric]\nreplicas = 0", "canopy.toml:2: fabric.replicas = 0: want a number from 1 to 1024"},
      {"[fabric]\nseeds = [1]", "canopy.toml:2: fabric.seeds = [ 1 ]: want a list of link endpoints, such as [\"tcp://10.0.0.1:7703\"]"},
      {"[fabric]\nseeds = [\"n2\"]",
       "canopy.toml:2: fabric.seeds = [ 'n2' ]: \"n2\": want tcp://HOST:PORT or ipc://PATH, such as \"tcp://127.0.0.1:7700\""},
      {"[tree]\nfanout = 1", "canopy.toml:2: tree.fanout = 1: want a number from 2 to 4096"},
      {"[tree]\nmax_hops = 0", "canopy.toml:2: tree.max_hops = 0: want a number from 1 to 255"},
      {"[timeline]\ncapacity = 100001", "canopy.toml:2: timeline.capacity = 100001: want a number from 1 to 100000"},
      {"[timeline]\nactive_window = \"soon\"", "canopy.toml:2: timeline.active_window = 'soon': want a duration such as \"24h\" (ms, s, m, h, d)"},
      {"[timeline]\nmode = \"pull\"", "canopy.toml:2: timeline.mode = 'pull': want \"auto\", \"append\", \"merge\" or \"lazy\""},
      {"[costs]\nmerge_ns = 0", "canopy.toml:2: costs.merge_ns = 0: want a number from 1 to 1000000000: nanoseconds, as `canopy tune` measures them"},
      {"[retention]\nsent = \"1500ms\"", "canopy.toml:2: retention.sent = '1500ms': " + retention},
      {"[retention]\nmentions = 0", "canopy.toml:2: retention.mentions = 0: " + retention},
      {"[retention]\nreplies = \"0s\"", "canopy.toml:2: retention.replies = '0s': " + retention},
      {"[retention]\nstream = \"365d\"", "canopy.toml:2: retention.stream = '365d': not supported yet; want a count such as \"10000\""},
      {"[retention]\ntopic = \"1, 2\"",
       "canopy.toml:2: retention.topic = '1, 2': " + retention},
      {"[limits]\nbody_max = \"17MiB\"", "canopy.toml:2: limits.body_max = '17MiB': want a size from \"1B\" to \"16MiB\""},
      {"[log]\nlevel = \"loud\"", "canopy.toml:2: log.level = 'loud': want \"err\", \"warning\", \"notice\", \"info\" or \"debug\""},
      {"[listen]\nfeed = \"tcp://127.0.0.1:7700\"", "listen.feed = \"tcp://127.0.0.1:7700\": the same as listen.client; want one of its own"},
      {"[listen]\ningest = \"tcp://0.0.0.0:7702\"",
       "listen.ingest = \"tcp://0.0.0.0:7702\": beyond loopback anyone could use it, as keys are not supported yet; want 127.0.0.1, [::1] or "
       "ipc://, or node.insecure = true"},
      {"[fabric]\nbootstrap_expect = 3", "fabric.seeds = []: want the links of the first nodes, the same list on each, as fabric.bootstrap_expect = 3"},
      {"[fabric]\nseeds = [\"tcp://10.0.0.2:7703\"]",
       "fabric.bootstrap_expect = 1: other nodes are listed in fabric.seeds; want how many nodes are to meet"},
      {"[node]\ninsecure = true\n[listen]\nlink = \"tcp://*:7703\"\n[fabric]\nbootstrap_expect = 2\nseeds = [\"tcp://10.0.0.2:7703\"]",
       "advertise.link = \"\": want the address that others connect to, as the node listens on every interface (tcp://*:7703)"},
  };
  for (const Row& row : table) {
    CAPTURE(row.toml);
    CHECK(refusal(row.toml) == row.message);
  }
}

TEST_CASE("settings: an override that is wrong names itself") {
  CHECK(refusal("", {"log.level"}) == "--set: log.level: want KEY=VALUE, such as log.level=debug");
  CHECK(refusal("", {"log.levels=x"}) == "--set: log.levels: unknown setting; [log] has level");
  CHECK(refusal("", {"tree.fanout=many"}) == "--set: tree.fanout = \"many\": want a number from 2 to 4096");
}

TEST_CASE("settings: every interface, IPv6 and ipc can be asked for") {
  CHECK(read("[listen]\nclient = \"tcp://[::1]:7700\"\nfeed = \"ipc:///run/canopy/feed\"\nlink = \"tcp://127.0.0.1:*\""));
  CHECK(read("[node]\ninsecure = true\n[listen]\nclient = \"tcp://*:7700\"\nfeed = \"tcp://[::]:7701\""));
}

TEST_CASE("settings: how much of a list is kept and how far a forward goes can be said") {
  const auto s = read("[tree]\nmax_hops = 3\n[retention]\nmentions = 5\nreplies = \"12h\"\ntopic = \"\"\nsent = \"100000, 365d\"");
  REQUIRE(s);
  CHECK(s->tree.max_hops == 3);
  CHECK(s->retention.mentions == Retention{5, 0});
  CHECK(s->retention.replies == Retention{0, 43'200});
  CHECK(s->retention.topic == Retention{});
  CHECK(s->retention.sent == Retention{100'000, 365 * 86'400});
}

TEST_CASE("settings: a second reading tells which keys differ and which of them wait for a restart") {
  const auto before = read(""), after = read("[log]\nlevel = \"info\"\n[tree]\nfanout = 8\n[retention]\ntopic = \"100000\"");
  REQUIRE(before);
  REQUIRE(after);
  CHECK(changed_keys(*before, *after) == std::vector<std::string>{"tree.fanout", "log.level"});
  CHECK(changes_at_run_time("log.level"));
  CHECK(!changes_at_run_time("tree.fanout"));
}

TEST_CASE("settings: sizes, durations and retentions are read and shown alike") {
  CHECK(parse_size("64GiB") == uint64_t{64} << 30);
  CHECK(parse_size("1 MiB") == 1u << 20);
  CHECK(parse_size("123") == 123u);
  CHECK(!parse_size("1MB"));
  CHECK(!parse_size("-1"));
  CHECK(!parse_size("9000000TiB"));
  CHECK(!parse_size(""));
  CHECK(show_size(uint64_t{4} << 30) == "4GiB");
  CHECK(show_size(1025) == "1025B");
  CHECK(parse_duration("24h") == Duration::of_s(86'400));
  CHECK(parse_duration("1d") == Duration::of_s(86'400));
  CHECK(parse_duration("150ms") == Duration::of_ms(150));
  CHECK(!parse_duration("24"));
  CHECK(!parse_duration("101000d"));
  CHECK(show_duration(Duration::of_s(90)) == "90s");
  CHECK(show_retention(*parse_retention("365d , 100000")) == "100000, 365d");
  CHECK(show_retention(*parse_retention("")) == "");
  CHECK(parse_retention("12h") == Retention{0, 43'200});
  CHECK(parse_retention("7,1m") == Retention{7, 60});
  CHECK(parse_age("36600d") == age_s_max);
  CHECK(!parse_age("1ms"));
  CHECK(!parse_age("36601d"));
  CHECK(!parse_retention("0"));
  CHECK(!parse_retention("0d"));
  CHECK(!parse_retention("10,"));
  CHECK(!parse_retention("1d, 2d"));
}
