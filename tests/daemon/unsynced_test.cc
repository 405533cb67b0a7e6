#include "daemon/unsynced.h"

#include <doctest/doctest.h>

#include <fstream>

#include "../store/hosts.h"

namespace canopy::daemon {
namespace {

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("unsynced: a mark that was written is found, until it is removed") {
  const store::TestDir dir;
  CHECK(!*read_unsynced(dir.file("")));
  REQUIRE(write_unsynced(dir.file(""), {"interval", "0-1"}));
  const auto mark = *read_unsynced(dir.file(""));
  REQUIRE(mark);
  CHECK(mark->durability == "interval");
  CHECK(mark->boot == "0-1");
  REQUIRE(write_unsynced(dir.file(""), {"memory", "0-2"}));
  CHECK((*read_unsynced(dir.file("")))->boot == "0-2");
  REQUIRE(remove_unsynced(dir.file("")));
  CHECK(!*read_unsynced(dir.file("")));
  CHECK(remove_unsynced(dir.file("")));
}

TEST_CASE("unsynced: only a mark of this boot can be trusted") {
  CHECK(can_be_trusted({"memory", "0-1"}, "0-1"));
  CHECK(!can_be_trusted({"memory", "0-1"}, "0-2"));
  CHECK(!can_be_trusted({"memory", ""}, ""));
  CHECK(!boot_id().empty());
  CHECK(boot_id() == boot_id());
}

TEST_CASE("unsynced: a mark that was cut, emptied or is foreign stands for no boot") {
  const store::TestDir dir;
  const std::string id = boot_id();
  for (const std::string& text : {std::string(), std::string("boot = "), "boot = " + id, "durability = memory\nboot=" + id + "\n",
                                  std::string(1000, 'x'), std::string(10, '\0')}) {
    CAPTURE(text);
    write_file(dir.file("unsynced"), text);
    const auto mark = read_unsynced(dir.file(""));
    REQUIRE(mark);
    REQUIRE(*mark);
    CHECK(!can_be_trusted(**mark, id));
  }
}

TEST_CASE("unsynced: after a failed sync the mark is trusted no more") {
  const store::TestDir dir;
  REQUIRE(write_unsynced(dir.file(""), {"interval", boot_id()}));
  CHECK(can_be_trusted(**read_unsynced(dir.file("")), boot_id()));
  distrust(dir.file(""));
  CHECK(!can_be_trusted(**read_unsynced(dir.file("")), boot_id()));
}

}  // namespace canopy::daemon
