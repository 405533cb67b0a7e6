#include "store/verify.h"

#include <fmt/format.h>

#include "store/rows.h"
#include "store/store.h"

namespace canopy::store {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

// Keys that do not ascend are pages of two times in one tree; seen here, they cannot lead in a circle.
void verify_rows(const Backend& backend, VerifyReport& report) {
  std::string before;
  backend.scan(Space::tables, {}, reserved_end, [&](std::string_view key, std::string_view stored) {
    if (report.rows > 0 && key <= before) report.damage = "the rows are out of order at key " + hex(key);
    else if (!unseal(key, stored)) report.damage = "the row under key " + hex(key) + " is damaged";
    if (!report.damage.empty()) return false;
    before.assign(key);
    ++report.rows;
    return true;
  });
}

}  // namespace

VerifyReport verify(Backend& backend) {
  VerifyReport report;
  verify_rows(backend, report);
  if (!report.damage.empty()) return report;
  if (report.rows == 0) return report;  // created, and not used yet
  const auto store = Store::open(backend, {});
  if (store)
    report.replayed = (*store)->status().replayed;
  else
    report.damage = store.error().message;
  return report;
}

}  // namespace canopy::store
