// What each device implements for dora.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/common/column_blocks.h"
#include "kernels/dora/dora.h"

namespace rankine {

struct DoraNormArgs {
  float* inverse;
  const float* base;
  const void *cross, *up, *up_gram;
  DType type;  // of the three before
  std::int64_t out, rank;
  float scale;
};
struct DoraMagnitudeArgs {
  float* dm;
  const void *dy, *y;
  DType type;  // of the two before
  const float* inverse;
  float* partial;  // CUDA: ColumnBlocks{1, rows, cols}.partial()
  std::int64_t rows, cols;
};

namespace cpu {
void dora_inverse_norms(ThreadPool& pool, const DoraNormArgs& a);
void dora_magnitude_grad(ThreadPool& pool, const DoraMagnitudeArgs& a);
}  // namespace cpu
namespace cuda {
void dora_inverse_norms(CudaStream stream, const DoraNormArgs& a);
void dora_magnitude_grad(CudaStream stream, const DoraMagnitudeArgs& a);
}  // namespace cuda

}  // namespace rankine
