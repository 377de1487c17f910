// What each device implements for activation.h: plain pointers, sizes already checked. Internal to this
// folder.
#pragma once

#include "kernels/activation/activation.h"
#include "kernels/common/cuda_stream.h"

namespace rankine {

struct ActivationGrad {
  float* dx;
  const float* dy;
  const float* x;
};
struct GatedRows {  // x (rows, 2 half) = [value | gate]
  std::int64_t rows, half;
};

namespace cpu {
void silu_forward(ThreadPool& pool, float* y, const float* x, std::int64_t n);
void silu_backward(ThreadPool& pool, ActivationGrad a, std::int64_t n);
void gelu_forward(ThreadPool& pool, float* y, const float* x, std::int64_t n, Gelu kind);
void gelu_backward(ThreadPool& pool, ActivationGrad a, std::int64_t n, Gelu kind);
void geglu_forward(ThreadPool& pool, float* y, const float* x, GatedRows size);
void geglu_backward(ThreadPool& pool, ActivationGrad a, GatedRows size);
}  // namespace cpu

namespace cuda {
void silu_forward(CudaStream stream, float* y, const float* x, std::int64_t n);
void silu_backward(CudaStream stream, ActivationGrad a, std::int64_t n);
void gelu_forward(CudaStream stream, float* y, const float* x, std::int64_t n, Gelu kind);
void gelu_backward(CudaStream stream, ActivationGrad a, std::int64_t n, Gelu kind);
void geglu_forward(CudaStream stream, float* y, const float* x, GatedRows size);
void geglu_backward(CudaStream stream, ActivationGrad a, GatedRows size);
}  // namespace cuda

}  // namespace rankine
