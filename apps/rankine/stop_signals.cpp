#include "apps/rankine/stop_signals.h"

#include <unistd.h>

#include <csignal>

#include "apps/rankine/exit_code.h"

namespace rankine::app {
namespace {

// A signal handler can reach nothing but statics.
std::atomic<bool> stop_requested{false};
std::atomic<int> stop_signal{SIGTERM};

extern "C" void on_stop_signal(int number) {
  if (stop_requested.exchange(true)) ::_exit(kInterrupted + number);
  stop_signal = number;
}

void install(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() { install(on_stop_signal); }
StopSignals::~StopSignals() { install(SIG_DFL); }
const std::atomic<bool>& StopSignals::requested() { return stop_requested; }
int StopSignals::exit_code() { return kInterrupted + stop_signal; }

void StopSignals::throw_if_requested() {
  require<Interrupted>(!stop_requested, "stopped by a signal before the first step");
}

}  // namespace rankine::app
