#include "kernels/resample/resample.h"

#include "kernels/resample/resample_impl.h"

namespace rankine {
namespace {

Upsample check_maps(const Context& c, std::string_view op, const Tensor& small, const Tensor& large) {
  require<ShapeError>(small.defined() && small.shape().rank() == 4, op,
                      ": expected the small map as (N, H, W, C)");
  check_dtype(op, "large map", large, check_activation(c, op, "small map", small, small.shape()));
  const Shape &s = small.shape(), &l = large.shape();
  require<ShapeError>(
      l.rank() == 4 && l[0] == s[0] && l[3] == s[3] && l[1] >= s[1] && l[2] >= s[2] && s[1] > 0 && s[2] > 0,
      op, ": cannot enlarge ", s, " to ", l);
  return {s[0], s[3], s[1], s[2], l[1], l[2]};
}

Cost cost_of(const Tensor& small, const Tensor& large, double flops) {
  return {flops * double(large.numel()), double(small.bytes() + large.bytes())};
}

}  // namespace

void upsample_nearest_forward(const Context& c, Tensor& y, const Tensor& x) {
  const Upsample u = check_maps(c, "upsample_nearest_forward", x, y);
  Op op(c, "upsample_nearest_forward", cost_of(x, y, 0));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::upsample_nearest_forward(c.cuda_stream(), y.raw(), x.raw(), y.dtype(), u);
  }
  if (c.device().is_cuda()) no_kernel("upsample_nearest_forward", c);
  cpu::upsample_nearest_forward(c.pool(), y.data<float>(), x.data<float>(), u);
}

void upsample_nearest_adjoint(const Context& c, Tensor& dx, const Tensor& dy) {
  const Upsample u = check_maps(c, "upsample_nearest_adjoint", dx, dy);
  Op op(c, "upsample_nearest_adjoint", cost_of(dx, dy, 1));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::upsample_nearest_adjoint(c.cuda_stream(), dx.raw(), dy.raw(), dx.dtype(), u);
  }
  if (c.device().is_cuda()) no_kernel("upsample_nearest_adjoint", c);
  cpu::upsample_nearest_adjoint(c.pool(), dx.data<float>(), dy.data<float>(), u);
}

}  // namespace rankine
