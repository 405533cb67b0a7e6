// JSON is written here and not by nlohmann: a result of 64 MiB would first become a tree of many
// times its size, and what is needed is quotes, commas and seven escapes.
#include "wire/writer.h"

#include <vector>

#include "base/assert.h"
#include "base/name.h"
#include "wire/msgpack_writer.h"
#include "wire/text.h"

namespace canopy::wire {
namespace {

class JsonWriter final : public Writer {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}
  void map(size_t pairs) override { open('{', '}', pairs); }
  void array(size_t items) override { open('[', ']', items); }
  void key(std::string_view name) override {
    before();
    quote(name);
    out_ += ':';
    after_key_ = true;
  }
  void null() override { plain("null"); }
  void boolean(bool v) override { plain(v ? "true" : "false"); }
  void number(uint64_t v) override { plain(std::to_string(v)); }
  void text(std::string_view v) override {
    before();
    quote(v);
    after();
  }
  void id(MessageId v) override { text(std::to_string(v.packed())); }
  void bytes(std::string_view name, std::string_view v) override {
    const bool utf8 = valid_utf8(v);
    key(utf8 ? std::string(name) : std::string(name) + "_base64");
    text(utf8 ? v : std::string_view(base64_encode(v)));
  }
  void raw(std::string_view) override { ASSERT(!"raw bytes in JSON"); }

 private:
  struct Open {
    char closing;
    size_t left;  // values that are still to come
    bool empty = true;
  };

  void open(char opening, char closing, size_t left) {
    before();
    out_ += opening;
    open_.push_back({closing, left});
    close_full();
  }
  void plain(std::string_view v) {
    before();
    out_ += v;
    after();
  }
  // A comma between two; none between a key and its value.
  void before() {
    if (after_key_) {
      after_key_ = false;
      return;
    }
    if (open_.empty()) return;
    if (!open_.back().empty) out_ += ',';
    open_.back().empty = false;
  }
  void after() {
    if (open_.empty()) return;
    --open_.back().left;
    close_full();
  }
  void close_full() {
    while (!open_.empty() && open_.back().left == 0) {
      out_ += open_.back().closing;
      open_.pop_back();
      if (!open_.empty()) --open_.back().left;
    }
  }
  void quote(std::string_view v) {
    const bool utf8 = valid_utf8(v);
    out_ += '"';
    for (const char c : v) {
      const uint8_t b = static_cast<uint8_t>(c);
      if (b == '"' || b == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (b < 0x20) {
        constexpr std::string_view digits = "0123456789abcdef";
        if (c == '\n') {
          out_ += "\\n";
        } else {
          out_ += "\\u00";
          out_ += digits[b >> 4];
          out_ += digits[b & 15];
        }
      } else if (b >= 0x80 && !utf8) {
        out_ += "\xef\xbf\xbd";  // U+FFFD
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  std::string& out_;
  std::vector<Open> open_;
  bool after_key_ = false;
};

}  // namespace

std::unique_ptr<Writer> make_writer(Encoding encoding, std::string& out) {
  if (encoding == Encoding::json) return std::make_unique<JsonWriter>(out);
  return std::make_unique<MsgpackWriter>(out);
}

}  // namespace canopy::wire
