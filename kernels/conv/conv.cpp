#include "kernels/conv/conv.h"

#include "kernels/conv/conv_impl.h"
#include "kernels/conv/cudnn.h"
#include "kernels/matmul/operands.h"

namespace rankine {
namespace {

void check_window(std::string_view op, const Window& w) {
  require<ShapeError>(w.size >= 1 && w.stride >= 1 && w.pad_before >= 0 && w.pad_after >= 0, op,
                      ": expected size and stride of at least 1 and padding of at least 0, got size ", w.size,
                      ", stride ", w.stride, ", padding ", w.pad_before, " and ", w.pad_after);
}

// Sizes of a convolution by its input's shape; all shapes checked by the caller's check_float.
ConvSizes sizes_of(const Tensor& x, std::int64_t out, const Window& window) {
  const Shape y = conv2d_out_shape(x.shape(), out, window);
  return {x.dim(0), x.dim(1), x.dim(2), x.dim(3), y[1], y[2], out, window};
}

Shape filter_shape(const ConvSizes& s) { return {s.out, s.window.size, s.window.size, s.in}; }
Shape y_shape(const ConvSizes& s) { return {s.images, s.out_height, s.out_width, s.out}; }

Tensor conv_workspace(const Context& c, std::string_view op, const ConvSizes& s) {
  return c.workspace({cpu::conv2d_scratch(s, c.pool().size())}, std::string(op));
}
Tensor conv_workspace(const Context& c, std::string_view op, const ConvPlan& plan) {
  return c.workspace({plan.scratch_floats()}, std::string(op));
}

// On CUDA a bias may also be of the activations' type.
void check_conv_bias(const Context& c, std::string_view op, const Tensor& bias, const ConvSizes& s,
                     DType type) {
  const bool as_activation = c.device().is_cuda() && bias.defined() && bias.dtype() == type;
  as_activation ? check_shape(op, "bias", bias, {s.out}) : check_bias(op, bias, s.out);
}

Cost cost_of(const ConvSizes& s, const Tensor& a, const Tensor& b, const Tensor& c) {
  const double bytes =
      static_cast<double>(a.bytes()) + static_cast<double>(b.bytes()) + static_cast<double>(c.bytes());
  return {2.0 * static_cast<double>(s.y_rows()) * static_cast<double>(s.out * s.taps() * s.in), bytes};
}

}  // namespace

Shape conv2d_out_shape(const Shape& x, std::int64_t out_channels, const Window& window) {
  constexpr std::string_view kName = "conv2d";
  check_window(kName, window);
  require<ShapeError>(x.rank() == 4, kName, ": expected x (N, H, W, C), got ", x);
  const std::int64_t pad = window.pad_before + window.pad_after;
  require<ShapeError>(x[1] + pad >= window.size && x[2] + pad >= window.size, kName, ": a window of ",
                      window.size, "x", window.size, " does not fit a padded map of ", x[1] + pad, "x",
                      x[2] + pad);
  return {x[0], window.out(x[1]), window.out(x[2]), out_channels};
}

namespace {

// What forward and adjoint are given: `to` is y, or dx.
struct ConvCall {
  std::string_view op;
  ConvPass pass;
  Tensor& to;
  const Tensor &from, &w, &bias;
  bool accumulate;
  ConvSizes sizes;
};

void conv2d_cpu(const Context& c, const ConvCall& f) {
  Tensor scratch = conv_workspace(c, f.op, f.sizes);
  Op op(c, f.op, cost_of(f.sizes, f.from, f.w, f.to));
  if (op.planned()) return;
  const ConvArgs args{f.to.data<float>(),   f.from.data<float>(), f.w.raw(), f.w.dtype(),
                      bias_or_null(f.bias), f.accumulate,         f.sizes,   scratch.data<float>()};
  f.pass == ConvPass::forward ? cpu::conv2d_forward(c.pool(), args) : cpu::conv2d_adjoint(c.pool(), args);
}

void conv2d_cuda(const Context& c, const ConvCall& f) {
  const DType type = f.to.dtype();
  const ConvPlan plan = conv_plan(f.op, f.pass, f.sizes, type, f.w.dtype());
  Tensor scratch = conv_workspace(c, f.op, plan);
  Op op(c, f.op, cost_of(f.sizes, f.from, f.w, f.to));
  if (op.planned()) return;
  if constexpr (!build::cuda) {
    no_kernel(f.op, c);
  } else {
    const bool bias = f.bias.defined();
    const CudaConvArgs args{f.to.raw(),
                            f.from.raw(),
                            type,
                            f.w.raw(),
                            f.w.dtype(),
                            bias ? f.bias.raw() : nullptr,
                            bias ? f.bias.dtype() : DType::f32,
                            f.accumulate,
                            f.sizes,
                            plan,
                            scratch.data<float>()};
    f.pass == ConvPass::forward ? cuda::conv2d_forward(c.cuda_stream(), args)
                                : cuda::conv2d_adjoint(c.cuda_stream(), args);
  }
}

void conv2d(const Context& c, const ConvCall& f) {
  c.device().is_cuda() ? conv2d_cuda(c, f) : conv2d_cpu(c, f);
}

}  // namespace

void conv2d_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Window& window) {
  constexpr std::string_view kName = "conv2d_forward";
  check_rank(kName, "x", x, 4);
  check_rank(kName, "w", w, 4);
  const ConvSizes s = sizes_of(x, w.dim(0), window);
  const DType type = check_activation(c, kName, "x", x, x.shape());
  check_filter(kName, "w", w, filter_shape(s));
  check_conv_bias(c, kName, bias, s, type);
  check_shape(kName, "y", y, y_shape(s));
  check_dtype(kName, "y", y, type);
  conv2d(c, {kName, ConvPass::forward, y, x, w, bias, false, s});
}

void conv2d_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w, const Window& window,
                    Write write) {
  constexpr std::string_view kName = "conv2d_adjoint";
  check_rank(kName, "dx", dx, 4);
  check_rank(kName, "w", w, 4);
  const ConvSizes s = sizes_of(dx, w.dim(0), window);
  const DType type = check_activation(c, kName, "dx", dx, dx.shape());
  check_filter(kName, "w", w, filter_shape(s));
  check_shape(kName, "dy", dy, y_shape(s));
  check_dtype(kName, "dy", dy, type);
  conv2d(c, {kName, ConvPass::adjoint, dx, dy, w, {}, write == Write::accumulate, s});
}

void conv2d_weight_grad(const Context& c, Tensor& dw, const Tensor& dy, const Tensor& x,
                        const Window& window) {
  constexpr std::string_view kName = "conv2d_weight_grad";
  check_rank(kName, "x", x, 4);
  check_rank(kName, "dy", dy, 4);
  const ConvSizes s = sizes_of(x, dy.dim(3), window);
  const DType type = check_activation(c, kName, "x", x, x.shape());
  check_shape(kName, "dy", dy, y_shape(s));
  check_dtype(kName, "dy", dy, type);
  check_float(kName, "dw", dw, filter_shape(s));
  const bool on_cuda = c.device().is_cuda();
  const ConvPlan plan = on_cuda ? conv_plan(kName, ConvPass::weight_grad, s, type, type) : ConvPlan{};
  Tensor scratch = on_cuda ? conv_workspace(c, kName, plan) : gemm_workspace(c, kName, dw.dim(0));
  Op op(c, kName, cost_of(s, x, dw, dy));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (on_cuda) {
      return cuda::conv2d_weight_grad(
          c.cuda_stream(), {dw.data<float>(), dy.raw(), x.raw(), type, s, plan, scratch.data<float>()});
    }
  }
  if (on_cuda) no_kernel(kName, c);
  cpu::conv2d_weight_grad(c.pool(),
                          {dw.data<float>(), dy.data<float>(), x.data<float>(), s, scratch.data<float>()});
}

std::string cudnn_state() { return cuda::cudnn_version(); }

}  // namespace rankine
