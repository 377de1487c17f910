// In place of step_bench.cpp where only the kernels were built (RANKINE_PARTS=KERNELS).
#include "bench/step_bench.h"
#include "engine/core/error.h"

namespace rankine::bench {

StepBenchResult run_step_bench(const StepBenchOptions&) {
  throw ConfigError("step: this build has kernels alone; configure with -DRANKINE_PARTS=ALL");
}
void print(const StepBenchOptions&, const StepBenchResult&) {}

}  // namespace rankine::bench
