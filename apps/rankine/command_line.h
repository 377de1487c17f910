// Options, help and completion of every command.
#pragma once

#include <functional>
#include <string>

#include "apps/rankine/console.h"

namespace rankine::app {

struct ParsedCommand {
  Verbosity verbosity = Verbosity::normal;
  std::function<int(Console&)> run;  // empty: help, version or an error was printed, and `exit_code` holds
  int exit_code = 0;
};

ParsedCommand parse_command_line(int argc, char** argv);

}  // namespace rankine::app
