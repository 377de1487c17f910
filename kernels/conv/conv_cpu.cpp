#include "kernels/conv/conv_impl.h"
#include "kernels/conv/winograd.h"
#include "kernels/matmul/gemm.h"

namespace rankine::cpu {
namespace {

// The windows of x, one row per pixel of y.
Gather windows_of(const float* x, const ConvSizes& s) {
  const Window& w = s.window;
  return {x,
          s.in,
          s.in,
          {s.height, s.out_height, w.stride, -w.pad_before, 1, w.size},
          {s.width, s.out_width, w.stride, -w.pad_before, 1, w.size}};
}

// One axis of the adjoint for the input coordinates i = g * stride + phase. Tap k adds dy at (i + pad - k) /
// stride where that is whole: k = first_tap + stride * t, at g + (phase + pad - first_tap) / stride - t.
struct Phase {
  std::int64_t first_tap;
  Axis axis;
};
Phase phase_of(std::int64_t phase, std::int64_t extent, std::int64_t out_extent, const Window& w) {
  const std::int64_t stride = w.stride, first_tap = (phase + w.pad_before) % stride;
  const std::int64_t taps = first_tap < w.size ? (w.size - first_tap + stride - 1) / stride : 0;
  const std::int64_t grid = phase < extent ? (extent - phase + stride - 1) / stride : 0;
  return {first_tap, {out_extent, grid, 1, (phase + w.pad_before - first_tap) / stride, -1, taps}};
}

void adjoint_phase(ThreadPool& pool, const ConvArgs& a, std::int64_t phase_y, std::int64_t phase_x) {
  const ConvSizes& s = a.sizes;
  const Phase y = phase_of(phase_y, s.height, s.out_height, s.window);
  const Phase x = phase_of(phase_x, s.width, s.out_width, s.window);
  const std::int64_t size = s.window.size, stride = s.window.stride;
  Right right = Right::by_row(a.dtype, a.w, size * size * s.in);
  right.tap_rows = s.out;
  right.taps_x = std::max<std::int64_t>(1, x.axis.taps);
  right.first = (y.first_tap * size + x.first_tap) * s.in;
  right.tap_y = stride * size * s.in;
  right.tap_x = stride * s.in;
  const Gather rows{a.from, s.out, s.out, y.axis, x.axis};
  const Term term{{rows}, right, rows.cols()};
  const Target dx{a.to + (phase_y * s.width + phase_x) * s.in,
                  stride * s.in,
                  x.axis.grid,
                  y.axis.grid,
                  stride * s.width * s.in,
                  s.height * s.width * s.in};
  gemm(pool, {s.images * y.axis.grid * x.axis.grid, s.in, {&term, 1}, dx, nullptr, a.accumulate}, a.scratch);
}

// The forward map and, with the roles of x and y exchanged, its adjoint as stride-1 convolutions for
// winograd.h.
WinogradSizes forward_sizes(const ConvSizes& s) {
  return {s.images, s.height, s.width, s.in, s.out_height, s.out_width, s.out, s.window.pad_before};
}
WinogradSizes adjoint_sizes(const ConvSizes& s) {
  return {s.images, s.out_height, s.out_width, s.out, s.height, s.width, s.in, 2 - s.window.pad_before};
}
bool use_winograd(const ConvSizes& s, bool adjoint) {
  return s.window.size == 3 && s.window.stride == 1 &&
         winograd_pays(adjoint ? adjoint_sizes(s) : forward_sizes(s), adjoint);
}

}  // namespace

std::int64_t conv2d_scratch(const ConvSizes& s, std::int64_t threads) {
  std::int64_t floats = threads * gemm_scratch(std::max(s.x_rows(), s.y_rows()));
  if (use_winograd(s, false)) floats = std::max(floats, forward_sizes(s).scratch(threads));
  if (use_winograd(s, true)) floats = std::max(floats, adjoint_sizes(s).scratch(threads));
  return floats;
}

void conv2d_forward(ThreadPool& pool, const ConvArgs& a) {
  const ConvSizes& s = a.sizes;
  if (use_winograd(s, false)) {
    return winograd(pool,
                    {a.to, a.from, a.w, a.dtype, false, a.bias, a.accumulate, forward_sizes(s), a.scratch});
  }
  const std::int64_t k = s.taps() * s.in;
  const Term term{{windows_of(a.from, s)}, Right::by_column(a.dtype, a.w, k), k};
  gemm(pool, {s.y_rows(), s.out, {&term, 1}, {a.to, s.out}, a.bias, a.accumulate}, a.scratch);
}

// A strided convolution reads each input pixel with only some of its taps: which ones depends on the pixel's
// position modulo the stride. Each such phase is a small convolution of stride 1 of its own.
void conv2d_adjoint(ThreadPool& pool, const ConvArgs& a) {
  if (use_winograd(a.sizes, true)) {
    return winograd(
        pool, {a.to, a.from, a.w, a.dtype, true, nullptr, a.accumulate, adjoint_sizes(a.sizes), a.scratch});
  }
  for (int y = 0; y < a.sizes.window.stride; ++y) {
    for (int x = 0; x < a.sizes.window.stride; ++x) adjoint_phase(pool, a, y, x);
  }
}

void conv2d_weight_grad(ThreadPool& pool, const ConvGradArgs& a) {
  const ConvSizes& s = a.sizes;
  const std::int64_t cols = s.taps() * s.in;
  const Term term{
      {Gather::plain(a.dy, s.y_rows(), s.out, s.out), true}, Right::gathered(windows_of(a.x, s)), s.y_rows()};
  gemm(pool, {s.out, cols, {&term, 1}, {a.dw, cols}, nullptr, true}, a.scratch);
}

}  // namespace rankine::cpu
