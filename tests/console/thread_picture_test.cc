#include "thread_picture.h"

#include <doctest/doctest.h>

namespace canopy::console {
namespace {

// Times are left out of what is compared: they are local.
client::Entry entry(client::MessageId id, const char* author, const char* body, client::MessageId reply_to = 0) {
  client::Entry made;
  made.id = id;
  made.author = author;
  made.body = body;
  made.reply_to = reply_to;
  return made;
}
std::string without_times(const std::string& picture) {
  std::string text;
  for (size_t at = 0; at < picture.size();) {
    const size_t end = picture.find('\n', at);
    text += picture.substr(std::min(at + 21, end), end + 1 - std::min(at + 21, end));
    at = end + 1;
  }
  return text;
}

}  // namespace

TEST_CASE("thread: replies stand below what they reply to") {
  ThreadNode about{entry(10, "alice", "ready?"), {}, 0};
  about.replies = {{entry(11, "bob", "almost", 10), {{entry(13, "alice", "good", 11), {}, 0}}, 0},
                   {entry(120, "carol", "yes\nno", 10), {}, 0}};
  CHECK(without_times(thread_picture(about, nullptr, {})) ==
        " 10  alice  ready?\n"
        " 11  ├─ bob  almost\n"
        " 13  │  └─ alice  good\n"
        "120  └─ carol  yes\\nno\n");
}

TEST_CASE("thread: below its parent, or with a word about one that is gone") {
  const client::Entry parent = entry(1, "alice", "first");
  ThreadNode about{entry(2, "bob", "second", 1), {{entry(3, "carol", "third", 2), {}, 0}}, 0};
  CHECK(without_times(thread_picture(about, &parent, {})) ==
        "1  alice  first\n"
        "2  └─ bob  second\n"
        "3     └─ carol  third\n");
  CHECK(without_times(thread_picture(about, nullptr, {})) ==
        "   (a reply to 1, which is gone)\n"
        "2  bob  second\n"
        "3  └─ carol  third\n");
}

TEST_CASE("thread: a page of replies says how to go on") {
  ThreadNode about{entry(2, "bob", "second"), {{entry(3, "carol", "third", 2), {}, 0}}, 77};
  CHECK(without_times(thread_picture(about, nullptr, {})) ==
        "2  bob  second\n"
        "3  ├─ carol  third\n"
        "   └─ … more replies: canopy thread 2 --after 77\n");
}

TEST_CASE("thread: on a terminal what was said is cut to the line") {
  ThreadNode about{entry(2, "bob", "0123456789012345678901234567890123456789"), {}, 0};
  CHECK(without_times(thread_picture(about, nullptr, {true, false, 50})) == "2  bob  01234567890123456789…\n");
}

}  // namespace canopy::console
