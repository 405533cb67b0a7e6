#include "portable.h"

#include <doctest/doctest.h>

#include "base64.h"

namespace canopy::console {
namespace {

client::Entry entry() {
  client::Entry made;
  made.position = 3;
  made.id = 18446744073709551615u;
  made.author = "alice";
  made.time_ms = 5;
  made.body = "hé\n\"";
  return made;
}
std::string why(std::string_view line) {
  const ExportLine parsed = parse_export_line(line);
  const auto* bad = std::get_if<BadLine>(&parsed);
  return bad ? bad->why : "";
}

}  // namespace

TEST_CASE("export: an entity is a header, edges, entries and an end") {
  CHECK(write_export_line(ExportHeader{"alice \"a\""}) == R"({"canopy_export":1,"entity":"alice \"a\""})");
  CHECK(write_export_line(ExportedFollow{"bob"}) == R"({"follows":"bob"})");
  CHECK(write_export_line(ExportedFollower{"carol"}) == R"({"follower":"carol"})");
  CHECK(write_export_line(ExportedEntry{"sent", entry()}) ==
        R"({"timeline":"sent","entry":{"position":3,"id":"18446744073709551615","author":"alice","time":5,"body":"hé\n\""}})");
  CHECK(write_export_line(ExportEnd{12}) == R"({"canopy_export_end":{"lines":12}})");
}

TEST_CASE("export: what is written is read again, every field") {
  ExportedEntry written{"mentions", entry()};
  written.entry.type = "text/plain";
  written.entry.body = std::string("\0\xff\xfe", 3);
  written.entry.reply_to = 77;
  written.entry.mentions = {"bob", "carol"};
  written.entry.topics = {"#news"};
  const std::string line = write_export_line(written);
  const ExportLine parsed = parse_export_line(line + "\r");
  REQUIRE(std::holds_alternative<ExportedEntry>(parsed));
  const auto& read = std::get<ExportedEntry>(parsed);
  CHECK(read.timeline == "mentions");
  CHECK(read.entry.id == written.entry.id);
  CHECK(read.entry.body == written.entry.body);
  CHECK(read.entry.reply_to == 77);
  CHECK(write_export_line(read) == line);
  CHECK(std::get<ExportHeader>(parse_export_line(write_export_line(ExportHeader{"#x"}))).entity == "#x");
  CHECK(std::get<ExportedFollow>(parse_export_line(write_export_line(ExportedFollow{"b"}))).author == "b");
  CHECK(std::get<ExportedFollower>(parse_export_line(write_export_line(ExportedFollower{"c"}))).name == "c");
  CHECK(std::get<ExportEnd>(parse_export_line(write_export_line(ExportEnd{7}))).lines == 7);
  CHECK(std::holds_alternative<Blank>(parse_export_line("  \r")));
}

TEST_CASE("import: a wrong line says what is wrong") {
  CHECK(why("{") == "not JSON");
  CHECK(why("[1]") == "not a JSON object");
  CHECK(why("{}") == "not a line of an export");
  CHECK(why(R"({"canopy_export":2,"entity":"a"})") == "an export of version 2; this canopy reads version 1");
  CHECK(why(R"({"canopy_export":1})") == "entity is missing");
  CHECK(why(R"({"follows":7})") == "follows is not a text");
  CHECK(why(R"({"timeline":"outbox","entry":{}})") == "there is no timeline 'outbox'");
  CHECK(why(R"({"timeline":"sent","entry":[]})") == "entry is not an object");
  CHECK(why(R"({"timeline":"sent","entry":{"position":1,"id":"x","author":"a","time":1,"body":""}})") == "id is not a message id");
  CHECK(why(R"({"timeline":"sent","entry":{"position":1,"id":"1","author":"a","time":1,"body_base64":"a"}})") == "body_base64 is not base64");
  CHECK(why(R"({"timeline":"sent","entry":{"position":1,"id":"1","author":"a","time":1,"body":"","mentions":"b"}})") == "mentions is not a list");
  CHECK(why(R"({"timeline":"sent","entry":{"position":-1,"id":"1","author":"a","time":1,"body":""}})") == "position is not a number");
  CHECK(why(R"({"canopy_export_end":7})") != "");
}

TEST_CASE("import: a message comes again under a key of its old id, and replies only to what came again") {
  client::Entry sent = entry();
  sent.id = 42;
  sent.reply_to = 41;
  sent.type = "t";
  sent.mentions = {"bob"};
  sent.topics = {"#x"};
  client::Message message = republish(sent, "alice2", {});
  CHECK(message.author == "alice2");
  CHECK(message.key == "import-42");
  CHECK(message.body == sent.body);
  CHECK(message.type == "t");
  CHECK(message.mentions == sent.mentions);
  CHECK(message.topics == sent.topics);
  CHECK(message.to.empty());
  CHECK(message.reply_to == 0);
  CHECK(republish(sent, "alice2", {{41, 1041}}).reply_to == 1041);
}

TEST_CASE("base64: what it makes it reads, and nothing else") {
  std::string bytes;
  for (int length = 0; length < 70; ++length) {
    CHECK(from_base64(base64(bytes)) == bytes);
    bytes += static_cast<char>(length * 37);
  }
  for (const char* wrong : {"a", "ab", "abc", "a===", "====", "ab=c", "ab==abcd", "aa*=", "ab=="}) CHECK_FALSE(from_base64(wrong));
}

}  // namespace canopy::console
