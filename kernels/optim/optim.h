// One pass of an optimizer over a flat range of the parameter arena.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// AdamW (Loshchilov & Hutter 2019), bias-corrected:
//   g = grad * grad_scale ;  m = b1 m + (1-b1) g ;  v = b2 v + (1-b2) g²
//   value = value (1 - lr wd) - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
struct AdamWSpec {
  float lr = 1e-4F, beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F, weight_decay = 0;
  float grad_scale = 1;  // clipping factor × 1/loss scale
  std::int64_t t = 1;    // step count from 1
};
struct AdamWState {
  Tensor& value;
  Tensor& m;
  Tensor& v;
};
// All 1-D fp32 of one length; value, m and v are updated in place, grad is read.
void adamw_step(const Context& c, AdamWState state, const Tensor& grad, const AdamWSpec& spec);

}  // namespace rankine
