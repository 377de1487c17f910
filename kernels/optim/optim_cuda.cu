// CUDA side of optim.h: fp32, grid-stride.
#include "kernels/common/launch.cuh"
#include "kernels/optim/optim_impl.h"

namespace rankine::cuda {
namespace {

struct AdamW {
  AdamWArgs a;
  AdamWFactors f;
  __device__ void operator()(std::int64_t i) const {
    const float g = a.grad[i] * f.grad_scale;
    const float m = f.beta1 * a.m[i] + f.one_minus_beta1 * g;
    const float v = f.beta2 * a.v[i] + f.one_minus_beta2 * g * g;
    a.m[i] = m;
    a.v[i] = v;
    a.value[i] = a.value[i] * f.decay - f.step * m / (sqrtf(v) * f.root_bias + f.eps);
  }
};

}  // namespace

void adamw_step(CudaStream stream, const AdamWArgs& a, const AdamWFactors& f) {
  for_each("adamw_step", stream, a.n, AdamW{a, f});
}

}  // namespace rankine::cuda
