// What updates the parameters. An optimizer is one file: it implements this and owns its state tensors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/train/ema.h"
#include "engine/train/param_arena.h"

namespace rankine {

// A flat fp32 tensor of the training state under the name it has in a checkpoint.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Every setting that changes the result, on one line, e.g. "adamw beta1=0.9 ...": a checkpoint must match
  // it.
  virtual std::string describe() const = 0;

  // One update, all of it work of the device: judges arena.grad() and `loss` (1) by the inputs in `state`
  // (see StepState in kernels/optim/optim.h), and unless they are bad overwrites the arena's values, their
  // rounded copies, the optimizer's own tensors and the average, where there is one. What came of it stands
  // in `state`; nothing is read back. The scheduled rate is multiplied with each range's group.lr_scale.
  virtual void step(const Context& c, ParamArena& arena, Tensor& state, const Tensor& loss, Ema* ema) = 0;

  // Handles of the state tensors, accounted under Account::optimizer; writing to them restores a state.
  virtual std::vector<NamedTensor> state() = 0;
};

}  // namespace rankine
