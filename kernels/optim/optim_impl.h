// What each device implements for optim.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include <cmath>

#include "engine/core/cuda_device.h"
#include "kernels/optim/optim.h"

namespace rankine {

struct AdamWArgs {
  float* value;
  float* m;
  float* v;
  const float* grad;
  std::int64_t n;
};
// The per-step constants, worked out once in double.
struct AdamWFactors {
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float decay;      // 1 - lr wd
  float step;       // lr / (1 - beta1^t)
  float root_bias;  // 1 / sqrt(1 - beta2^t)
  float eps, grad_scale;

  explicit AdamWFactors(const AdamWSpec& s)
      : beta1(s.beta1),
        one_minus_beta1(float(1 - double(s.beta1))),
        beta2(s.beta2),
        one_minus_beta2(float(1 - double(s.beta2))),
        decay(float(1 - double(s.lr) * s.weight_decay)),
        step(float(s.lr / (1 - std::pow(double(s.beta1), double(s.t))))),
        root_bias(float(1 / std::sqrt(1 - std::pow(double(s.beta2), double(s.t))))),
        eps(s.eps),
        grad_scale(s.grad_scale) {}
};

namespace cpu {
void adamw_step(ThreadPool& pool, const AdamWArgs& a, const AdamWFactors& f);
}
namespace cuda {
void adamw_step(CudaStream stream, const AdamWArgs& a, const AdamWFactors& f);
}

}  // namespace rankine
