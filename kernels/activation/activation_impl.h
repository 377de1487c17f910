// What each device implements for activation.h: plain pointers, sizes already checked. Internal to this
// folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/activation/activation.h"
#include "kernels/common/middle.h"

namespace rankine {

struct ActivationGrad {
  float* dx;
  const float* dy;
  const float* x;
};
struct GatedRows {  // x (rows, 2 half) = [value | gate], or [gate | up] of SwiGLU
  std::int64_t rows, half;
};
struct Swiglu {
  float* y;
  const float* gate;
  const float* up;
  // From element `in` of the inputs and `out` of y on.
  Swiglu at(std::int64_t out, std::int64_t in) const { return {y + out, gate + in, up + in}; }
};
struct SwigluGrad {
  float* dgate;
  float* dup;
  const float* dy;
  const float* gate;
  const float* up;
  SwigluGrad at(std::int64_t out, std::int64_t in) const {
    return {dgate + in, dup + in, dy + out, gate + in, up + in};
  }
};

namespace cpu {
void silu_forward(ThreadPool& pool, float* y, const float* x, std::int64_t n);
void silu_backward(ThreadPool& pool, ActivationGrad a, std::int64_t n);
void gelu_forward(ThreadPool& pool, float* y, const float* x, std::int64_t n, Gelu kind);
void gelu_backward(ThreadPool& pool, ActivationGrad a, std::int64_t n, Gelu kind);
void geglu_forward(ThreadPool& pool, float* y, const float* x, GatedRows size);
void geglu_backward(ThreadPool& pool, ActivationGrad a, GatedRows size);
// gate and up of a row lie `pitch` apart from those of the next; rows of y and dy are dense.
void swiglu_forward(ThreadPool& pool, Swiglu a, GatedRows size, std::int64_t pitch);
void swiglu_backward(ThreadPool& pool, SwigluGrad a, GatedRows size, std::int64_t pitch);
}  // namespace cpu

namespace cuda {
struct Activated {
  void* y;
  const void* x;
  std::int64_t n;
  DType type;
};
struct ActivatedGrad {
  void* dx;
  const void* dy;
  const void* x;
  std::int64_t n;
  DType type;
};
// y = curve(gate) other. gate and other of a row lie `pitch` apart from those of the next; rows of y are
// dense.
struct GatedArgs {
  void* y;
  const void* gate;
  const void* other;
  GatedRows size;
  std::int64_t pitch;
  DType type;
};
struct GatedGradArgs {
  void* dgate;
  void* dother;
  const void* dy;
  const void* gate;
  const void* other;
  GatedRows size;
  std::int64_t pitch;
  DType type;
};

void silu_forward(CudaStream stream, const Activated& a);
void silu_backward(CudaStream stream, const ActivatedGrad& a);
void gelu_forward(CudaStream stream, const Activated& a, Gelu kind);
void gelu_backward(CudaStream stream, const ActivatedGrad& a, Gelu kind);
void geglu_forward(CudaStream stream, const GatedArgs& a);
void geglu_backward(CudaStream stream, const GatedGradArgs& a);
void swiglu_forward(CudaStream stream, const GatedArgs& a);
void swiglu_backward(CudaStream stream, const GatedGradArgs& a);
void geglu_forward_with_middle(CudaStream stream, const GatedArgs& a, const MiddleArgs& m);
void swiglu_forward_with_middle(CudaStream stream, const GatedArgs& a, const MiddleArgs& m);
}  // namespace cuda

}  // namespace rankine
