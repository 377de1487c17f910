// Ctrl-C and SIGTERM as a request to stop in order; a second one ends the process at once.
#pragma once

#include <atomic>

#include "engine/core/stop_flag.h"

namespace rankine::app {

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
