// The gradient of one optimizer step, judged before anything is changed: one reduction gives the global norm,
// the clipping factor and whether every element is a finite number.
#pragma once

#include "engine/train/param_arena.h"

namespace rankine {

struct GradientCheck {
  double norm = 0;   // sqrt(sum of squares) over all parameters; NaN or infinite for a bad gradient
  double scale = 1;  // factor for the gradient: min(1, max_norm / (norm + 1e-6)) / loss_scale
  bool finite = true;
};

// The gradients are those of the loss times `loss_scale`; norm is without it, scale takes it out. max_norm <=
// 0: no clipping. Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013; the
// 1e-6 is PyTorch's clip_grad_norm_.
GradientCheck check_gradient(const Context& c, const ParamArena& arena, double max_norm,
                             double loss_scale = 1);

}  // namespace rankine
