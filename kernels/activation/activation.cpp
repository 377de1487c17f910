#include "kernels/activation/activation.h"

#include <utility>

#include "kernels/activation/activation_impl.h"
#include "kernels/lowrank/lowrank.h"

namespace rankine {
namespace {

// Operations per element counted as FLOPs: an exponential and a division as one each.
constexpr double kForwardFlops = 4, kBackwardFlops = 8;
double bytes(const Tensor& t) { return double(t.bytes()); }

GatedRows gated_rows(const Context& c, std::string_view op, const Tensor& x) {
  require<ShapeError>(x.defined() && x.shape().rank() >= 1 && x.cols() % 2 == 0, op,
                      ": expected x (..., 2F), got ",
                      x.defined() ? x.shape().to_string() : "an undefined tensor");
  check_activation(c, op, "x", x, x.shape());
  return {x.rows(), x.cols() / 2};
}

void check_pair(const Context& c, std::string_view op, const Tensor& y, const Tensor& x) {
  check_of_type(op, "y", y, x.shape(), check_activation(c, op, "x", x, x.shape()));
}

void check_grad(const Context& c, std::string_view op, const Tensor& dx, const Tensor& dy, const Tensor& x) {
  const DType type = check_activation(c, op, "x", x, x.shape());
  check_of_type(op, "dy", dy, x.shape(), type);
  check_of_type(op, "dx", dx, x.shape(), type);
}

ActivationGrad grad_args(Tensor& dx, const Tensor& dy, const Tensor& x) {
  return {dx.data<float>(), dy.data<float>(), x.data<float>()};
}
cuda::Activated cuda_args(Tensor& y, const Tensor& x) { return {y.raw(), x.raw(), x.numel(), x.dtype()}; }
cuda::ActivatedGrad cuda_grad(Tensor& dx, const Tensor& dy, const Tensor& x) {
  return {dx.raw(), dy.raw(), x.raw(), x.numel(), x.dtype()};
}

Cost gated_cost(const Tensor& y, const MiddleOut& m) {
  const Cost beside = middle_cost(m);
  return {(kForwardFlops + 1) * double(y.numel()) + beside.flops, 3 * bytes(y) + beside.bytes};
}

// The two halves of the rows of x.
const void* first_half(const Tensor& x) { return x.raw(); }
const void* second_half(const Tensor& x) {
  return static_cast<const std::byte*>(x.raw()) +
         x.cols() / 2 * static_cast<std::int64_t>(size_of(x.dtype()));
}
void* first_half(Tensor& x) { return x.raw(); }
void* second_half(Tensor& x) { return const_cast<void*>(second_half(std::as_const(x))); }

}  // namespace

void silu_forward(const Context& c, Tensor& y, const Tensor& x) {
  check_pair(c, "silu_forward", y, x);
  const std::int64_t n = x.numel();
  Op op(c, "silu_forward", {kForwardFlops * double(n), 2 * bytes(x)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::silu_forward(c.cuda_stream(), cuda_args(y, x));
  }
  cpu::silu_forward(c.pool(), y.data<float>(), x.data<float>(), n);
}

void silu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x) {
  check_grad(c, "silu_backward", dx, dy, x);
  const std::int64_t n = x.numel();
  Op op(c, "silu_backward", {kBackwardFlops * double(n), 3 * bytes(x)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::silu_backward(c.cuda_stream(), cuda_grad(dx, dy, x));
  }
  cpu::silu_backward(c.pool(), grad_args(dx, dy, x), n);
}

void gelu_forward(const Context& c, Tensor& y, const Tensor& x, Gelu kind) {
  check_pair(c, "gelu_forward", y, x);
  const std::int64_t n = x.numel();
  Op op(c, "gelu_forward", {kForwardFlops * double(n), 2 * bytes(x)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::gelu_forward(c.cuda_stream(), cuda_args(y, x), kind);
  }
  cpu::gelu_forward(c.pool(), y.data<float>(), x.data<float>(), n, kind);
}

void gelu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, Gelu kind) {
  check_grad(c, "gelu_backward", dx, dy, x);
  const std::int64_t n = x.numel();
  Op op(c, "gelu_backward", {kBackwardFlops * double(n), 3 * bytes(x)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::gelu_backward(c.cuda_stream(), cuda_grad(dx, dy, x), kind);
  }
  cpu::gelu_backward(c.pool(), grad_args(dx, dy, x), n, kind);
}

void geglu_forward(const Context& c, Tensor& y, const Tensor& x) {
  const GatedRows size = gated_rows(c, "geglu_forward", x);
  check_of_type("geglu_forward", "y", y, x.shape().with_dim(-1, size.half), x.dtype());
  const std::int64_t n = y.numel();
  Op op(c, "geglu_forward", {(kForwardFlops + 1) * double(n), 3 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::geglu_forward(c.cuda_stream(),
                                 {y.raw(), second_half(x), first_half(x), size, x.cols(), x.dtype()});
    }
  }
  cpu::geglu_forward(c.pool(), y.data<float>(), x.data<float>(), size);
}

void geglu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x) {
  const GatedRows size = gated_rows(c, "geglu_backward", x);
  check_of_type("geglu_backward", "dy", dy, x.shape().with_dim(-1, size.half), x.dtype());
  check_of_type("geglu_backward", "dx", dx, x.shape(), x.dtype());
  const std::int64_t n = dy.numel();
  Op op(c, "geglu_backward", {(kBackwardFlops + 3) * double(n), 5 * bytes(dy)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::geglu_backward(c.cuda_stream(), {second_half(dx), first_half(dx), dy.raw(), second_half(x),
                                                    first_half(x), size, x.cols(), x.dtype()});
    }
  }
  cpu::geglu_backward(c.pool(), grad_args(dx, dy, x), size);
}

void swiglu_forward(const Context& c, Tensor& y, const Tensor& gate, const Tensor& up) {
  constexpr std::string_view kName = "swiglu_forward";
  const DType type = check_activation(c, kName, "gate", gate, gate.shape());
  check_of_type(kName, "up", up, gate.shape(), type);
  check_of_type(kName, "y", y, gate.shape(), type);
  const std::int64_t n = y.numel();
  Op op(c, kName, {(kForwardFlops + 1) * double(n), 3 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::swiglu_forward(c.cuda_stream(), {y.raw(), gate.raw(), up.raw(), {1, n}, n, type});
    }
  }
  cpu::swiglu_forward(c.pool(), {y.data<float>(), gate.data<float>(), up.data<float>()}, {1, n}, n);
}

void swiglu_backward(const Context& c, Tensor& dgate, Tensor& dup, const Tensor& dy, const Tensor& gate,
                     const Tensor& up) {
  constexpr std::string_view kName = "swiglu_backward";
  const DType type = check_activation(c, kName, "gate", gate, gate.shape());
  check_of_type(kName, "up", up, gate.shape(), type);
  check_of_type(kName, "dy", dy, gate.shape(), type);
  check_of_type(kName, "dgate", dgate, gate.shape(), type);
  check_of_type(kName, "dup", dup, gate.shape(), type);
  const std::int64_t n = dy.numel();
  Op op(c, kName, {(kBackwardFlops + 3) * double(n), 5 * bytes(dy)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::swiglu_backward(c.cuda_stream(),
                                   {dgate.raw(), dup.raw(), dy.raw(), gate.raw(), up.raw(), {1, n}, n, type});
    }
  }
  cpu::swiglu_backward(
      c.pool(),
      {dgate.data<float>(), dup.data<float>(), dy.data<float>(), gate.data<float>(), up.data<float>()},
      {1, n}, n);
}

void swiglu_forward(const Context& c, Tensor& y, const Tensor& x) {
  constexpr std::string_view kName = "swiglu_forward";
  const GatedRows size = gated_rows(c, kName, x);
  check_of_type(kName, "y", y, x.shape().with_dim(-1, size.half), x.dtype());
  const std::int64_t n = y.numel();
  Op op(c, kName, {(kForwardFlops + 1) * double(n), 3 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::swiglu_forward(c.cuda_stream(),
                                  {y.raw(), first_half(x), second_half(x), size, x.cols(), x.dtype()});
    }
  }
  const float* gate = x.data<float>();
  cpu::swiglu_forward(c.pool(), {y.data<float>(), gate, gate + size.half}, size, x.cols());
}

void swiglu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x) {
  constexpr std::string_view kName = "swiglu_backward";
  const GatedRows size = gated_rows(c, kName, x);
  check_of_type(kName, "dy", dy, x.shape().with_dim(-1, size.half), x.dtype());
  check_of_type(kName, "dx", dx, x.shape(), x.dtype());
  const std::int64_t n = dy.numel();
  Op op(c, kName, {(kBackwardFlops + 3) * double(n), 5 * bytes(dy)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::swiglu_backward(c.cuda_stream(), {first_half(dx), second_half(dx), dy.raw(), first_half(x),
                                                     second_half(x), size, x.cols(), x.dtype()});
    }
  }
  const float* gate = x.data<float>();
  float* dgate = dx.data<float>();
  cpu::swiglu_backward(c.pool(), {dgate, dgate + size.half, dy.data<float>(), gate, gate + size.half}, size,
                       x.cols());
}

void geglu_forward_with_middle(const Context& c, Tensor& y, const Tensor& x, MiddleOut middle) {
  constexpr std::string_view kName = "geglu_forward_with_middle";
  const GatedRows size = gated_rows(c, kName, x);
  check_of_type(kName, "y", y, x.shape().with_dim(-1, size.half), x.dtype());
  check_middle(kName, middle, y);
  if (!fits_middle_kernel(c, middle, {&y, &x})) {
    geglu_forward(c, y, x);
    return lowrank_middle(c, middle.s, y, middle.down);
  }
  Op op(c, kName, gated_cost(y, middle));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    cuda::geglu_forward_with_middle(c.cuda_stream(),
                                    {y.raw(), second_half(x), first_half(x), size, x.cols(), x.dtype()},
                                    {middle.s.raw(), middle.down.raw(), middle.down.dim(0)});
  }
}

void swiglu_forward_with_middle(const Context& c, Tensor& y, const Tensor& x, MiddleOut middle) {
  constexpr std::string_view kName = "swiglu_forward_with_middle";
  const GatedRows size = gated_rows(c, kName, x);
  check_of_type(kName, "y", y, x.shape().with_dim(-1, size.half), x.dtype());
  check_middle(kName, middle, y);
  if (!fits_middle_kernel(c, middle, {&y, &x})) {
    swiglu_forward(c, y, x);
    return lowrank_middle(c, middle.s, y, middle.down);
  }
  Op op(c, kName, gated_cost(y, middle));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    cuda::swiglu_forward_with_middle(c.cuda_stream(),
                                     {y.raw(), first_half(x), second_half(x), size, x.cols(), x.dtype()},
                                     {middle.s.raw(), middle.down.raw(), middle.down.dim(0)});
  }
}

void swiglu_forward_with_middle(const Context& c, Tensor& y, const Tensor& gate, const Tensor& up,
                                MiddleOut middle) {
  constexpr std::string_view kName = "swiglu_forward_with_middle";
  require<ShapeError>(gate.defined() && gate.shape().rank() >= 1, kName, ": expected gate (..., F), got ",
                      gate.defined() ? gate.shape().to_string() : "an undefined tensor");
  const DType type = check_activation(c, kName, "gate", gate, gate.shape());
  check_of_type(kName, "up", up, gate.shape(), type);
  check_of_type(kName, "y", y, gate.shape(), type);
  check_middle(kName, middle, y);
  if (!fits_middle_kernel(c, middle, {&y, &gate, &up})) {
    swiglu_forward(c, y, gate, up);
    return lowrank_middle(c, middle.s, y, middle.down);
  }
  Op op(c, kName, gated_cost(y, middle));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    cuda::swiglu_forward_with_middle(c.cuda_stream(),
                                     {y.raw(), gate.raw(), up.raw(), {y.rows(), y.cols()}, y.cols(), type},
                                     {middle.s.raw(), middle.down.raw(), middle.down.dim(0)});
  }
}

}  // namespace rankine
