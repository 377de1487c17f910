#include <fmt/core.h>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/run_report.h"

namespace rankine::app {

int run_report(const std::string& run_dir, Console&) {
  require<IoError>(std::filesystem::exists(std::filesystem::path(run_dir) / "config.yaml"), run_dir,
                   ": not a run folder; it has no config.yaml");
  fmt::print("{}\n", write_run_report(run_dir).string());
  return kFinished;
}

}  // namespace rankine::app
