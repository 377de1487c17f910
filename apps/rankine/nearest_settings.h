// Where a run does not fit: the nearest settings that do, each found by planning it.
//
// Levers, in the order in which they cost the user least: batch_size (gradient_accumulation keeps the step's
// samples), resolution or max_length, quantise_base, lora_rank. Each lever that is enough by itself gives one
// suggestion, its mildest value that fits. Where none is enough, one suggestion joins as few as it takes, and
// each of them is then eased as far as the others allow.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/rankine/run_plan.h"
#include "io/config/run_config.h"

namespace rankine::app {

using Settings = std::vector<std::string>;  // key=value, as after --set

struct Suggestion {
  Settings settings;
  RunPlan plan;
};

struct PlanSearch {
  RunConfig config;                                // that does not fit
  int side = 512;                                  // pixels of the model; where `resolution` is not set
  std::function<RunConfig(const Settings&)> with;  // the same run with other settings; may throw Error
  std::function<RunPlan(const RunConfig&)> plan;   // may throw Error
  std::size_t budget = 0;                          // bytes
};

// Settings that are refused, or whose plan fails, do not count. Empty: nothing fits.
std::vector<Suggestion> nearest_settings(const PlanSearch& search);

// For people, a line each; says so where there are none.
std::string suggestions_text(const std::vector<Suggestion>& suggestions);

}  // namespace rankine::app
