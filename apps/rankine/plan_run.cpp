#include "apps/rankine/plan_run.h"

#include "models/tasks/base_shape.h"

namespace rankine::app {
namespace {

// Rows of text need the model's vocabulary, which a shape does not have.
bool data_can_be_read(const RunConfig& config) {
  const bool text = config.model.task_type == config::TaskType::text_generation;
  if (text && is_shape(config.model.base_model) && !config.model.tokenizer) return false;
  return std::filesystem::exists(config.data.train_data_dir);
}

}  // namespace

RunPlan plan_run(const RunConfig& config, const PlanTarget& target, Console& console) {
  const std::unique_ptr<Workload> workload = make_workload(config);
  if (data_can_be_read(config)) {
    RunFacts unused;
    workload->open_data(console, unused);
  } else if (!is_shape(config.model.base_model)) {
    console.warn(config.data.train_data_dir + ": not found; planning the largest shape without the data");
  }
  return plan_within(config, target, [&](const PlanTarget& one) { return workload->start_plan(one); });
}

std::vector<Suggestion> settings_that_fit(const RunConfig& config, const LoadSettings& load,
                                          const PlanTarget& target) {
  Console silent(Verbosity::silent);
  PlanSearch search{config, 0, load, {}, target.budget};
  search.plan = [&](const RunConfig& other) { return plan_run(other, target, silent); };
  if (config.model.task_type != config::TaskType::text_generation) search.side = shape_of_model(config).side;
  return nearest_settings(search);
}

}  // namespace rankine::app
