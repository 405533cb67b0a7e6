#include "progress.h"

#include <algorithm>
#include <fmt/format.h>

#include "text.h"

namespace canopy::console {
namespace {
constexpr size_t bar_width = 24;
constexpr std::chrono::milliseconds redraw{100};
constexpr std::chrono::milliseconds plain_every{5000};

std::string bar(double fraction) {
  static constexpr const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled = static_cast<size_t>(std::clamp(fraction, 0.0, 1.0) * bar_width * 8);
  std::string text;
  for (size_t i = 0; i < filled / 8; ++i) text += "█";
  text += eighths[filled % 8];
  return text + std::string(bar_width - width_of(text), ' ');
}
}  // namespace

std::string progress_line(const ProgressState& state, const Terminal& terminal) {
  std::string text;
  if (state.fraction >= 0) {
    if (terminal.tty) text += "▕" + paint(terminal, Style::accent, bar(state.fraction)) + "▏ ";
    text += fmt::format("{:3.0f} %  ", std::clamp(state.fraction, 0.0, 1.0) * 100);
  }
  text += fmt::format("{} {}  {}/s", grouped(state.done), state.unit, grouped(static_cast<uint64_t>(state.rate)));
  if (state.left_s >= 0) text += fmt::format("  {} left", duration_text(state.left_s));
  if (!state.note.empty()) text += "  " + paint(terminal, Style::dim, "(" + state.note + ")");
  return text;
}

bool Progress::due() const {
  return !quiet_ && Clock::now() - shown_ >= (terminal_.tty ? redraw : plain_every);
}

void Progress::show(const ProgressState& state) {
  if (!due()) return;
  shown_ = Clock::now();
  const std::string line = progress_line(state, terminal_);
  if (terminal_.tty) {
    fmt::print(stderr, "\r{}\x1b[K", line);
    drawn_ = true;
  } else {
    fmt::print(stderr, "canopy: {}\n", line);
  }
  std::fflush(stderr);
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

void Rate::add(double at_s, uint64_t done) {
  const double passed = at_s - last_s_;
  if (passed < 0.09) return;
  const double fresh = static_cast<double>(done - std::min(done, last_done_)) / passed;
  recent_ = recent_ == 0 ? fresh : recent_ * 0.7 + fresh * 0.3;
  last_s_ = at_s;
  last_done_ = done;
}

}  // namespace canopy::console
