// What each device implements for matmul.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "kernels/matmul/gemm_cuda.h"
#include "kernels/matmul/matmul.h"

namespace rankine {

struct LinearMap {
  const void* w;  // (out, in)
  DType dtype;
  const float* bias;  // (out) or null
  std::int64_t in, out;
};
struct LinearArgs {
  float* to;          // y (rows, out); adjoint: dx (rows, in)
  const float* from;  // x (rows, in);  adjoint: dy (rows, out)
  LinearMap map;
  std::int64_t rows;
  bool accumulate;
  float* scratch;
};
struct LinearGradArgs {
  float* dw;  // (out, in), added to
  const float *dy, *x;
  std::int64_t rows, in, out;
  float* scratch;
};
struct BatchedArgs {
  float* y;  // (batch, m, n)
  const float *a, *b;
  Transpose ta, tb;
  std::int64_t batch, m, n, k;
  float* scratch;
};

namespace cpu {
void linear_forward(ThreadPool& pool, const LinearArgs& a);
void linear_adjoint(ThreadPool& pool, const LinearArgs& a);
void linear_weight_grad(ThreadPool& pool, const LinearGradArgs& a);
void batched_matmul(ThreadPool& pool, const BatchedArgs& a);
}  // namespace cpu

namespace cuda {
// A stored weight (out, in), read as `type`.
struct StoredWeight {
  const void* data;
  DType stored, type;
  void* decoded;  // (out, in) of `type` where `stored` is another
  std::int64_t in, out;
};
// The weight in `type`: itself, or decoded.
const void* read_weight(CudaStream stream, const StoredWeight& w);

struct LinearArgs {
  void* to;          // y (rows, out); adjoint: dx (rows, in)
  const void* from;  // x (rows, in);  adjoint: dy (rows, out)
  StoredWeight w;
  GemmBias bias;
  std::int64_t rows;
  bool accumulate;
  float* partial;
};
struct LinearGradArgs {
  float* dw;  // (out, in), added to
  const void *dy, *x;
  DType type;
  std::int64_t rows, in, out;
  float* partial;
};
struct BatchedArgs {
  void* y;  // (batch, m, n)
  const void *a, *b;
  DType type;
  Transpose ta, tb;
  std::int64_t batch, m, n, k;
  float* partial;
};
void linear_forward(CudaStream stream, const LinearArgs& a);
void linear_adjoint(CudaStream stream, const LinearArgs& a);
void linear_weight_grad(CudaStream stream, const LinearGradArgs& a);
void batched_matmul(CudaStream stream, const BatchedArgs& a);
}  // namespace cuda

}  // namespace rankine
