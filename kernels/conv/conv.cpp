#include "kernels/conv/conv.h"

#include "kernels/conv/conv_impl.h"
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

void conv2d_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Window& window) {
  constexpr std::string_view kName = "conv2d_forward";
  check_rank(kName, "x", x, 4);
  check_rank(kName, "w", w, 4);
  const ConvSizes s = sizes_of(x, w.dim(0), window);
  check_float(kName, "x", x, x.shape());
  check_filter(kName, "w", w, filter_shape(s));
  check_bias(kName, bias, s.out);
  check_float(kName, "y", y, y_shape(s));
  Tensor scratch = conv_workspace(c, kName, s);
  Op op(c, kName, cost_of(s, x, w, y));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::conv2d_forward(c.pool(), {y.data<float>(), x.data<float>(), w.raw(), w.dtype(), bias_or_null(bias),
                                 false, s, scratch.data<float>()});
}

void conv2d_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w, const Window& window,
                    Write write) {
  constexpr std::string_view kName = "conv2d_adjoint";
  check_rank(kName, "dx", dx, 4);
  check_rank(kName, "w", w, 4);
  const ConvSizes s = sizes_of(dx, w.dim(0), window);
  check_float(kName, "dx", dx, dx.shape());
  check_filter(kName, "w", w, filter_shape(s));
  check_float(kName, "dy", dy, y_shape(s));
  Tensor scratch = conv_workspace(c, kName, s);
  Op op(c, kName, cost_of(s, dx, w, dy));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::conv2d_adjoint(c.pool(), {dx.data<float>(), dy.data<float>(), w.raw(), w.dtype(), nullptr,
                                 write == Write::accumulate, s, scratch.data<float>()});
}

void conv2d_weight_grad(const Context& c, Tensor& dw, const Tensor& dy, const Tensor& x,
                        const Window& window) {
  constexpr std::string_view kName = "conv2d_weight_grad";
  check_rank(kName, "x", x, 4);
  check_rank(kName, "dy", dy, 4);
  const ConvSizes s = sizes_of(x, dy.dim(3), window);
  check_float(kName, "x", x, x.shape());
  check_float(kName, "dy", dy, y_shape(s));
  check_float(kName, "dw", dw, filter_shape(s));
  Tensor scratch = gemm_workspace(c, kName);
  Op op(c, kName, cost_of(s, x, dw, dy));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::conv2d_weight_grad(c.pool(),
                          {dw.data<float>(), dy.data<float>(), x.data<float>(), s, scratch.data<float>()});
}

}  // namespace rankine
