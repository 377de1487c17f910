// What each device implements for random.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/random/random.h"

namespace rankine {

struct UniformRange {
  float low, high;
};
struct DropoutArgs {
  float* y;
  const float* x;
  std::int64_t n;
  float p;
};

namespace cpu {
void fill_uniform(ThreadPool& pool, float* y, std::int64_t n, const RandomStream& stream, UniformRange range);
void fill_normal(ThreadPool& pool, float* y, std::int64_t n, const RandomStream& stream);
void dropout(ThreadPool& pool, const DropoutArgs& a, const RandomStream& stream);
}  // namespace cpu

namespace cuda {
struct RandomArgs {
  void* y;
  const void* x;  // dropout only
  std::int64_t n;
  DType type;
};
void fill_uniform(CudaStream cuda, const RandomArgs& a, const RandomStream& stream, UniformRange range);
void fill_normal(CudaStream cuda, const RandomArgs& a, const RandomStream& stream);
void dropout(CudaStream cuda, const RandomArgs& a, const RandomStream& stream, float p);
}  // namespace cuda

}  // namespace rankine
