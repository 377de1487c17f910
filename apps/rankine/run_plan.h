// What a run will need, found by running it on a plan device: nothing is computed, everything is counted.
#pragma once

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

struct BucketPlan {
  ImageSize size;          // pixels
  int visits = 0;          // per epoch; 0 when planned without pictures
  std::int64_t batch = 1;  // pictures of a micro-batch
  Cost micro_step;         // forward and backward of one
  std::size_t peak = 0;    // bytes
};

struct RunPlan {
  std::string model;
  std::size_t peak = 0;  // bytes: the budget that the run needs
  std::vector<std::pair<std::string, std::size_t>>
      accounts;  // bytes held at that moment, and the gaps between them
  std::vector<PlanPhase> phases;
  std::vector<BucketPlan> buckets;  // the most expensive first
  Cost step;                        // one optimizer step of the most expensive bucket
  std::int64_t accumulation = 1;    // micro-batches of a step
  std::int64_t parameters = 0;      // numbers that train
  std::int64_t max_steps = 0;       // 0: unknown without pictures
};

// `data` may be null for text-to-image: then one bucket of the configured resolution is planned. Threads
// count, because each has scratch memory.
RunPlan plan_run(const RunConfig& config, const ImageData* data);

// Refuses a run that would not fit: ConfigError, or OutOfMemory when the machine has the memory but others
// hold it.
void require_fits(const RunPlan& plan, const RunConfig& config, std::size_t budget);

std::string plan_table(const RunPlan& plan);  // for people

}  // namespace rankine::app
