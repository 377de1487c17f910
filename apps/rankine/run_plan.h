// What a run will need, found by running it on a plan device: nothing is computed, everything is counted.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "apps/rankine/session.h"
#include "engine/core/memory_trace.h"
#include "engine/train/memory_solver.h"

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
  double waited = 0;        // of them, for pages and streamed weights
  std::size_t moved = 0;    // bytes, out of the device and back, of one micro-step
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

  MemoryPolicy policy;                               // that it was made with
  std::vector<UnitReport> units;                     // of the most expensive bucket, what the policy is for
  TapeStats tape;                                    // of all buckets
  std::size_t minimum = 0;                           // bytes: the least peak that any policy has
  double unbound_seconds = 0;                        // of a micro-step with everything kept; 0: it is
  std::size_t pages_in_host = 0, pages_in_file = 0;  // bytes that they take
  std::size_t weights_in_host = 0, weights_in_file = 0;  // bytes of streamed weights
  MemoryTrace trace;                                     // of the micro-step that needs most
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

// Refuses a run that would not fit: ConfigError, or OutOfMemory when the machine has the memory but others
// hold it. `what_helps` is asked for the message's end.
void require_fits(const RunPlan& plan, const RunConfig& config, std::size_t budget,
                  const std::function<std::string()>& what_helps);

std::string plan_table(const RunPlan& plan);  // for people

// What a policy does with one unit: "keep", "page", "recompute" or "recompute, page its inputs".
std::string_view action_of(const UnitPolicy& policy);
// Units that follow each other and are treated alike.
struct PolicyRun {
  std::string first, last;
  int units = 0;
  UnitPolicy policy;
  std::size_t saved = 0;  // bytes left on the tape
};
std::vector<PolicyRun> policy_runs(const RunPlan& plan);
// A sentence; empty where everything is kept.
std::string policy_summary(const RunPlan& plan);

}  // namespace rankine::app
