// Messages for people, on stderr; stdout is left to data. On a terminal one progress line at the bottom is
// rewritten in place; elsewhere it is left out.
#pragma once

#include <string>

namespace rankine::app {

enum class Verbosity { silent, quiet, normal, verbose };

class Console {
 public:
  explicit Console(Verbosity verbosity = Verbosity::normal);
  ~Console() { clear_progress(); }
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  bool terminal() const { return terminal_; }
  bool quiet() const { return verbosity_ <= Verbosity::quiet; }
  std::size_t width() const;  // columns of the terminal

  void error(const std::string& text);   // always shown
  void warn(const std::string& text);    // shown unless silent
  void info(const std::string& text);    // not with -q
  void detail(const std::string& text);  // with -v

  // Only on a terminal, and not with -q.
  void progress(const std::string& line);
  void clear_progress();

 private:
  void print(const char* colour, const char* prefix, const std::string& text);

  Verbosity verbosity_;
  bool terminal_, colours_;
  bool progress_shown_ = false;
};

}  // namespace rankine::app
