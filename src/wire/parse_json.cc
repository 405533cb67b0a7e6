// The only reader of JSON: nlohmann's SAX parser, which keeps its own stack and checks UTF-8.
#include <exception>
#include <nlohmann/json.hpp>

#include "wire/text.h"
#include "wire/value.h"

namespace canopy::wire {
namespace {

using Json = nlohmann::json;

struct Handler : nlohmann::json_sax<Json> {
  explicit Handler(Builder& builder) : builder_(builder) {}
  bool null() override { return builder_.nil(); }
  bool boolean(bool v) override { return builder_.boolean(v); }
  bool number_integer(int64_t v) override { return builder_.negative(v); }
  bool number_unsigned(uint64_t v) override { return builder_.number(v); }
  bool number_float(double v, const std::string&) override { return builder_.real(v); }
  bool string(std::string& v) override { return builder_.text_copy(std::move(v)); }
  bool binary(Json::binary_t&) override { return builder_.refuse("has binary data"); }
  bool start_object(size_t) override { return builder_.open(Kind::map, 0); }
  bool key(std::string& v) override { return builder_.text_copy(std::move(v)); }
  bool end_object() override { return builder_.close(); }
  bool start_array(size_t) override { return builder_.open(Kind::array, 0); }
  bool end_array() override { return builder_.close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 3: …": without what is in
    // brackets, and with what was read made printable.
    std::string_view text = e.what();
    if (const size_t bracket = text.find("] "); bracket != std::string_view::npos) text.remove_prefix(bracket + 2);
    return builder_.refuse("is not JSON: " + escaped(text, 300));
  }

 private:
  Builder& builder_;
};

}  // namespace

Result<void> parse_json(std::string_view what, std::string_view input, const ParseLimits& limits, Document& document) {
  const auto refused = [&](const std::string& why) {
    return failure(Code::bad_request, std::string(what) + " " + why);
  };
  if (input.size() > limits.bytes_max)
    return failure(Code::too_large, std::string(what) + " has " + std::to_string(input.size()) +
                                        " bytes: it must be at most " + std::to_string(limits.bytes_max));
  Builder builder(document, limits);
  Handler handler(builder);
  bool parsed = false;
  try {
    parsed = Json::sax_parse(input.begin(), input.end(), &handler);
  } catch (const std::exception& e) {
    return refused(std::string("cannot be read: ") + e.what());
  }
  if (!builder.error().empty()) return refused(builder.error());
  if (!parsed) return refused("is not JSON");
  return {};
}

}  // namespace canopy::wire
