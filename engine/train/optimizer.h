// What updates the parameters. An optimizer is one file: it implements this and owns its state tensors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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

  // One update: arena.value() is overwritten, arena.grad() * grad_scale is read. `lr` is the scheduled rate;
  // the optimizer multiplies it with each range's group.lr_scale.
  virtual void step(const Context& c, ParamArena& arena, double lr, double grad_scale) = 0;

  // Updates done so far (Adam's t). Together with state() it is all that a checkpoint stores.
  virtual std::int64_t updates() const = 0;
  virtual void set_updates(std::int64_t updates) = 0;

  // Handles of the state tensors, accounted under Account::optimizer; writing to them restores a state.
  virtual std::vector<NamedTensor> state() = 0;
};

}  // namespace rankine
