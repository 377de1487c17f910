#include "engine/train/train_options.h"

#include <cmath>

#include "engine/core/error.h"
#include "engine/train/checkpoint.h"

namespace rankine {

namespace fs = std::filesystem;

TrainOptions checked(TrainOptions o) {
  const fs::path name = o.result_name;
  const bool plain = !name.empty() && name == name.filename() && o.result_name[0] != '.';
  const bool taken = name == CheckpointStore::kStateFile || name == "commit.json" || name == "checkpoints" ||
                     name == "samples";
  require<ConfigError>(plain && !taken, "Trainer: \"", o.result_name, "\" cannot be the name of the result");
  require<ConfigError>(o.max_steps >= 1, "Trainer: max_steps must be at least 1, got ", o.max_steps);
  require<ConfigError>(o.save_steps >= 0 && o.preview_steps >= 0 && o.validation_steps >= 0,
                       "Trainer: steps between saves, previews and validations must not be negative");
  require<ConfigError>(o.max_grad_norm >= 0 && std::isfinite(o.max_grad_norm),
                       "Trainer: max_grad_norm must be 0 or a positive number, got ", o.max_grad_norm);
  o.schedule.total_steps = o.max_steps;
  return o;
}

}  // namespace rankine
