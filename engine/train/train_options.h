// What a training run is asked to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/train/adamw.h"
#include "engine/train/lr_schedule.h"

namespace rankine {

struct TrainOptions {
  std::filesystem::path run_dir;
  // What save_result is asked to write, a file or a folder, e.g. "cyberpunk_lora.safetensors".
  std::string result_name;
  std::int64_t max_steps = 0;  // optimizer steps in all
  AdamWOptions adamw;
  LrScheduleOptions schedule;         // total_steps is set to max_steps
  double max_grad_norm = 1;           // 0: no clipping
  double ema_decay = 0;               // 0: off; else previews, validation and results use the average
  std::int64_t save_steps = 0;        // steps between checkpoints; 0: only at the end
  std::int64_t keep_checkpoints = 3;  // 0: all
  std::int64_t preview_steps = 0;     // steps between previews; 0: only before and after training
  std::int64_t validation_steps = 0;  // the same for validation
  std::uint64_t seed = 42;
};

// The same options with schedule.total_steps set. Throws ConfigError naming the first one out of range (those
// of AdamW, the schedule and the average are checked where they are used).
TrainOptions checked(TrainOptions options);

}  // namespace rankine
