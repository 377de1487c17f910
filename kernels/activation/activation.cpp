#include "kernels/activation/activation.h"

#include "kernels/activation/activation_impl.h"

namespace rankine {
namespace {

// Operations per element counted as FLOPs: an exponential and a division as one each.
constexpr double kForwardFlops = 4, kBackwardFlops = 8;
constexpr double kWord = sizeof(float);

GatedRows gated_rows(std::string_view op, const Tensor& x) {
  require<ShapeError>(x.defined() && x.shape().rank() >= 1 && x.cols() % 2 == 0, op,
                      ": expected x (..., 2F), got ",
                      x.defined() ? x.shape().to_string() : "an undefined tensor");
  check_dtype(op, "x", x, DType::f32);
  return {x.rows(), x.cols() / 2};
}

void check_pair(std::string_view op, const Tensor& y, const Tensor& x) {
  check_float(op, "x", x, x.shape());
  check_float(op, "y", y, x.shape());
}

void check_grad(std::string_view op, const Tensor& dx, const Tensor& dy, const Tensor& x) {
  check_float(op, "x", x, x.shape());
  check_float(op, "dy", dy, x.shape());
  check_float(op, "dx", dx, x.shape());
}

ActivationGrad grad_args(Tensor& dx, const Tensor& dy, const Tensor& x) {
  return {dx.data<float>(), dy.data<float>(), x.data<float>()};
}

}  // namespace

void silu_forward(const Context& c, Tensor& y, const Tensor& x) {
  check_pair("silu_forward", y, x);
  const std::int64_t n = x.numel();
  Op op(c, "silu_forward", {kForwardFlops * double(n), 2 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::silu_forward(kDefaultStream, y.data<float>(), x.data<float>(), n);
  }
  cpu::silu_forward(c.pool(), y.data<float>(), x.data<float>(), n);
}

void silu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x) {
  check_grad("silu_backward", dx, dy, x);
  const std::int64_t n = x.numel();
  Op op(c, "silu_backward", {kBackwardFlops * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::silu_backward(kDefaultStream, grad_args(dx, dy, x), n);
  }
  cpu::silu_backward(c.pool(), grad_args(dx, dy, x), n);
}

void gelu_forward(const Context& c, Tensor& y, const Tensor& x, Gelu kind) {
  check_pair("gelu_forward", y, x);
  const std::int64_t n = x.numel();
  Op op(c, "gelu_forward", {kForwardFlops * double(n), 2 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::gelu_forward(kDefaultStream, y.data<float>(), x.data<float>(), n, kind);
  }
  cpu::gelu_forward(c.pool(), y.data<float>(), x.data<float>(), n, kind);
}

void gelu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, Gelu kind) {
  check_grad("gelu_backward", dx, dy, x);
  const std::int64_t n = x.numel();
  Op op(c, "gelu_backward", {kBackwardFlops * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::gelu_backward(kDefaultStream, grad_args(dx, dy, x), n, kind);
  }
  cpu::gelu_backward(c.pool(), grad_args(dx, dy, x), n, kind);
}

void geglu_forward(const Context& c, Tensor& y, const Tensor& x) {
  const GatedRows size = gated_rows("geglu_forward", x);
  check_float("geglu_forward", "y", y, x.shape().with_dim(-1, size.half));
  const std::int64_t n = y.numel();
  Op op(c, "geglu_forward", {(kForwardFlops + 1) * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::geglu_forward(kDefaultStream, y.data<float>(), x.data<float>(), size);
  }
  cpu::geglu_forward(c.pool(), y.data<float>(), x.data<float>(), size);
}

void geglu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x) {
  const GatedRows size = gated_rows("geglu_backward", x);
  check_float("geglu_backward", "dy", dy, x.shape().with_dim(-1, size.half));
  check_float("geglu_backward", "dx", dx, x.shape());
  const std::int64_t n = dy.numel();
  Op op(c, "geglu_backward", {(kBackwardFlops + 3) * double(n), 5 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::geglu_backward(kDefaultStream, grad_args(dx, dy, x), size);
  }
  cpu::geglu_backward(c.pool(), grad_args(dx, dy, x), size);
}

}  // namespace rankine
