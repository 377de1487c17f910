#include "kernels/optim/optim.h"

#include "kernels/optim/optim_impl.h"

namespace rankine {

void adamw_step(const Context& c, AdamWState state, const Tensor& grad, const AdamWSpec& spec) {
  require<ShapeError>(grad.defined() && grad.shape().rank() == 1,
                      "adamw_step: expected a flat grad (n), got ",
                      grad.defined() ? grad.shape().to_string() : "an undefined tensor");
  check_float("adamw_step", "grad", grad, grad.shape());
  check_float("adamw_step", "value", state.value, grad.shape());
  check_float("adamw_step", "m", state.m, grad.shape());
  check_float("adamw_step", "v", state.v, grad.shape());
  require<ShapeError>(spec.t >= 1, "adamw_step: t counts from 1, got ", spec.t);
  const std::int64_t n = grad.numel();
  Op op(c, "adamw_step", {14.0 * double(n), 7.0 * double(grad.bytes())});
  if (op.planned()) return;
  const AdamWArgs args{state.value.data<float>(), state.m.data<float>(), state.v.data<float>(),
                       grad.data<float>(), n};
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::adamw_step(c.cuda_stream(), args, AdamWFactors(spec));
  }
  cpu::adamw_step(c.pool(), args, AdamWFactors(spec));
}

}  // namespace rankine
