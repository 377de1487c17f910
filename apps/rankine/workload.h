// What a run trains on, as the commands see it: pictures or text. Everything that differs between the two
// while a run is set up is behind this interface; what follows is the trainer's.
#pragma once

#include <memory>
#include <string>

#include "apps/rankine/console.h"
#include "apps/rankine/device_choice.h"
#include "apps/rankine/planned_run.h"
#include "apps/rankine/run_facts.h"
#include "io/record/run_folder.h"

namespace rankine::app {

class Workload {
 public:
  virtual ~Workload() = default;

  // Reads the training data, warns of what is wrong with it and notes what there is. Throws DataError.
  virtual void open_data(Console& console, RunFacts& facts) = 0;
  virtual std::int64_t max_steps() = 0;  // of the run
  virtual std::int64_t steps_per_epoch() = 0;

  // The run on a plan device of the target. Without open_data: what can be said without the data. One at a
  // time: it may borrow the data.
  virtual std::unique_ptr<PlannedRun> start_plan(const PlanTarget& target) = 0;
  // Loads the model and makes the task; the data goes with it.
  virtual std::unique_ptr<Task> load(const Context& c, const WeightStreaming& streaming, RunFacts& facts) = 0;
  // Work before the first step that may take long; tells the console of its progress.
  virtual void prepare(const Context& c, Console& console) {}
  // What a finished run shows beside its record.
  virtual void illustrate(const RunFolder& folder) {}

  // For "Reading the pictures", "Encoding the pictures".
  virtual std::string subject() const = 0;
};

std::unique_ptr<Workload> make_workload(const RunConfig& config);
std::unique_ptr<Workload> make_image_workload(const RunConfig& config);
std::unique_ptr<Workload> make_text_workload(const RunConfig& config);

// max_steps of the run file, or the steps that its epochs take. `epoch_of(step)` counts epochs finished.
template <class EpochOf>
std::int64_t steps_of_run(const RunConfig& config, std::int64_t steps_per_epoch, const EpochOf& epoch_of) {
  if (config.optim.max_steps) return *config.optim.max_steps;
  // Epochs can differ by a step, so the first guess is moved to the exact border.
  const std::int64_t epochs = config.optim.epochs.value_or(1);
  std::int64_t steps = steps_per_epoch * epochs;
  while (epoch_of(steps) < epochs) ++steps;
  while (steps > 1 && epoch_of(steps - 1) >= epochs) --steps;
  return steps;
}

}  // namespace rankine::app
