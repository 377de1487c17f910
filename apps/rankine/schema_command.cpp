#include <fmt/core.h>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"

namespace rankine::app {

int run_schema() {
  fmt::print("{}", config::run_config_schema());
  return kFinished;
}

}  // namespace rankine::app
