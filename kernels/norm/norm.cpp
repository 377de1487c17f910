#include "kernels/norm/norm.h"

#include "kernels/lowrank/lowrank.h"
#include "kernels/norm/norm_impl.h"

namespace rankine {
namespace {

const float* optional(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }
cuda::NormParam param(const Tensor& t) {
  return {t.defined() ? t.raw() : nullptr, t.defined() ? t.dtype() : DType::f32};
}

// A gain or bias of x's columns, where there is one.
void check_param(std::string_view op, std::string_view what, const Tensor& t, const Tensor& x) {
  if (t.defined()) check_float_or(op, what, t, {x.cols()}, x.dtype());
}

void check_rows(const Context& c, std::string_view op, const Tensor& x) {
  require<ShapeError>(x.defined() && x.shape().rank() >= 1 && x.cols() > 0, op, ": expected x (..., C), got ",
                      x.defined() ? x.shape().to_string() : "an undefined tensor");
  check_activation(c, op, "x", x, x.shape());
}

GroupNormSize check_map(const Context& c, std::string_view op, const Tensor& x, const Tensor& stats,
                        const GroupNormSpec& spec) {
  check_rows(c, op, x);
  require<ShapeError>(x.shape().rank() >= 2, op, ": expected x (N, ..., C), got ", x.shape());
  require<ShapeError>(spec.groups > 0 && x.cols() % spec.groups == 0, op, ": ", x.cols(),
                      " channels do not divide into ", spec.groups, " groups");
  check_float(op, "stats", stats, {x.dim(0), spec.groups, 2});
  std::int64_t space = 1;
  for (int i = 1; i + 1 < x.shape().rank(); ++i) space *= x.dim(i);
  return {x.dim(0), space, x.cols(), spec.groups};
}

// An operation of about `flops` per element that moves x, or as much, `times` times.
Cost cost_of(const Tensor& x, double flops, double times) {
  return {flops * double(x.numel()), times * double(x.bytes())};
}

Cost operator+(const Cost& a, const Cost& b) { return {a.flops + b.flops, a.bytes + b.bytes}; }

// Scratch of a parameter gradient over rows.
Tensor param_scratch(const Context& c, std::string_view op, const Tensor& x, bool centred) {
  const std::int64_t cpu = (centred ? 2 : 1) * RowChunks{x.rows(), x.cols()}.count() * x.cols();
  const bool on_cuda = c.device().is_cuda();
  return c.workspace({on_cuda ? cuda::row_norm_scratch(x.rows(), x.cols(), centred) : cpu}, std::string(op));
}
Tensor group_scratch(const Context& c, std::string_view op, const GroupNormSize& size) {
  return c.workspace({c.device().is_cuda() ? cuda::group_norm_scratch(size) : size.scratch()},
                     std::string(op));
}

// Whether one kernel makes y and the middle: then y has the bits it has without one.
bool takes_middle(const Context& c, const MiddleOut& m, std::initializer_list<const Tensor*> read) {
  return m.down.cols() <= cuda::kRowOfEights && fits_middle_kernel(c, m, read);
}

double silu_flops(const GroupNormSpec& spec, double flops) { return spec.then == NormThen::silu ? flops : 0; }

}  // namespace

void layer_norm_forward(const Context& c, Tensor& y, Tensor& stats, const Tensor& x, const Tensor& gain,
                        const Tensor& bias, float eps) {
  constexpr std::string_view kName = "layer_norm_forward";
  check_rows(c, kName, x);
  check_of_type(kName, "y", y, x.shape(), x.dtype());
  check_float(kName, "stats", stats, {x.rows(), 2});
  check_param(kName, "gain", gain, x);
  check_param(kName, "bias", bias, x);
  Op op(c, kName, cost_of(x, 8, 2));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::norm_rows_forward(kName, c.cuda_stream(),
                                     {y.raw(), stats.data<float>(), x.raw(), x.dtype(), param(gain),
                                      param(bias), x.rows(), x.cols(), eps, true});
    }
  }
  cpu::layer_norm_forward(c.pool(), {y.data<float>(), stats.data<float>(), x.data<float>(), optional(gain),
                                     optional(bias), x.rows(), x.cols(), eps});
}

void layer_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& stats,
                         const Tensor& gain) {
  constexpr std::string_view kName = "layer_norm_backward";
  check_rows(c, kName, x);
  check_of_type(kName, "dx", dx, x.shape(), x.dtype());
  check_of_type(kName, "dy", dy, x.shape(), x.dtype());
  check_float(kName, "stats", stats, {x.rows(), 2});
  check_param(kName, "gain", gain, x);
  Op op(c, kName, cost_of(x, 12, 3));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::norm_rows_backward(kName, c.cuda_stream(),
                                      {dx.raw(), dy.raw(), x.raw(), stats.data<float>(), x.dtype(),
                                       param(gain), x.rows(), x.cols(), true});
    }
  }
  cpu::layer_norm_backward(c.pool(), {dx.data<float>(), dy.data<float>(), x.data<float>(),
                                      stats.data<float>(), optional(gain), x.rows(), x.cols()});
}

void layer_norm_param_grad(const Context& c, Tensor& dgain, Tensor& dbias, const Tensor& dy, const Tensor& x,
                           const Tensor& stats) {
  constexpr std::string_view kName = "layer_norm_param_grad";
  check_rows(c, kName, x);
  check_of_type(kName, "dy", dy, x.shape(), x.dtype());
  check_float(kName, "stats", stats, {x.rows(), 2});
  check_float(kName, "dgain", dgain, {x.cols()});
  if (dbias.defined()) check_float(kName, "dbias", dbias, {x.cols()});
  Tensor partial = param_scratch(c, kName, x, true);
  Op op(c, kName, cost_of(x, 5, 2));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::norm_rows_param_grad(
          kName, c.cuda_stream(),
          {dgain.data<float>(), dbias.defined() ? dbias.data<float>() : nullptr, dy.raw(), x.raw(),
           stats.data<float>(), x.dtype(), partial.data<float>(), x.rows(), x.cols(), true});
    }
  }
  cpu::layer_norm_param_grad(
      c.pool(), {dgain.data<float>(), dbias.defined() ? dbias.data<float>() : nullptr, dy.data<float>(),
                 x.data<float>(), stats.data<float>(), partial.data<float>(), x.rows(), x.cols()});
}

void rms_norm_forward(const Context& c, Tensor& y, Tensor& rstd, const Tensor& x, const Tensor& gain,
                      float eps) {
  constexpr std::string_view kName = "rms_norm_forward";
  check_rows(c, kName, x);
  check_of_type(kName, "y", y, x.shape(), x.dtype());
  check_float(kName, "rstd", rstd, {x.rows()});
  check_param(kName, "gain", gain, x);
  Op op(c, kName, cost_of(x, 4, 2));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::norm_rows_forward(kName, c.cuda_stream(),
                                     {y.raw(),
                                      rstd.data<float>(),
                                      x.raw(),
                                      x.dtype(),
                                      param(gain),
                                      {nullptr, DType::f32},
                                      x.rows(),
                                      x.cols(),
                                      eps,
                                      false});
    }
  }
  cpu::rms_norm_forward(c.pool(), {y.data<float>(), rstd.data<float>(), x.data<float>(), optional(gain),
                                   nullptr, x.rows(), x.cols(), eps});
}

void rms_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& rstd,
                       const Tensor& gain) {
  constexpr std::string_view kName = "rms_norm_backward";
  check_rows(c, kName, x);
  check_of_type(kName, "dx", dx, x.shape(), x.dtype());
  check_of_type(kName, "dy", dy, x.shape(), x.dtype());
  check_float(kName, "rstd", rstd, {x.rows()});
  check_param(kName, "gain", gain, x);
  Op op(c, kName, cost_of(x, 7, 3));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::norm_rows_backward(kName, c.cuda_stream(),
                                      {dx.raw(), dy.raw(), x.raw(), rstd.data<float>(), x.dtype(),
                                       param(gain), x.rows(), x.cols(), false});
    }
  }
  cpu::rms_norm_backward(c.pool(), {dx.data<float>(), dy.data<float>(), x.data<float>(), rstd.data<float>(),
                                    optional(gain), x.rows(), x.cols()});
}

void rms_norm_param_grad(const Context& c, Tensor& dgain, const Tensor& dy, const Tensor& x,
                         const Tensor& rstd) {
  constexpr std::string_view kName = "rms_norm_param_grad";
  check_rows(c, kName, x);
  check_of_type(kName, "dy", dy, x.shape(), x.dtype());
  check_float(kName, "rstd", rstd, {x.rows()});
  check_float(kName, "dgain", dgain, {x.cols()});
  Tensor partial = param_scratch(c, kName, x, false);
  Op op(c, kName, cost_of(x, 3, 2));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::norm_rows_param_grad(kName, c.cuda_stream(),
                                        {dgain.data<float>(), nullptr, dy.raw(), x.raw(), rstd.data<float>(),
                                         x.dtype(), partial.data<float>(), x.rows(), x.cols(), false});
    }
  }
  cpu::rms_norm_param_grad(c.pool(), {dgain.data<float>(), nullptr, dy.data<float>(), x.data<float>(),
                                      rstd.data<float>(), partial.data<float>(), x.rows(), x.cols()});
}

void layer_norm_forward_with_middle(const Context& c, Tensor& y, Tensor& stats, const Tensor& x,
                                    const Tensor& gain, const Tensor& bias, float eps, MiddleOut middle) {
  constexpr std::string_view kName = "layer_norm_forward_with_middle";
  check_rows(c, kName, x);
  check_of_type(kName, "y", y, x.shape(), x.dtype());
  check_float(kName, "stats", stats, {x.rows(), 2});
  check_param(kName, "gain", gain, x);
  check_param(kName, "bias", bias, x);
  check_middle(kName, middle, y);
  if (!takes_middle(c, middle, {&y, &x, &gain, &bias})) {
    layer_norm_forward(c, y, stats, x, gain, bias, eps);
    return lowrank_middle(c, middle.s, y, middle.down);
  }
  Op op(c, kName, cost_of(x, 8, 2) + middle_cost(middle));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    cuda::norm_rows_forward_with_middle(kName, c.cuda_stream(),
                                        {y.raw(), stats.data<float>(), x.raw(), x.dtype(), param(gain),
                                         param(bias), x.rows(), x.cols(), eps, true},
                                        {middle.s.raw(), middle.down.raw(), middle.down.dim(0)});
  }
}

void rms_norm_forward_with_middle(const Context& c, Tensor& y, Tensor& rstd, const Tensor& x,
                                  const Tensor& gain, float eps, MiddleOut middle) {
  constexpr std::string_view kName = "rms_norm_forward_with_middle";
  check_rows(c, kName, x);
  check_of_type(kName, "y", y, x.shape(), x.dtype());
  check_float(kName, "rstd", rstd, {x.rows()});
  check_param(kName, "gain", gain, x);
  check_middle(kName, middle, y);
  if (!takes_middle(c, middle, {&y, &x, &gain})) {
    rms_norm_forward(c, y, rstd, x, gain, eps);
    return lowrank_middle(c, middle.s, y, middle.down);
  }
  Op op(c, kName, cost_of(x, 4, 2) + middle_cost(middle));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    cuda::norm_rows_forward_with_middle(kName, c.cuda_stream(),
                                        {y.raw(), rstd.data<float>(), x.raw(), x.dtype(), param(gain),
                                         param(Tensor()), x.rows(), x.cols(), eps, false},
                                        {middle.s.raw(), middle.down.raw(), middle.down.dim(0)});
  }
}

void group_norm_forward(const Context& c, Tensor& y, Tensor& stats, const Tensor& x, const Tensor& gain,
                        const Tensor& bias, const GroupNormSpec& spec) {
  constexpr std::string_view kName = "group_norm_forward";
  const GroupNormSize size = check_map(c, kName, x, stats, spec);
  check_of_type(kName, "y", y, x.shape(), x.dtype());
  check_param(kName, "gain", gain, x);
  check_param(kName, "bias", bias, x);
  Tensor scratch = group_scratch(c, kName, size);
  Op op(c, kName, cost_of(x, 7 + silu_flops(spec, 4), 3));  // x is read for the statistics, then again
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::group_norm_forward(
          c.cuda_stream(), {y.raw(), stats.data<float>(), x.raw(), x.dtype(), param(gain), param(bias),
                            scratch.data<float>(), size, spec.eps, spec.then});
    }
  }
  cpu::group_norm_forward(c.pool(), {y.data<float>(), stats.data<float>(), x.data<float>(), optional(gain),
                                     optional(bias), scratch.data<float>(), size, spec.eps, spec.then});
}

void group_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& stats,
                         const Tensor& gain, const Tensor& bias, const GroupNormSpec& spec) {
  constexpr std::string_view kName = "group_norm_backward";
  const GroupNormSize size = check_map(c, kName, x, stats, spec);
  check_of_type(kName, "dx", dx, x.shape(), x.dtype());
  check_of_type(kName, "dy", dy, x.shape(), x.dtype());
  check_param(kName, "gain", gain, x);
  check_param(kName, "bias", bias, x);
  Tensor scratch = group_scratch(c, kName, size);
  Op op(c, kName, cost_of(x, 10 + silu_flops(spec, 20), 5));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::group_norm_backward(
          c.cuda_stream(), {dx.raw(), nullptr, nullptr, dy.raw(), x.raw(), x.dtype(), stats.data<float>(),
                            param(gain), param(bias), scratch.data<float>(), size, spec.then});
    }
  }
  cpu::group_norm_backward(
      c.pool(), {dx.data<float>(), nullptr, nullptr, dy.data<float>(), x.data<float>(), stats.data<float>(),
                 optional(gain), optional(bias), scratch.data<float>(), size, spec.then});
}

void group_norm_param_grad(const Context& c, GroupNormGrads grads, const Tensor& dy, const Tensor& x,
                           const Tensor& stats, const Tensor& gain, const Tensor& bias,
                           const GroupNormSpec& spec) {
  constexpr std::string_view kName = "group_norm_param_grad";
  const GroupNormSize size = check_map(c, kName, x, stats, spec);
  check_of_type(kName, "dy", dy, x.shape(), x.dtype());
  check_float(kName, "dgain", grads.dgain, {x.cols()});
  check_float(kName, "dbias", grads.dbias, {x.cols()});
  check_param(kName, "gain", gain, x);
  check_param(kName, "bias", bias, x);
  Tensor scratch = group_scratch(c, kName, size);
  Op op(c, kName, cost_of(x, 5 + silu_flops(spec, 10), 2));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::group_norm_param_grad(
          c.cuda_stream(),
          {nullptr, grads.dgain.data<float>(), grads.dbias.data<float>(), dy.raw(), x.raw(), x.dtype(),
           stats.data<float>(), param(gain), param(bias), scratch.data<float>(), size, spec.then});
    }
  }
  cpu::group_norm_param_grad(
      c.pool(),
      {nullptr, grads.dgain.data<float>(), grads.dbias.data<float>(), dy.data<float>(), x.data<float>(),
       stats.data<float>(), optional(gain), optional(bias), scratch.data<float>(), size, spec.then});
}

}  // namespace rankine
