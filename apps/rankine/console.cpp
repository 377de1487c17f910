#include "apps/rankine/console.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace rankine::app {
namespace {

constexpr const char* kRed = "\x1b[31m";
constexpr const char* kYellow = "\x1b[33m";
constexpr const char* kReset = "\x1b[0m";
constexpr const char* kClearLine = "\r\x1b[K";

bool wants_colour() {
  const char* no = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return (no == nullptr || *no == '\0') && (term == nullptr || std::string(term) != "dumb");
}

}  // namespace

Console::Console(Verbosity verbosity)
    : verbosity_(verbosity), terminal_(::isatty(STDERR_FILENO) == 1), colours_(terminal_ && wants_colour()) {}

std::size_t Console::width() const {
  constexpr std::size_t kUsual = 100;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsual;
  return size.ws_col;
}

void Console::print(const char* colour, const char* prefix, const std::string& text) {
  clear_progress();
  const bool coloured = colours_ && *colour != '\0';
  fmt::print(stderr, "{}{}{}{}\n", coloured ? colour : "", prefix, coloured ? kReset : "", text);
}

void Console::error(const std::string& text) { print(kRed, "error: ", text); }
void Console::warn(const std::string& text) {
  if (verbosity_ != Verbosity::silent) print(kYellow, "warning: ", text);
}

void Console::info(const std::string& text) {
  if (!quiet()) print("", "", text);
}

void Console::detail(const std::string& text) {
  if (verbosity_ == Verbosity::verbose) print("", "", text);
}

void Console::progress(const std::string& line) {
  if (!terminal_ || quiet()) return;
  const std::size_t columns = width();
  fmt::print(stderr, "{}{}", kClearLine, line.size() < columns ? line : line.substr(0, columns - 1));
  std::fflush(stderr);
  progress_shown_ = true;
}

void Console::clear_progress() {
  if (!progress_shown_) return;
  fmt::print(stderr, "{}", kClearLine);
  std::fflush(stderr);
  progress_shown_ = false;
}

}  // namespace rankine::app
