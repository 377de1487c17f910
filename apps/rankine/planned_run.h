// A run on a plan device, up to its first step. Policies of memory can be tried on its micro-steps; the
// chosen one makes the plan.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "apps/rankine/device_choice.h"
#include "apps/rankine/run_plan.h"
#include "engine/train/train_state.h"
#include "models/nn/weight_stream.h"

namespace rankine::app {

class PlannedRun {
 public:
  virtual ~PlannedRun() = default;
  PlannedRun(const PlannedRun&) = delete;
  PlannedRun& operator=(const PlannedRun&) = delete;

  // The bucket whose micro-step is largest as long as nobody has measured.
  std::size_t largest_bucket() const;
  // A micro-step of one bucket, with all that the run holds besides; the peak is that of the run up to there.
  MemoryTrial attempt(const MemoryPolicy& policy, std::size_t bucket);
  // Units of the model whose weights can be streamed.
  int streamable_units() const { return stream_ ? stream_->units() : 0; }
  // Every bucket and the update under a policy; once.
  RunPlan finish(const MemoryPolicy& policy);

 protected:
  PlannedRun(const RunConfig& config, const PlanTarget& target);
  RunPlan& plan() { return plan_; }
  Ledger& ledger() { return ledger_; }
  const Context& context() const { return context_; }
  Task& task() { return *task_; }
  // How the model is to be loaded, and what streams it then; null: nothing can.
  const WeightStreaming& streaming() const { return streaming_; }
  void streamed_by(const PagedWeightStream* stream) { stream_ = stream; }

  // After the model is loaded and plan().buckets are known: makes what trains. Without data there is no
  // validation and no preview.
  void begin(std::unique_ptr<Task> task, bool has_data);
  virtual void micro_step(Context& c, const BucketPlan& bucket, Tensor& loss) = 0;
  // How many make an optimizer step.
  virtual std::int64_t micro_steps() const { return plan_.accumulation; }
  virtual std::string describe(const BucketPlan& bucket) const = 0;

 private:
  void run_bucket(BucketPlan& bucket);

  RunConfig config_;
  std::unique_ptr<Runtime> runtime_;
  Context context_;
  RunPlan plan_;
  Ledger ledger_;
  std::unique_ptr<Task> task_;
  std::unique_ptr<TrainState> state_;
  WeightStreaming streaming_;
  const PagedWeightStream* stream_ = nullptr;  // the task's
};

// The plan of a run within the target's budget: with everything kept where that fits, else with the policy
// that costs least. `start` loads the run on a plan device of a target.
using StartPlan = std::function<std::unique_ptr<PlannedRun>(const PlanTarget&)>;
RunPlan plan_within(const RunConfig& config, const PlanTarget& target, const StartPlan& start);

}  // namespace rankine::app
