// What each device implements for embedding.h: plain pointers, sizes already checked. Internal to this
// folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/embedding/embedding.h"

namespace rankine {

namespace cpu {
void embedding_forward(ThreadPool& pool, float* y, const Tensor& table, const std::int32_t* ids,
                       std::int64_t n);
void embedding_weight_grad(ThreadPool& pool, float* dtable, const float* dy, const std::int32_t* ids,
                           std::int64_t n, std::int64_t cols);
void timestep_embedding(ThreadPool& pool, float* y, const float* t, std::int64_t n, std::int64_t half,
                        float max_period);
}  // namespace cpu

struct LookUpArgs {
  void* y;  // (n, cols)
  DType type;
  const void* table;  // (vocabulary, cols)
  DType table_type;
  const std::int32_t* ids;  // (n)
  std::int64_t n, vocabulary, cols;
};
struct LookUpGradArgs {
  void* dtable;  // (vocabulary, cols), added to
  DType table_type;
  const void* dy;  // (n, cols)
  DType type;
  const std::int32_t* ids;
  std::int64_t n, vocabulary, cols;
};
struct TimestepArgs {
  void* y;  // (n, 2 half)
  DType type;
  const float* t;
  std::int64_t n, half;
  float max_period;
};
namespace cuda {
void embedding_forward(CudaStream stream, const LookUpArgs& a);
void embedding_weight_grad(CudaStream stream, const LookUpGradArgs& a);
void timestep_embedding(CudaStream stream, const TimestepArgs& a);
}  // namespace cuda

}  // namespace rankine
