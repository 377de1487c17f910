// Everything that changes while training: parameters, optimizer state, moving average and counters. One
// update of it is a pure function of (state, seed, step), and saving and loading is exact, so a resumed run
// continues bit for bit.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "engine/train/adamw.h"
#include "engine/train/ema.h"
#include "engine/train/loss_scale.h"
#include "engine/train/task.h"

namespace rankine {

struct TrainCounters {
  std::int64_t step = 0;     // optimizer steps done, skipped ones included; the next batch is number `step`
  std::int64_t skipped = 0;  // of these, bad ones: loss or gradient not finite, nothing updated
  std::int64_t updates = 0;  // the others: Adam's t, and the position in a learning-rate schedule
  std::int64_t bad_streak = 0;  // bad ones in a row, up to now
  double epoch = 0;             // epochs finished
};

// What one update did.
struct UpdateReport {
  StepStats stats;
  double loss = 0;           // normalised over all samples of the step
  double grad_norm = 0;      // sqrt(sum of squares) over all parameters; NaN or infinite for a bad gradient
  double learning_rate = 0;  // 0 for a skipped step
  bool skipped = false;
};

class TrainState {
 public:
  // Places the task's parameters in an arena and fills them with the task's starting values. ema_decay 0: no
  // average.
  TrainState(Context& c, Task& task, const AdamWOptions& adamw, double ema_decay);

  // One optimizer step: forward and backward of step counters().step, norm, clipping, update, average. A loss
  // or gradient that is not finite changes nothing but the counters: no value, no optimizer state, no
  // average, and not counters().updates. max_grad_norm <= 0: no clipping. The device is read once, at the
  // end.
  UpdateReport update(Context& c, Task& task, double learning_rate, double max_grad_norm);

  // The same in parts, for work that is not a task's step (a plan, a benchmark): what the step needs goes up,
  // gradients and loss() become zero and c is made ready; then comes work that adds to both; apply() judges
  // and updates on the device; finish() waits for it and counts.
  void begin(Context& c, double learning_rate, double max_grad_norm);
  void apply(Context& c);
  UpdateReport finish(Context& c, const StepStats& stats);
  Tensor& loss() { return loss_; }  // (1) fp32, times the loss scale

  const TrainCounters& counters() const { return counters_; }
  ParamArena& arena() { return arena_; }
  Optimizer& optimizer() { return *optimizer_; }
  const LossScale& loss_scale() const { return loss_scale_; }
  Ema* ema() { return ema_ ? &*ema_ : nullptr; }

  // "name: value" lines that a checkpoint must share: optimizer, average, and the parameters' names and
  // shapes.
  std::string facts() const;

  // A safetensors file with flat F32 tensors "parameters", those of the optimizer, and "ema" where there is
  // one; the counters stand in its metadata as decimal text. save() throws IoError; load() throws DataError
  // naming the file when a tensor or counter is missing or has another size, and then leaves the state
  // half-loaded.
  void save(const std::filesystem::path& file);
  void load(const Context& c, const std::filesystem::path& file);

 private:
  std::vector<NamedTensor> tensors();

  ParamArena arena_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<Ema> ema_;
  LossScale loss_scale_;
  Tensor step_, loss_;  // StepState of kernels/optim/optim.h; the loss of the step under way
  double learning_rate_ = 0;
  double ema_decay_;
  TrainCounters counters_;
};

}  // namespace rankine
