// How a plan is told: to people and to programs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/rankine/nearest_settings.h"
#include "apps/rankine/workload.h"

namespace rankine::app {

// All that is printed.
struct Forecast {
  RunPlan plan;
  PlanTarget target;
  std::optional<CardSpec> card;  // nothing: a device whose rates are not known
  std::vector<Suggestion> suggestions;
  bool fits() const { return plan.peak <= target.budget; }
};

std::string plan_json(const Forecast& forecast);  // docs/memory.md has the keys
// In words, on stdout.
void print_plan(const Forecast& forecast, const RunConfig& config);

}  // namespace rankine::app
