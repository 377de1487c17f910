#include <fmt/core.h>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"

namespace rankine::app {

int run_schema(bool markdown) {
  fmt::print("{}", markdown ? config::config_reference_markdown() : config::run_config_schema());
  return kFinished;
}

}  // namespace rankine::app
