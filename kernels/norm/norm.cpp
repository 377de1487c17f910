#include "kernels/norm/norm.h"

#include "kernels/norm/norm_impl.h"

namespace rankine {
namespace {

constexpr double kWord = sizeof(float);

const float* optional(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }

void check_param(std::string_view op, std::string_view what, const Tensor& t, std::int64_t cols) {
  if (t.defined()) check_float(op, what, t, {cols});
}

void check_rows(std::string_view op, const Tensor& x) {
  require<ShapeError>(x.defined() && x.shape().rank() >= 1 && x.cols() > 0, op, ": expected x (..., C), got ",
                      x.defined() ? x.shape().to_string() : "an undefined tensor");
  check_dtype(op, "x", x, DType::f32);
}

GroupNormSize check_map(std::string_view op, const Tensor& x, const Tensor& stats,
                        const GroupNormSpec& spec) {
  check_rows(op, x);
  require<ShapeError>(x.shape().rank() >= 2, op, ": expected x (N, ..., C), got ", x.shape());
  require<ShapeError>(spec.groups > 0 && x.cols() % spec.groups == 0, op, ": ", x.cols(),
                      " channels do not divide into ", spec.groups, " groups");
  check_float(op, "stats", stats, {x.dim(0), spec.groups, 2});
  std::int64_t space = 1;
  for (int i = 1; i + 1 < x.shape().rank(); ++i) space *= x.dim(i);
  return {x.dim(0), space, x.cols(), spec.groups};
}

// An operation of about `flops` per element that moves `words` words per element.
Cost cost_of(const Tensor& x, double flops, double words) {
  return {flops * double(x.numel()), words * kWord * double(x.numel())};
}

double silu_flops(const GroupNormSpec& spec, double flops) { return spec.then == NormThen::silu ? flops : 0; }

}  // namespace

void layer_norm_forward(const Context& c, Tensor& y, Tensor& stats, const Tensor& x, const Tensor& gain,
                        const Tensor& bias, float eps) {
  constexpr std::string_view kName = "layer_norm_forward";
  check_rows(kName, x);
  check_float(kName, "y", y, x.shape());
  check_float(kName, "stats", stats, {x.rows(), 2});
  check_param(kName, "gain", gain, x.cols());
  check_param(kName, "bias", bias, x.cols());
  Op op(c, kName, cost_of(x, 8, 2));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::layer_norm_forward(c.pool(), {y.data<float>(), stats.data<float>(), x.data<float>(), optional(gain),
                                     optional(bias), x.rows(), x.cols(), eps});
}

void layer_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& stats,
                         const Tensor& gain) {
  constexpr std::string_view kName = "layer_norm_backward";
  check_rows(kName, x);
  check_float(kName, "dx", dx, x.shape());
  check_float(kName, "dy", dy, x.shape());
  check_float(kName, "stats", stats, {x.rows(), 2});
  check_param(kName, "gain", gain, x.cols());
  Op op(c, kName, cost_of(x, 12, 3));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::layer_norm_backward(c.pool(), {dx.data<float>(), dy.data<float>(), x.data<float>(),
                                      stats.data<float>(), optional(gain), x.rows(), x.cols()});
}

void layer_norm_param_grad(const Context& c, Tensor& dgain, Tensor& dbias, const Tensor& dy, const Tensor& x,
                           const Tensor& stats) {
  constexpr std::string_view kName = "layer_norm_param_grad";
  check_rows(kName, x);
  check_float(kName, "dy", dy, x.shape());
  check_float(kName, "stats", stats, {x.rows(), 2});
  check_float(kName, "dgain", dgain, {x.cols()});
  check_param(kName, "dbias", dbias, x.cols());
  Tensor partial = c.workspace({2, RowChunks{x.rows(), x.cols()}.count(), x.cols()}, "layer_norm_param_grad");
  Op op(c, kName, cost_of(x, 5, 2));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::layer_norm_param_grad(
      c.pool(), {dgain.data<float>(), dbias.defined() ? dbias.data<float>() : nullptr, dy.data<float>(),
                 x.data<float>(), stats.data<float>(), partial.data<float>(), x.rows(), x.cols()});
}

void rms_norm_forward(const Context& c, Tensor& y, Tensor& rstd, const Tensor& x, const Tensor& gain,
                      float eps) {
  constexpr std::string_view kName = "rms_norm_forward";
  check_rows(kName, x);
  check_float(kName, "y", y, x.shape());
  check_float(kName, "rstd", rstd, {x.rows()});
  check_param(kName, "gain", gain, x.cols());
  Op op(c, kName, cost_of(x, 4, 2));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::rms_norm_forward(c.pool(), {y.data<float>(), rstd.data<float>(), x.data<float>(), optional(gain),
                                   nullptr, x.rows(), x.cols(), eps});
}

void rms_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& rstd,
                       const Tensor& gain) {
  constexpr std::string_view kName = "rms_norm_backward";
  check_rows(kName, x);
  check_float(kName, "dx", dx, x.shape());
  check_float(kName, "dy", dy, x.shape());
  check_float(kName, "rstd", rstd, {x.rows()});
  check_param(kName, "gain", gain, x.cols());
  Op op(c, kName, cost_of(x, 7, 3));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::rms_norm_backward(c.pool(), {dx.data<float>(), dy.data<float>(), x.data<float>(), rstd.data<float>(),
                                    optional(gain), x.rows(), x.cols()});
}

void rms_norm_param_grad(const Context& c, Tensor& dgain, const Tensor& dy, const Tensor& x,
                         const Tensor& rstd) {
  constexpr std::string_view kName = "rms_norm_param_grad";
  check_rows(kName, x);
  check_float(kName, "dy", dy, x.shape());
  check_float(kName, "rstd", rstd, {x.rows()});
  check_float(kName, "dgain", dgain, {x.cols()});
  Tensor partial = c.workspace({RowChunks{x.rows(), x.cols()}.count(), x.cols()}, "rms_norm_param_grad");
  Op op(c, kName, cost_of(x, 3, 2));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::rms_norm_param_grad(c.pool(), {dgain.data<float>(), nullptr, dy.data<float>(), x.data<float>(),
                                      rstd.data<float>(), partial.data<float>(), x.rows(), x.cols()});
}

void group_norm_forward(const Context& c, Tensor& y, Tensor& stats, const Tensor& x, const Tensor& gain,
                        const Tensor& bias, const GroupNormSpec& spec) {
  constexpr std::string_view kName = "group_norm_forward";
  const GroupNormSize size = check_map(kName, x, stats, spec);
  check_float(kName, "y", y, x.shape());
  check_param(kName, "gain", gain, x.cols());
  check_param(kName, "bias", bias, x.cols());
  Tensor scratch = c.workspace({size.scratch()}, "group_norm_forward");
  Op op(c, kName, cost_of(x, 7 + silu_flops(spec, 4), 3));  // x is read for the statistics, then again
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::group_norm_forward(c.pool(), {y.data<float>(), stats.data<float>(), x.data<float>(), optional(gain),
                                     optional(bias), scratch.data<float>(), size, spec.eps, spec.then});
}

void group_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& stats,
                         const Tensor& gain, const Tensor& bias, const GroupNormSpec& spec) {
  constexpr std::string_view kName = "group_norm_backward";
  const GroupNormSize size = check_map(kName, x, stats, spec);
  check_float(kName, "dx", dx, x.shape());
  check_float(kName, "dy", dy, x.shape());
  check_param(kName, "gain", gain, x.cols());
  check_param(kName, "bias", bias, x.cols());
  Tensor scratch = c.workspace({size.scratch()}, "group_norm_backward");
  Op op(c, kName, cost_of(x, 10 + silu_flops(spec, 20), 5));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::group_norm_backward(
      c.pool(), {dx.data<float>(), nullptr, nullptr, dy.data<float>(), x.data<float>(), stats.data<float>(),
                 optional(gain), optional(bias), scratch.data<float>(), size, spec.then});
}

void group_norm_param_grad(const Context& c, GroupNormGrads grads, const Tensor& dy, const Tensor& x,
                           const Tensor& stats, const Tensor& gain, const Tensor& bias,
                           const GroupNormSpec& spec) {
  constexpr std::string_view kName = "group_norm_param_grad";
  const GroupNormSize size = check_map(kName, x, stats, spec);
  check_float(kName, "dy", dy, x.shape());
  check_float(kName, "dgain", grads.dgain, {x.cols()});
  check_float(kName, "dbias", grads.dbias, {x.cols()});
  check_param(kName, "gain", gain, x.cols());
  check_param(kName, "bias", bias, x.cols());
  Tensor scratch = c.workspace({size.scratch()}, "group_norm_param_grad");
  Op op(c, kName, cost_of(x, 5 + silu_flops(spec, 10), 2));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::group_norm_param_grad(
      c.pool(),
      {nullptr, grads.dgain.data<float>(), grads.dbias.data<float>(), dy.data<float>(), x.data<float>(),
       stats.data<float>(), optional(gain), optional(bias), scratch.data<float>(), size, spec.then});
}

}  // namespace rankine
