#include "entries.h"

#include <algorithm>
#include <fmt/format.h>

#include "text.h"

namespace canopy::console {

std::string entries_table(const std::vector<client::Entry>& entries, const Terminal& terminal) {
  Table table({{"TIME"}, {"ID", Align::right}, {"AUTHOR"}, {"BODY"}});
  for (const client::Entry& entry : entries)
    table.add({{local_time(entry.time_ms), Style::dim},
               {std::to_string(entry.id), Style::dim},
               {entry.author, Style::accent},
               entry.body});
  return table.render(terminal);
}

std::string entry_line(const client::Entry& entry, const Terminal& terminal) {
  const std::string time = local_time(entry.time_ms), author = printable(entry.author);
  const size_t used = width_of(time) + width_of(author) + 4;
  std::string body = printable(entry.body);
  if (terminal.width > 0) body = fit(body, std::max<size_t>(16, terminal.width > used ? terminal.width - used : 0));
  return fmt::format("{}  {}  {}\n", paint(terminal, Style::dim, time), paint(terminal, Style::accent, author), body);
}

std::string entry_card(const client::Entry& entry, const Terminal& terminal) {
  Table card({{"field"}, {"value"}});
  card.add({{"id", Style::heading}, std::to_string(entry.id)});
  card.add({{"author", Style::heading}, {entry.author, Style::accent}});
  card.add({{"time", Style::heading}, local_time(entry.time_ms)});
  card.add({{"position", Style::heading}, std::to_string(entry.position)});
  if (!entry.type.empty()) card.add({{"type", Style::heading}, entry.type});
  if (entry.reply_to) card.add({{"reply to", Style::heading}, std::to_string(entry.reply_to)});
  if (!entry.mentions.empty()) card.add({{"mentions", Style::heading}, fmt::format("{}", fmt::join(entry.mentions, ", "))});
  if (!entry.topics.empty()) card.add({{"topics", Style::heading}, fmt::format("{}", fmt::join(entry.topics, ", "))});
  std::string text = card.render(terminal, false) + "\n";
  if (!terminal.tty) return text + entry.body + (entry.body.empty() || entry.body.back() != '\n' ? "\n" : "");
  for (size_t at = 0; at < entry.body.size();) {
    const size_t end = std::min(entry.body.find('\n', at), entry.body.size());
    text += printable(std::string_view(entry.body).substr(at, end - at)) + "\n";
    at = end + 1;
  }
  return text;
}

const std::vector<std::string>& timeline_names() {
  static const std::vector<std::string> names{"home", "sent", "mentions", "replies", "topic"};
  return names;
}
const char* const timelines_help =
    "home: what it follows; sent: what it published; mentions: what names it; replies: to its messages; topic: what carries it";

bool parse_timeline(const std::string& name, client::Timeline& timeline) {
  using client::Timeline;
  static constexpr Timeline timelines[] = {Timeline::home, Timeline::sent, Timeline::mentions, Timeline::replies, Timeline::topic};
  const auto& names = timeline_names();
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) return false;
  timeline = timelines[at - names.begin()];
  return true;
}

std::string unread_text(uint64_t unread) {
  constexpr uint64_t counted_most = 10'000;  // the protocol's bound
  return fmt::format("{}{} unread", grouped(unread), unread >= counted_most ? " or more" : "");
}

}  // namespace canopy::console
