// What each device implements for conv.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "kernels/conv/conv.h"

namespace rankine {

// x (images, height, width, in), y (images, out_height, out_width, out).
struct ConvSizes {
  std::int64_t images, height, width, in, out_height, out_width, out;
  Window window;

  std::int64_t x_rows() const { return images * height * width; }
  std::int64_t y_rows() const { return images * out_height * out_width; }
  std::int64_t taps() const { return std::int64_t{window.size} * window.size; }
};
struct ConvArgs {
  float* to;          // y; adjoint: dx
  const float* from;  // x; adjoint: dy
  const void* w;      // (out, size, size, in)
  DType dtype;
  const float* bias;  // (out) or null
  bool accumulate;
  ConvSizes sizes;
  float* scratch;
};
struct ConvGradArgs {
  float* dw;  // added to
  const float *dy, *x;
  ConvSizes sizes;
  float* scratch;
};

namespace cpu {
// Floats of scratch that the CPU's forward and adjoint need.
std::int64_t conv2d_scratch(const ConvSizes& sizes, std::int64_t threads);
void conv2d_forward(ThreadPool& pool, const ConvArgs& a);
void conv2d_adjoint(ThreadPool& pool, const ConvArgs& a);
void conv2d_weight_grad(ThreadPool& pool, const ConvGradArgs& a);
}  // namespace cpu

}  // namespace rankine
