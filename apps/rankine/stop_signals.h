// Ctrl-C and SIGTERM as a request to stop in order; a second one ends the process at once.
#pragma once

#include <atomic>

#include "engine/core/error.h"

namespace rankine::app {

// Thrown where work was stopped in between and nothing of it is to be kept.
class Interrupted : public Error {
 public:
  using Error::Error;
};

// Installs the handlers for its lifetime. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  static const std::atomic<bool>& requested();
  static int exit_code();            // 128 + the signal that came
  static void throw_if_requested();  // Interrupted
};

}  // namespace rankine::app
