// A run's plan for a target: what `plan` prints and `train` decides by.
#pragma once

#include "apps/rankine/nearest_settings.h"
#include "apps/rankine/workload.h"

namespace rankine::app {

// A fresh plan, with the run's data where it is there and can be read without the model's file. The console
// hears of the data.
RunPlan plan_run(const RunConfig& config, const PlanTarget& target, Console& console);

// The nearest settings of the run that `args` describe which fit the target; see nearest_settings.h. `load`
// reads a run file with other settings after its own.
using LoadSettings = std::function<RunConfig(const Settings&)>;
std::vector<Suggestion> settings_that_fit(const RunConfig& config, const LoadSettings& load,
                                          const PlanTarget& target);

}  // namespace rankine::app
