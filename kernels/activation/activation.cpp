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
    if (c.device().is_cuda()) return cuda::silu_forward(c.cuda_stream(), y.data<float>(), x.data<float>(), n);
  }
  cpu::silu_forward(c.pool(), y.data<float>(), x.data<float>(), n);
}

void silu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x) {
  check_grad("silu_backward", dx, dy, x);
  const std::int64_t n = x.numel();
  Op op(c, "silu_backward", {kBackwardFlops * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::silu_backward(c.cuda_stream(), grad_args(dx, dy, x), n);
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
      return cuda::gelu_forward(c.cuda_stream(), y.data<float>(), x.data<float>(), n, kind);
  }
  cpu::gelu_forward(c.pool(), y.data<float>(), x.data<float>(), n, kind);
}

void gelu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, Gelu kind) {
  check_grad("gelu_backward", dx, dy, x);
  const std::int64_t n = x.numel();
  Op op(c, "gelu_backward", {kBackwardFlops * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::gelu_backward(c.cuda_stream(), grad_args(dx, dy, x), n, kind);
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
      return cuda::geglu_forward(c.cuda_stream(), y.data<float>(), x.data<float>(), size);
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
    if (c.device().is_cuda()) return cuda::geglu_backward(c.cuda_stream(), grad_args(dx, dy, x), size);
  }
  cpu::geglu_backward(c.pool(), grad_args(dx, dy, x), size);
}

void swiglu_forward(const Context& c, Tensor& y, const Tensor& gate, const Tensor& up) {
  constexpr std::string_view kName = "swiglu_forward";
  check_float(kName, "gate", gate, gate.shape());
  check_float(kName, "up", up, gate.shape());
  check_float(kName, "y", y, gate.shape());
  const std::int64_t n = y.numel();
  Op op(c, kName, {(kForwardFlops + 1) * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::swiglu_forward(c.pool(), {y.data<float>(), gate.data<float>(), up.data<float>()}, {1, n}, n);
}

void swiglu_backward(const Context& c, Tensor& dgate, Tensor& dup, const Tensor& dy, const Tensor& gate,
                     const Tensor& up) {
  constexpr std::string_view kName = "swiglu_backward";
  check_float(kName, "gate", gate, gate.shape());
  check_float(kName, "up", up, gate.shape());
  check_float(kName, "dy", dy, gate.shape());
  check_float(kName, "dgate", dgate, gate.shape());
  check_float(kName, "dup", dup, gate.shape());
  const std::int64_t n = dy.numel();
  Op op(c, kName, {(kBackwardFlops + 3) * double(n), 5 * kWord * double(n)});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::swiglu_backward(
      c.pool(),
      {dgate.data<float>(), dup.data<float>(), dy.data<float>(), gate.data<float>(), up.data<float>()},
      {1, n}, n);
}

void swiglu_forward(const Context& c, Tensor& y, const Tensor& x) {
  constexpr std::string_view kName = "swiglu_forward";
  const GatedRows size = gated_rows(kName, x);
  check_float(kName, "y", y, x.shape().with_dim(-1, size.half));
  const std::int64_t n = y.numel();
  Op op(c, kName, {(kForwardFlops + 1) * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  const float* gate = x.data<float>();
  cpu::swiglu_forward(c.pool(), {y.data<float>(), gate, gate + size.half}, size, x.cols());
}

void swiglu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x) {
  constexpr std::string_view kName = "swiglu_backward";
  const GatedRows size = gated_rows(kName, x);
  check_float(kName, "dy", dy, x.shape().with_dim(-1, size.half));
  check_float(kName, "dx", dx, x.shape());
  const std::int64_t n = dy.numel();
  Op op(c, kName, {(kBackwardFlops + 3) * double(n), 5 * kWord * double(n)});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  const float* gate = x.data<float>();
  float* dgate = dx.data<float>();
  cpu::swiglu_backward(c.pool(), {dgate, dgate + size.half, dy.data<float>(), gate, gate + size.half}, size,
                       x.cols());
}

}  // namespace rankine
