// What the trainer drives: a model with its data and its loss. The trainer knows no model; a task knows no
// optimizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/param.h"
#include "engine/core/stop_flag.h"
#include "engine/tape/step_memory.h"

namespace rankine {

// What one optimizer step trained on.
struct StepStats {
  std::int64_t samples = 0;  // pictures (or trained tokens) in it
  double epoch = 0;          // epochs finished after this step, fractional
};

class Task {
 public:
  virtual ~Task() = default;

  // Everything that trains, in arena order. Called once; the pointers stay valid for the life of the task.
  virtual std::vector<Param*> params() = 0;
  // Fills the parameters' starting values. Called once, after the arena has placed them.
  virtual void init_params(Context& c) = 0;

  virtual std::int64_t steps_per_epoch() const = 0;
  // What StepStats::samples counts, short: "img", "tok".
  virtual std::string unit() const = 0;

  // Forward and backward of optimizer step `step` (from 0), all of its micro-batches; gradients are added to,
  // and `loss` (1) fp32 gets the loss, normalised over all samples of the step, times c.loss_scale added. The
  // device is not waited for: what a micro-batch needs from the host is uploaded before its work is queued,
  // and nothing is read back. A pure function of (parameters, seed, step): the batch, the noise and the masks
  // follow from the step number alone, so a resumed run needs no state of the task. c.step is set by the
  // caller.
  virtual StepStats train_step(Context& c, std::int64_t step, Tensor& loss) = 0;

  // Asked when the loss stayed not finite, the last time in optimizer step `step`: what on the task's side
  // made it so, for the user; empty when that is not known. The device may be waited for.
  virtual std::string why_not_finite(Context& c, std::int64_t step) { return ""; }

  // Loss on held-out data with fixed noise (c.step is 0 here and in preview); nothing when there is none.
  // Like preview it may throw Interrupted when stop() is set, having changed nothing that trains.
  virtual std::optional<double> validate(Context& c) = 0;

  // Writes preview files for `step` into `folder`; returns their paths. Called again for the same step after
  // an interruption.
  virtual std::vector<std::filesystem::path> preview(Context& c, std::int64_t step,
                                                     const std::filesystem::path& folder) = 0;

  // Writes what users load (an adapter, or a model under `method: full`; a file, or a folder of files) and
  // checks it by reloading. The bytes must follow from the parameters and `facts` alone: no time, no host
  // name. `facts` are run facts for the file's metadata, e.g. "steps", "epoch".
  virtual void save_result(Context& c, const std::filesystem::path& path,
                           const std::map<std::string, std::string>& facts) = 0;

  // How the tapes of train_step keep what backward needs, and what they tell.
  StepMemory& step_memory() { return step_memory_; }

  // What stop() is from now on; the flag must outlive its use.
  void obey(StopFlag stop) { stop_ = stop; }

  // Where warn() goes from now on.
  void warn_through(std::function<void(const std::string&)> warn) { warn_ = std::move(warn); }

  // Identity of model, data and settings that a checkpoint must match to be resumed; one line per fact.
  virtual std::string fingerprint() const = 0;

 protected:
  const StopFlag& stop() const { return stop_; }
  // Tells the user of something that does not end the run.
  void warn(const std::string& message) const {
    if (warn_) warn_(message);
  }

 private:
  StopFlag stop_;
  std::function<void(const std::string&)> warn_;
  StepMemory step_memory_;
};

}  // namespace rankine
