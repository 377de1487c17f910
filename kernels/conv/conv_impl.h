// What each device implements for conv.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/conv/conv.h"
#include "kernels/conv/conv_plan.h"

namespace rankine {

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

// On CUDA `type` is that of x, y and their gradients; a filter of another type is converted into scratch
// first.
struct CudaConvArgs {
  void* to;          // y; adjoint: dx
  const void* from;  // x; adjoint: dy
  DType type;
  const void* w;
  DType w_type;
  const void* bias;  // (out) or null, of bias_type: f32 or `type`
  DType bias_type;
  bool accumulate;
  ConvSizes sizes;
  ConvPlan plan;
  float* scratch;  // plan.scratch_floats()
};
struct CudaConvGradArgs {
  float* dw;  // added to
  const void *dy, *x;
  DType type;
  ConvSizes sizes;
  ConvPlan plan;
  float* scratch;
};

namespace cpu {
// Floats of scratch that the CPU's forward and adjoint need.
std::int64_t conv2d_scratch(const ConvSizes& sizes, std::int64_t threads);
void conv2d_forward(ThreadPool& pool, const ConvArgs& a);
void conv2d_adjoint(ThreadPool& pool, const ConvArgs& a);
void conv2d_weight_grad(ThreadPool& pool, const ConvGradArgs& a);
}  // namespace cpu

namespace cuda {
void conv2d_forward(CudaStream stream, const CudaConvArgs& a);
void conv2d_adjoint(CudaStream stream, const CudaConvArgs& a);
void conv2d_weight_grad(CudaStream stream, const CudaConvGradArgs& a);
}  // namespace cuda

}  // namespace rankine
