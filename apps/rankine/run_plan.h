// What a run will need, found by running it on a plan device: nothing is computed, everything is counted.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "apps/rankine/session.h"

namespace rankine::app {

// Most memory that one part of a run holds at once.
struct PlanPhase {
  std::string name;
  std::size_t peak = 0;  // bytes
};

// Micro-batches of one shape.
struct BucketPlan {
  ImageSize size;           // pixels; 0 for text
  int visits = 0;           // per epoch; 0 when planned without data
  std::int64_t batch = 1;   // samples of a micro-batch
  Cost micro_step;          // forward and backward of one
  std::size_t peak = 0;     // bytes
  std::int64_t tokens = 0;  // of the micro-batch; 0 for pictures
  double seconds = 0;       // of one micro-step, by the clock of the plan's card; 0 without one
};

struct RunPlan {
  std::string model;
  std::size_t peak = 0;    // bytes: the budget that the run needs
  std::size_t mapped = 0;  // bytes of files that are used as they lie, beside the budget
  std::vector<std::pair<std::string, std::size_t>>
      accounts;  // bytes held at that moment, and the gaps between them
  std::vector<PlanPhase> phases;
  std::vector<BucketPlan> buckets;  // the most expensive first
  Cost step;                        // one optimizer step of the most expensive bucket
  double seconds = 0;               // of that step, by the clock of the plan's card; 0 without one
  std::int64_t accumulation = 1;    // micro-batches of a step
  std::int64_t parameters = 0;      // numbers that train
  std::int64_t max_steps = 0;       // 0: unknown without data
};

// Watches one plan device and notes what each part of the run adds.
class Ledger {
 public:
  Ledger(Runtime& runtime, RunPlan& plan)
      : memory_(runtime.memory()), cost_(runtime.cost()), clock_(runtime.clock()), plan_(plan) {}
  void begin();
  void end(const std::string& name);
  Cost cost() const { return {cost_.flops(), cost_.bytes()}; }
  double seconds() const { return clock_ ? clock_->now() - begun_ : 0; }  // since begin()
  std::size_t peak() const { return memory_.high_water(); }

 private:
  Memory& memory_;
  CostMeter& cost_;
  const PlanClock* clock_;
  RunPlan& plan_;
  double begun_ = 0;
};
void add(Cost& sum, const Cost& cost, double times);

// What differs between tasks in a plan of their training.
struct PlannedParts {
  std::function<void(Context&)> previews;  // empty: none
  // The micro-steps of one optimizer step of the dearest shape, the loss added to the tensor; notes all
  // shapes, and the step's seconds in the plan.
  std::function<Cost(Context&, Tensor&, Ledger&)> steps;
};
// From parameters to update, on a plan device where the model is loaded.
void plan_training(const Context& c, Task& task, const RunConfig& config, RunPlan& plan,
                   const PlannedParts& parts);

// Refuses a run that would not fit: ConfigError, or OutOfMemory when the machine has the memory but others
// hold it. `what_helps` is asked for the message's end.
void require_fits(const RunPlan& plan, const RunConfig& config, std::size_t budget,
                  const std::function<std::string()>& what_helps);

std::string plan_table(const RunPlan& plan);  // for people

}  // namespace rankine::app
