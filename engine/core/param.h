// The only thing that trains: a named view of the flat arena with its gradient.
#pragma once

#include <string>

#include "engine/core/tensor.h"

namespace rankine {

// Parameters that share a learning-rate factor and a weight-decay switch; see engine/train/param_arena.h.
struct ParamGroup {
  double lr_scale = 1.0;  // multiplies the scheduled learning rate (LoRA+, text-encoder rate)
  bool decay = true;      // weight decay applies
};

// A layer declares a Param by name and shape; the arena (engine/train/param_arena.h) gives it value and
// gradient.
struct Param {
  std::string name;
  Shape shape;
  ParamGroup group;
  Tensor value;  // fp32 master, a view of the arena; undefined until the arena placed it
  Tensor grad;   // same shape, fp32; backward adds to it (+=)
  // What products read: `value` itself where activations are fp32, else its rounded copy, which the arena
  // keeps up to date.
  Tensor working = {};
};

}  // namespace rankine
